"""How long tiles take in process, uncached, beside the floor measured in the same run.

The floor of a tile is a copy of the rows that it is drawn from: codes and label, or embeddings.
Run: ``python -m tests.benchmarks.bench_tiles ATLAS.zarr [--json]``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from backend.core.geometry import TileAddress
from backend.core.layers import LayerKey, Style, TileKey
from backend.store.atlas import Atlas
from backend.tiles.render import TileRenderer
from backend.tiles.spans import MONTAGE

#: Random occupied tiles per zoom, beside the densest one.
TILES = 8


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("atlas", type=Path)
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--size", type=int, default=256, choices=(256, 512))
    options = parser.parse_args(arguments)
    atlas = Atlas.open(options.atlas)
    figures = [
        {"layer": str(key), "zoom": zoom, **measure(atlas, key, zoom, options)}
        for key in layers(atlas)
        for zoom in zooms(atlas)
    ]
    if options.json:
        sys.stdout.write(json.dumps({"atlas": atlas.name, "tiles": figures}, indent=1) + "\n")
        return
    line = "{:<26}{:>5}{:>10}{:>9}{:>9}{:>9}{:>9}\n"
    head = ("layer", "zoom", "cells", "median", "p95", "worst", "floor")
    sys.stdout.write(line.format(*head))
    for f in figures:
        numbers = [f"{f[name]:.2f}" for name in ("median_ms", "p95_ms", "worst_ms", "floor_ms")]
        sys.stdout.write(line.format(f["layer"][:25], f["zoom"], f["densest_cells"], *numbers))


def layers(atlas: Atlas) -> list[LayerKey]:
    """Return one layer of each kind that the atlas has: the label with most categories first."""
    names = sorted(atlas.labels(), key=lambda name: -len(atlas.label(name).categories))
    keys = [LayerKey("label", name) for name in names[:1]]
    gene = next(iter(measured_genes(atlas)), None)
    if gene is not None:
        keys.append(LayerKey("measured", gene))
    table = atlas.genes
    if atlas.embedding("cell") is not None and table.embedding is not None:
        known = np.flatnonzero(np.any(table.embedding, axis=1))
        keys += [LayerKey("imputed", table.symbol[known[0]])] if len(known) else []
    return [*keys, *atlas.numbers()[:1], LayerKey("density", "cells")]


def measured_genes(atlas: Atlas) -> list[str]:
    """Return a gene of the largest section with expression."""
    for info in sorted(atlas.sections(), key=lambda s: -s.n_cells):
        expression = atlas.expression(info.id)
        if expression is not None and len(expression.genes):
            return [atlas.genes.symbol[int(expression.genes[0])]]
    return []


def zooms(atlas: Atlas) -> list[int]:
    """Return zooms from the whole plane to a few cells of the largest section."""
    deepest = max(info.slot.level for info in atlas.sections()) + 7
    return list(range(deepest + 1))


def measure(
    atlas: Atlas, key: LayerKey, zoom: int, options: argparse.Namespace
) -> dict[str, float]:
    """Return times of the densest and of random occupied tiles of a zoom, ms."""
    renderer = TileRenderer(atlas)
    renderer.warm()
    style = Style(size=options.size)
    chosen = addresses(atlas, zoom)
    # What is made once per layer (its column, its range) is not part of a tile.
    for address in chosen:
        renderer.render(TileKey(MONTAGE, key, style, address))
    times, floors = [], []
    for _ in range(options.repeats):
        for address in chosen:
            picture = TileKey(MONTAGE, key, style, address)
            times.append(clock(lambda picture=picture: renderer.render(picture)))
            floors.append(clock(lambda address=address: read(atlas, key, address)))
    per_tile = np.array(times).reshape(options.repeats, -1)
    return {
        "densest_cells": cells(atlas, chosen[0]),
        "median_ms": round(float(np.median(times)), 3),
        "p95_ms": round(float(np.percentile(times, 95)), 3),
        "worst_ms": round(float(np.median(per_tile, axis=0).max()), 3),
        "floor_ms": round(float(np.median(floors)), 3),
    }


def addresses(atlas: Atlas, zoom: int) -> list[TileAddress]:
    """Return the densest tile of a zoom, then random ones weighted by cells."""
    rng = np.random.default_rng(zoom)
    found = {}
    for row in rng.integers(0, atlas.n_cells, 8 * TILES):
        info = next(s for s in atlas.sections() if row < s.first + s.n_cells)
        side = atlas.world_um / (1 << info.slot.level)
        xy = np.asarray(atlas.xy[int(row) : int(row) + 1], np.float64)[0]
        at = np.array([info.slot.x, info.slot.y]) * side + xy - np.array(info.origin)
        x, y = (min(int(v / atlas.world_um * (1 << zoom)), (1 << zoom) - 1) for v in at)
        found[TileAddress(zoom, x, y)] = 0
    counted = sorted(found, key=lambda address: -cells(atlas, address))
    return [counted[0], *list(found)[:TILES]]


def cells(atlas: Atlas, address: TileAddress) -> int:
    return sum(rows.stop - rows.start for _, rows in atlas.rows_in_tile(address))


def read(atlas: Atlas, key: LayerKey, address: TileAddress) -> None:
    """Copy the rows that a tile is drawn from; those of the pyramid where it has the level."""
    parts = atlas.rows_in_tile(address)
    if not parts:
        return
    rows = slice(parts[0][1].start, parts[-1][1].stop)
    level = atlas.pyramid(address.z + 8)
    embedding = atlas.embedding("cell")
    if level is not None:
        first = np.searchsorted(np.asarray(level.first), [rows.start, rows.stop])
        rows = slice(int(first[0]), int(first[1]))
        codes, values = level.code, level.count if key.kind != "imputed" else level.embedding
    else:
        codes = atlas.morton
        values = embedding.values if key.kind == "imputed" and embedding else atlas.xy
    np.array(codes[rows])
    if values is not None:
        np.array(values[rows])


def clock(act: Callable[[], object]) -> float:
    """Return the milliseconds that ``act`` takes."""
    start = time.perf_counter()
    act()
    return (time.perf_counter() - start) * 1e3


if __name__ == "__main__":
    main(sys.argv[1:])
