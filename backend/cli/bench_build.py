"""Building an atlas, for the bench: the sort and the pyramid beside their floors.

The floor of sorting and gathering is ``torch.sort`` of the codes; that of the pyramid is one read
of the embeddings. torch is imported here only, and only when this is measured.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from backend.cli.bench_rows import Row, in_turns
from backend.store import morton, pyramid, schema
from backend.store.atlas import Atlas
from backend.store.finish import all_codes

#: Times that each is measured, in turns with its floor.
REPEATS = 3


def sorting(atlas: Atlas) -> Iterator[Row]:
    """Yield sorting and gathering all cells beside a sort of their codes."""
    import torch

    order = np.random.default_rng(2).permutation(atlas.n_cells)
    xy = np.asarray(atlas.xy[:])[order]
    label = np.asarray(atlas.label(atlas.labels()[0]).codes[:])[order]
    del order
    low = float(xy.min())
    side = (float(xy.max()) - low) * 1.01
    steps = morton.quantise(xy, (low, low), side)
    codes = torch.from_numpy(morton.encode(steps[:, 0], steps[:, 1]).astype(np.int64))
    del steps

    def ours() -> None:
        _, places = morton.sort_cells(xy, (low, low), side)
        morton.take_rows(xy, places)
        morton.take_rows(label, places)

    ours()
    own, floor = in_turns([ours, lambda: torch.sort(codes)], REPEATS)
    yield _best("Morton sort and gather, by torch.sort of the codes", own, floor, "sort")


def overview(atlas: Atlas) -> Iterator[Row]:
    """Yield building the overview levels beside one read of the embeddings."""
    embedding = atlas.embedding("cell")
    if embedding is None:
        return
    levels = atlas.pyramid_levels() or schema.ALWAYS_LEVELS
    cells = np.asarray(embedding.values[:])
    codes = all_codes(atlas.sections(), atlas.morton)

    def ours() -> None:
        firsts = pyramid.levels_of(codes, levels)
        pyramid.mean_embedding(cells, [firsts[level][1] for level in sorted(firsts)])

    ours()
    flat = cells.reshape(-1)[: cells.size // 8 * 8].view(np.uint64)
    own, floor = in_turns([ours, flat.sum], REPEATS)
    name = f"pyramid of {len(levels)} levels, by one read of the embeddings"
    yield _best(name, own, floor, "pyramid")


def _best(name: str, own: list[float], floor: list[float], what: str) -> Row:
    return {
        "name": name,
        "what": what,
        "p50_ms": float(np.median(own)),
        "p95_ms": float(np.percentile(own, 95)),
        "n": len(own),
        "floor_p50_ms": float(np.median(floor)),
        "ratio": min(own) / min(floor),
    }
