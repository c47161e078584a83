"""Compiling the kernels before the first reader comes; later processes read them from disk."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionInfo
from backend.core.geometry import Bounds, Slot, TileAddress
from backend.core.layers import Category
from backend.tiles import discs, isolate, raster, runs, shade
from backend.tiles.canvas import Canvas
from backend.tiles.frames import bin_frame, cell_frame

_TILE, _SLOT, _SIZE = TileAddress(0, 0, 0), Slot(0, 0, 0), 16
_SCALE, _STEPS = raster.Range(0.0, 1.0), 9


def warm_kernels() -> None:
    """Run every kernel once on two cells, for each kind of array that tiles have."""
    canvas, cells = Canvas(_SIZE), np.array([3, 9], np.uint32)
    _warm_pixels(canvas, cells)
    _warm_discs(canvas, cells)
    embedding, direction = np.ones((2, 4), np.int8), np.ones(4, np.float32)
    held = np.zeros(1, np.int16), np.zeros(1, np.uint32)
    isolate.put_held(np.zeros(1, np.uint32), np.ones(1, np.uint16), 0, *held)
    rows = np.arange(2)
    raster.imputed(embedding, rows, direction, 0.1)
    raster.mean_of_bins(rows, np.ones(2, np.float32), 0)
    raster.index_numbers(np.ones(2, np.float32), _SCALE, _STEPS)
    first = runs.run_starts(cells, 8)
    runs.majority_of_runs(first, np.zeros(2, np.int16), np.ones(1, np.bool_))
    runs.mean_of_runs(first, embedding)


def _warm_pixels(canvas: Canvas, cells: NDArray[np.uint32]) -> None:
    bins = (cells.astype(np.uint64) << np.uint64(32)).astype(np.uint64)
    values, counts = np.array([1, np.nan], np.float32), np.zeros((_SIZE, _SIZE), np.int64)
    embedding, direction = np.ones((2, 4), np.int8), (np.ones(4, np.float32), 0.1)
    wanted, out = np.ones(1, np.bool_), canvas.index
    table, ranks = shade.label_table(wanted), raster.category_ranks(wanted)
    codes = np.zeros(2, np.int16)
    frames = ((cells, cell_frame(_SLOT, _TILE, _SIZE)), (bins, bin_frame(_TILE, _SIZE)))
    for places, frame in frames:
        raster.add_counts(places, frame, counts)
        raster.put_majority(places, frame, codes, ranks, table, out)
        raster.put_means(places, frame, values, _SCALE, _STEPS, out)
        raster.put_imputed(places, frame, embedding, direction, _SCALE, _STEPS, out)
        raster.put_firsts(places, frame, np.zeros((2, 3), np.int16), table, out)
        raster.put_colour(places, frame, 1, out)
    raster.put_counts(counts, 1.0, _SCALE, _STEPS, out)


def _warm_discs(canvas: Canvas, cells: NDArray[np.uint32]) -> None:
    discs.rows_near(cells, _SLOT, _TILE, 0.1)
    section = SectionInfo(
        "a", "", "", "", "", 0, 2, _SLOT, (0.0, 0.0), 1.0, Bounds(0, 0, 1, 1), 1.0, 0
    )
    centres = discs.subpixels(np.ones((2, 2), np.float32), np.arange(2), section, 8)
    colours = np.ones(2, np.uint16)
    few = shade.number_colours("ink-light", shade.DISC_STEPS)
    many = shade.label_colours([Category(str(code), "#112233") for code in range(200)])
    for radius in (1.0, 4.0):
        for table in (few, many):
            canvas.index.fill(0)
            canvas.begin_discs(radius, len(table.rgba))
            canvas.put_discs(centres, colours, radius)
            canvas.png(table, True)
    canvas.begin_discs(1.0, 1 << 16)
    canvas.put_discs(centres, colours, 1.0)
    canvas.png(many, False)
    canvas.index[:] = np.arange(_SIZE * _SIZE).reshape(_SIZE, _SIZE)
    canvas.index[0, 0] = 300
    canvas.png(many, False)
