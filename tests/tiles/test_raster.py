from __future__ import annotations

import datashader
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from backend.core.geometry import Slot, TileAddress
from backend.store.morton import decode, encode, global_codes
from backend.tiles import raster

SIZE = 256
SLOT = Slot(2, 1, 3)
#: Tiles that hold the slot, are the slot, and lie in the slot.
TILES = (TileAddress(1, 0, 1), TileAddress(2, 1, 3), TileAddress(5, 11, 27))
N_CATEGORIES = 300


class Cells:
    """Random cells of a slot, clumped so that pixels hold many, with a brute-force raster."""

    def __init__(self, tile: TileAddress, seed: int = 0, n: int = 30_000) -> None:
        rng = np.random.default_rng(seed)
        xy = np.clip(rng.normal(30_000, 9_000, (n, 2)), 0, 65_535).astype(np.uint16)
        codes = np.sort(encode(xy[:, 0], xy[:, 1]))
        x, y = (c.astype(np.int64) for c in decode(codes))
        # Steps of the slot's grid, counted from the plane's corner, then pixels of the tile.
        step = 2.0 ** (raster.pixel_level(tile, SIZE) - SLOT.level - 16)
        px = np.floor(((SLOT.x << 16) + x) * step).astype(np.int64) - tile.x * SIZE
        py = np.floor(((SLOT.y << 16) + y) * step).astype(np.int64) - tile.y * SIZE
        inside = (px >= 0) & (px < SIZE) & (py >= 0) & (py < SIZE)
        self.codes = codes[inside]
        self.px, self.py = px[inside], py[inside]
        self.flat = self.py * SIZE + self.px
        self.frame = raster.cell_frame(SLOT, tile, SIZE)
        self.rng = rng

    def table(self) -> pd.DataFrame:
        return pd.DataFrame({"x": self.px + 0.5, "y": self.py + 0.5})

    def datashade(self, table: pd.DataFrame, reduction: object) -> NDArray[np.float64]:
        canvas = datashader.Canvas(SIZE, SIZE, x_range=(0, SIZE), y_range=(0, SIZE))
        return np.asarray(canvas.points(table, "x", "y", reduction))


@pytest.fixture(params=TILES, ids=["tile holds slot", "tile is slot", "tile in slot"])
def cells(request: pytest.FixtureRequest) -> Cells:
    return Cells(request.param)


def empty_numbers() -> NDArray[np.float32]:
    return np.full((SIZE, SIZE), np.nan, np.float32)


def test_counts_are_those_of_datashader_and_of_brute_force(cells: Cells) -> None:
    out = np.zeros((SIZE, SIZE), np.int64)
    raster.add_counts(cells.codes, cells.frame, out)
    assert out.max() > 1
    assert np.array_equal(out.ravel(), np.bincount(cells.flat, minlength=SIZE * SIZE))
    assert np.array_equal(out, cells.datashade(cells.table(), datashader.count()))


def test_counts_add_weights(cells: Cells) -> None:
    weights = cells.rng.integers(1, 9, len(cells.codes)).astype(np.uint32)
    out = np.ones((SIZE, SIZE), np.int64)
    raster.add_counts(cells.codes, cells.frame, out, weights)
    expected = np.bincount(cells.flat, weights, minlength=SIZE * SIZE) + 1
    assert np.array_equal(out.ravel(), expected)


def brute_majority(
    flat: NDArray[np.int64], codes: NDArray[np.int16], wanted: NDArray[np.bool_]
) -> NDArray[np.int16]:
    out = np.full(SIZE * SIZE, raster.EMPTY, np.int16)
    for pixel in np.unique(flat):
        found = codes[flat == pixel]
        known = found[found >= 0]
        first = known[wanted[known]]
        pool = first if len(first) else known
        out[pixel] = np.argmax(np.bincount(pool)) if len(pool) else -1
    return out.reshape(SIZE, SIZE)


@pytest.mark.parametrize("isolated", [(), (7, 290)], ids=["all", "two isolated"])
def test_majority_of_300_categories_is_that_of_brute_force(isolated: tuple[int, ...]) -> None:
    cells = Cells(TILES[0], n=4_000)
    found = cells.rng.integers(-1, N_CATEGORIES, len(cells.codes)).astype(np.int16)
    found[::3] = 5
    wanted = np.zeros(N_CATEGORIES, np.bool_)
    wanted[list(isolated) or slice(None)] = True
    out = np.full((SIZE, SIZE), raster.EMPTY, np.int16)
    raster.put_majority(cells.codes, cells.frame, found, out, wanted)
    assert np.array_equal(out, brute_majority(cells.flat, found, wanted))


def test_majority_is_that_of_datashader_by_category(cells: Cells) -> None:
    found = cells.rng.integers(0, 5, len(cells.codes)).astype(np.int16)
    table = cells.table().assign(c=pd.Categorical(found))
    cube = cells.datashade(table, datashader.by("c"))
    expected = np.where(cube.sum(axis=2) > 0, cube.argmax(axis=2), raster.EMPTY)
    out = np.full((SIZE, SIZE), raster.EMPTY, np.int16)
    raster.put_majority(cells.codes, cells.frame, found, out, np.ones(5, np.bool_))
    assert np.array_equal(out, expected)


def test_means_are_those_of_datashader_and_leave_missing_values_out(cells: Cells) -> None:
    values = cells.rng.normal(0, 1, len(cells.codes)).astype(np.float32)
    values[cells.rng.random(len(values)) < 0.2] = np.nan
    out = empty_numbers()
    raster.put_means(cells.codes, cells.frame, values, out)
    expected = cells.datashade(cells.table().assign(v=values), datashader.mean("v"))
    occupied = cells.datashade(cells.table(), datashader.count()) > 0
    has_value = np.isfinite(expected)
    assert (occupied & ~has_value).any()
    np.testing.assert_allclose(out[has_value], expected[has_value], rtol=1e-5, atol=1e-6)
    assert np.isinf(out[occupied & ~has_value]).all()
    assert np.isnan(out[~occupied]).all()


def test_means_weigh_rows_by_their_cells(cells: Cells) -> None:
    values = cells.rng.normal(0, 1, len(cells.codes)).astype(np.float32)
    weights = cells.rng.integers(1, 9, len(values)).astype(np.uint32)
    out = empty_numbers()
    raster.put_means(cells.codes, cells.frame, values, out, weights)
    total = np.bincount(cells.flat, values * weights, minlength=SIZE * SIZE)
    n = np.bincount(cells.flat, weights, minlength=SIZE * SIZE)
    there = n > 0
    np.testing.assert_allclose(out.ravel()[there], total[there] / n[there], rtol=1e-4, atol=1e-6)


def test_imputed_clips_after_the_mean(cells: Cells) -> None:
    embedding = cells.rng.integers(-127, 127, (len(cells.codes), 64)).astype(np.int8)
    direction = cells.rng.normal(0, 0.01, 64).astype(np.float32)
    out = empty_numbers()
    raster.put_imputed(cells.codes, cells.frame, embedding, direction, 0.1, out)
    score = embedding.astype(np.float64) @ direction + 0.1
    n = np.bincount(cells.flat, minlength=SIZE * SIZE)
    there = n > 0
    mean = np.bincount(cells.flat, score, minlength=SIZE * SIZE)[there] / n[there]
    assert (mean < 0).any()
    np.testing.assert_allclose(out.ravel()[there], np.maximum(0, mean), rtol=1e-4, atol=1e-5)
    assert np.isnan(out.ravel()[~there]).all()


def test_bins_with_global_codes_fall_on_the_pixels_of_their_cells(cells: Cells) -> None:
    out = np.zeros((SIZE, SIZE), np.int64)
    for tile in TILES:
        if cells.frame == raster.cell_frame(SLOT, tile, SIZE):
            frame = raster.bin_frame(tile, SIZE)
    raster.add_counts(global_codes(SLOT, cells.codes), frame, out)
    assert np.array_equal(out.ravel(), np.bincount(cells.flat, minlength=SIZE * SIZE))


def test_imputed_of_single_cells_is_a_matrix_product() -> None:
    rng = np.random.default_rng(1)
    embedding = rng.integers(-127, 127, (50, 7)).astype(np.int8)
    direction = rng.normal(0, 0.02, 7).astype(np.float32)
    rows = np.array([3, 3, 49, 0])
    expected = np.maximum(0, embedding[rows] @ direction + 0.5)
    found = raster.imputed(embedding, rows, direction, 0.5)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_bin_means_leave_missing_values_out() -> None:
    values = np.array([1, 3, np.nan, np.nan, 5], np.float32)
    found = raster.mean_of_bins(np.array([10, 12, 14]), values, 10)
    np.testing.assert_array_equal(found, [2, np.nan, 5])


def test_pixels_finer_than_the_codes_are_told() -> None:
    assert not raster.is_finer_than_codes(SLOT, TileAddress(10, 0, 0), 256)
    assert raster.is_finer_than_codes(SLOT, TileAddress(10, 0, 0), 512)
