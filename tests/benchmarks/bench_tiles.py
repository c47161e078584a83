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
from typing import Protocol

import numpy as np

from backend.core.geometry import TileAddress
from backend.core.layers import LayerKey, Style, TileKey
from backend.store.atlas import Atlas
from backend.tiles.layouts import LayoutName, layout_names, open_layout
from backend.tiles.render import TileRenderer
from backend.tiles.spans import MONTAGE
from backend.tiles.values import Values

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
        {"plane": name, "layer": str(key), "zoom": zoom, **measure(plane, key, zoom, options)}
        for name, plane in planes(atlas).items()
        for key in layers(atlas)
        for zoom in plane.zooms()
    ]
    if options.json:
        sys.stdout.write(json.dumps({"atlas": atlas.name, "tiles": figures}, indent=1) + "\n")
        return
    line = "{:<14}{:<26}{:>5}{:>10}{:>9}{:>9}{:>9}{:>9}\n"
    head = ("plane", "layer", "zoom", "cells", "median", "p95", "worst", "floor")
    sys.stdout.write(line.format(*head))
    for f in figures:
        numbers = [f"{f[name]:.2f}" for name in ("median_ms", "p95_ms", "worst_ms", "floor_ms")]
        names = (f["plane"][:13], f["layer"][:25], f["zoom"], f["densest_cells"])
        sys.stdout.write(line.format(*names, *numbers))


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


class Plane(Protocol):
    """A plane whose tiles are measured."""

    atlas: Atlas
    section: str

    def zooms(self) -> list[int]:
        """Return zooms from the whole plane to a few cells."""

    def place(self, row: int) -> tuple[float, float]:
        """Return where the cell of a random number is, 0..1 both ways."""

    def cells(self, address: TileAddress) -> int:
        """Return the cells in a tile."""

    def read(self, key: LayerKey, address: TileAddress) -> None:
        """Copy the rows that a tile is drawn from; those of an overview where there is one."""


def planes(atlas: Atlas) -> dict[str, Plane]:
    """Return the montage and the layouts of an atlas."""
    found: dict[str, Plane] = {"montage": Montage(atlas)}
    return found | {f"layout:{name}": LayoutPlane(atlas, name) for name in layout_names(atlas)}


class Montage:
    """The plane of all sections."""

    section = MONTAGE

    def __init__(self, atlas: Atlas) -> None:
        self.atlas = atlas

    def zooms(self) -> list[int]:
        deepest = max(info.slot.level for info in self.atlas.sections()) + 7
        return list(range(deepest + 1))

    def place(self, row: int) -> tuple[float, float]:
        atlas = self.atlas
        info = next(s for s in atlas.sections() if row < s.first + s.n_cells)
        side = atlas.world_um / (1 << info.slot.level)
        xy = np.asarray(atlas.xy[row : row + 1], np.float64)[0]
        at = np.array([info.slot.x, info.slot.y]) * side + xy - np.array(info.origin)
        return float(at[0] / atlas.world_um), float(at[1] / atlas.world_um)

    def cells(self, address: TileAddress) -> int:
        return sum(rows.stop - rows.start for _, rows in self.atlas.rows_in_tile(address))

    def read(self, key: LayerKey, address: TileAddress) -> None:
        atlas = self.atlas
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


class LayoutPlane:
    """Another plane of the same cells, such as a UMAP."""

    def __init__(self, atlas: Atlas, name: str) -> None:
        self.atlas, self.section = atlas, f"layout:{name}"
        self._values = Values(atlas)
        self._layout = open_layout(self._values, LayoutName(name, None))

    def zooms(self) -> list[int]:
        return list(range(9))

    def place(self, row: int) -> tuple[float, float]:
        x, y = self._layout.positions(np.array([row % len(self._layout)]))[0]
        return float(x), float(y)

    def cells(self, address: TileAddress) -> int:
        places = self._layout.places(address)
        return places.stop - places.start

    def read(self, key: LayerKey, address: TileAddress) -> None:
        layout, level = self._layout, address.z + 8
        places = layout.places(address)
        embedding = self.atlas.embedding("cell")
        if level in layout.levels:
            first = layout.first(self._values, level)
            bins = slice(*np.searchsorted(first, [places.start, places.stop]).tolist())
            np.array(first[bins])
            means = layout.mean_embedding(self._values, level) if key.kind == "imputed" else None
            if means is not None:
                np.array(means[bins])
            return
        np.array(layout.codes[places])
        rows = layout.rows[places]
        if key.kind == "imputed" and embedding is not None:
            np.array(embedding.values[rows])
        else:
            np.array(self.atlas.morton[rows])


def measure(
    plane: Plane, key: LayerKey, zoom: int, options: argparse.Namespace
) -> dict[str, float]:
    """Return times of the densest and of random occupied tiles of a zoom, ms."""
    renderer = TileRenderer(plane.atlas)
    renderer.warm()
    style = Style(size=options.size)
    chosen = addresses(plane, zoom)
    # What is made once per layer (its column, its range) is not part of a tile.
    for address in chosen:
        renderer.render(TileKey(plane.section, key, style, address))
    times, floors = [], []
    for _ in range(options.repeats):
        for address in chosen:
            picture = TileKey(plane.section, key, style, address)
            times.append(clock(lambda picture=picture: renderer.render(picture)))
            floors.append(clock(lambda address=address: plane.read(key, address)))
    per_tile = np.array(times).reshape(options.repeats, -1)
    return {
        "densest_cells": plane.cells(chosen[0]),
        "median_ms": round(float(np.median(times)), 3),
        "p95_ms": round(float(np.percentile(times, 95)), 3),
        "worst_ms": round(float(np.median(per_tile, axis=0).max()), 3),
        "floor_ms": round(float(np.median(floors)), 3),
    }


def addresses(plane: Plane, zoom: int) -> list[TileAddress]:
    """Return the densest tile of a zoom, then random ones weighted by cells."""
    rng = np.random.default_rng(zoom)
    found = {}
    for row in rng.integers(0, plane.atlas.n_cells, 8 * TILES):
        x, y = (min(int(v * (1 << zoom)), (1 << zoom) - 1) for v in plane.place(int(row)))
        found[TileAddress(zoom, x, y)] = 0
    counted = sorted(found, key=lambda address: -plane.cells(address))
    return [counted[0], *list(found)[:TILES]]


def clock(act: Callable[[], object]) -> float:
    """Return the milliseconds that ``act`` takes."""
    start = time.perf_counter()
    act()
    return (time.perf_counter() - start) * 1e3


if __name__ == "__main__":
    main(sys.argv[1:])
