"""Compiling the kernels before the first reader comes; later processes read them from disk."""

from __future__ import annotations

import numpy as np

from backend.core.data import SectionInfo
from backend.core.geometry import Bounds, Slot, TileAddress
from backend.core.layers import Category
from backend.tiles import discs, isolate, raster, runs, shade

_TILE, _SLOT, _SIZE = TileAddress(0, 0, 0), Slot(0, 0, 0), 16


def warm_kernels() -> None:
    """Run every kernel once on two cells, for each kind of array that tiles have."""
    cells = np.array([3, 9], np.uint32)
    cell_frame = raster.cell_frame(_SLOT, _TILE, _SIZE)
    bins = (cells.astype(np.uint64) << np.uint64(32)).astype(np.uint64)
    bin_frame = raster.bin_frame(_TILE, _SIZE)
    numbers = np.full((_SIZE, _SIZE), np.nan, np.float32)
    codes = np.full((_SIZE, _SIZE), raster.EMPTY, np.int16)
    counts = np.zeros((_SIZE, _SIZE), np.int64)
    values, weights = np.array([1, np.nan], np.float32), np.ones(2, np.uint32)
    embedding, direction = np.ones((2, 4), np.int8), np.ones(4, np.float32)
    wanted = np.ones(1, np.bool_)
    for places, frame in ((cells, cell_frame), (bins, bin_frame)):
        raster.add_counts(places, frame, counts, weights)
        raster.put_majority(places, frame, np.zeros(2, np.int16), codes, wanted)
        raster.put_means(places, frame, values, numbers)
        raster.put_imputed(places, frame, embedding, direction, 0.1, numbers)
    held = np.zeros(1, np.int16), np.zeros(1, np.uint32)
    isolate.put_held(np.zeros(1, np.uint32), np.ones(1, np.uint16), 0, *held)
    rows = np.arange(2)
    raster.imputed(embedding, rows, direction, 0.1)
    raster.mean_of_bins(rows, values, 0)
    first = runs.run_starts(cells, 8)
    runs.majority_of_runs(first, np.zeros(2, np.int16), wanted)
    runs.mean_of_runs(first, embedding)
    discs.rows_near(cells, _SLOT, _TILE, 0.1)
    index = shade.index_numbers(numbers, shade.Range(0, 1, True), shade.DISC_STEPS)
    shade.index_numbers(values, shade.Range(0, 1, False, True), shade.DISC_STEPS)
    cover = np.full(index.shape, discs.COVERAGE, np.uint8)
    centres = np.zeros((2, 2), np.int64)
    section = SectionInfo(
        "a", "", "", "", "", 0, 2, _SLOT, (0.0, 0.0), 1.0, Bounds(0, 0, 1, 1), 1.0, 0
    )
    discs.subpixels(np.ones((2, 2), np.float32), rows, section, 8)
    discs.put_discs(centres, np.ones(2, np.uint16), 4.0, index, cover, discs.far(index.shape))
    shade.image_png(index, shade.number_colours("ink-light", shade.DISC_STEPS), cover)
    labels = shade.label_colours([Category("a", "#112233")])
    shade.image_png(shade.index_labels(codes, wanted), labels)
