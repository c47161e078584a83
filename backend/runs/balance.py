"""A sample of the cells of an atlas in which small sections and rare classes are not lost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionInfo
from backend.store.atlas import Atlas

#: Labels that the sample is balanced by; the first that the atlas has.
BALANCED_BY = ("class", "type", "region")


def balanced_rows(
    atlas: Atlas, infos: list[SectionInfo], sample: int, seed: int
) -> NDArray[np.int64]:
    """Return atlas rows of a sample, ascending, balanced by section and class.

    Of each class in each section, a share that grows as the root of its size.
    """
    name = next((n for n in (*BALANCED_BY, *atlas.labels()) if n in atlas.labels()), None)
    groups: list[NDArray[np.int64]] = []
    for info in infos:
        rows = np.arange(info.first, info.first + info.n_cells)
        if name is None:
            groups.append(rows)
            continue
        codes = np.asarray(atlas.label(name).codes[info.rows])
        order = np.argsort(codes, kind="stable")
        groups += np.split(rows[order], np.flatnonzero(np.diff(codes[order])) + 1)
    rng = np.random.default_rng([seed, len(groups)])
    wanted = _quotas(np.array([len(g) for g in groups]), sample, rng)
    parts = [rng.choice(g, n, replace=False) for g, n in zip(groups, wanted, strict=True) if n]
    return np.sort(np.concatenate(parts))


def _quotas(sizes: NDArray[np.int64], sample: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return how many cells of each group are drawn: as the root of its size, at most all."""
    if sizes.sum() <= sample:
        return sizes
    share = np.sqrt(sizes)
    wanted = np.minimum(share * sample / share.sum(), sizes)
    for _ in range(8):  # what full groups cannot give goes to the others
        free = wanted < sizes
        if not free.any():
            break
        rest = sample - wanted[~free].sum()
        wanted[free] = np.minimum(share[free] * rest / share[free].sum(), sizes[free])
    found = np.floor(wanted + rng.random(len(sizes)))
    return np.minimum(found, sizes).astype(np.int64)
