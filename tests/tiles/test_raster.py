from __future__ import annotations

import datashader
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from backend.core.geometry import Slot, TileAddress
from backend.store.morton import decode, encode, global_codes
from backend.tiles import raster
from backend.tiles.frames import bin_frame, cell_frame, is_finer_than_codes, pixel_level

SIZE = 256
SLOT = Slot(2, 1, 3)
#: Tiles that hold the slot, are the slot, and lie in the slot.
TILES = (TileAddress(1, 0, 1), TileAddress(2, 1, 3), TileAddress(5, 11, 27))
N_CATEGORIES = 300
#: Code of a pixel without cells.
EMPTY = -2


class Cells:
    """Random cells of a slot, clumped so that pixels hold many, with a brute-force raster."""

    def __init__(self, tile: TileAddress, seed: int = 0, n: int = 30_000) -> None:
        rng = np.random.default_rng(seed)
        xy = np.clip(rng.normal(30_000, 9_000, (n, 2)), 0, 65_535).astype(np.uint16)
        codes = np.sort(encode(xy[:, 0], xy[:, 1]))
        x, y = (c.astype(np.int64) for c in decode(codes))
        # Steps of the slot's grid, counted from the plane's corner, then pixels of the tile.
        step = 2.0 ** (pixel_level(tile, SIZE) - SLOT.level - 16)
        px = np.floor(((SLOT.x << 16) + x) * step).astype(np.int64) - tile.x * SIZE
        py = np.floor(((SLOT.y << 16) + y) * step).astype(np.int64) - tile.y * SIZE
        inside = (px >= 0) & (px < SIZE) & (py >= 0) & (py < SIZE)
        self.codes = codes[inside]
        self.px, self.py = px[inside], py[inside]
        self.flat = self.py * SIZE + self.px
        self.frame = cell_frame(SLOT, tile, SIZE)
        self.rng = rng

    def table(self) -> pd.DataFrame:
        return pd.DataFrame({"x": self.px + 0.5, "y": self.py + 0.5})

    def datashade(self, table: pd.DataFrame, reduction: object) -> NDArray[np.float64]:
        canvas = datashader.Canvas(SIZE, SIZE, x_range=(0, SIZE), y_range=(0, SIZE))
        return np.asarray(canvas.points(table, "x", "y", reduction))


@pytest.fixture(params=TILES, ids=["tile holds slot", "tile is slot", "tile in slot"])
def cells(request: pytest.FixtureRequest) -> Cells:
    return Cells(request.param)


#: A ramp so fine that a colour index tells the value.
FINE, LARGE = raster.Range(-8.0, 8.0), raster.Range(0.0, 32.0)
STEPS = 60_000


def no_colours() -> NDArray[np.uint16]:
    return np.zeros((SIZE, SIZE), np.uint16)


def numbers(index: NDArray[np.uint16], scale: raster.Range) -> NDArray[np.float64]:
    """Return the values that colour indices stand for: nan for nothing, infinity for no value."""
    width = scale.hi - scale.lo
    found = scale.lo + (index.astype(np.float64) - 3) / (STEPS - 1) * width
    found[index == 0] = np.nan
    found[index == 1] = np.inf
    return found


def every_code(n: int) -> NDArray[np.uint16]:
    """Return a table from which the code can be told: -2 is 0, -1 is 1, code c is c + 2."""
    return np.arange(n + 2).astype(np.uint16)


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
    out = np.full(SIZE * SIZE, EMPTY, np.int16)
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
    out = no_colours()
    ranks = raster.category_ranks(wanted)
    raster.put_majority(cells.codes, cells.frame, found, ranks, every_code(N_CATEGORIES), out)
    assert np.array_equal(out.astype(int) - 2, brute_majority(cells.flat, found, wanted))


def test_majority_is_that_of_datashader_by_category(cells: Cells) -> None:
    found = cells.rng.integers(0, 5, len(cells.codes)).astype(np.int16)
    table = cells.table().assign(c=pd.Categorical(found))
    cube = cells.datashade(table, datashader.by("c"))
    expected = np.where(cube.sum(axis=2) > 0, cube.argmax(axis=2), EMPTY)
    out = no_colours()
    ranks = raster.category_ranks(np.ones(5, np.bool_))
    raster.put_majority(cells.codes, cells.frame, found, ranks, every_code(5), out)
    assert np.array_equal(out.astype(int) - 2, expected)


def test_bins_that_are_pixels_have_the_colour_of_their_first_category() -> None:
    tile = TileAddress(0, 0, 0)
    bins = np.array([0, 1, 3], np.uint64) << np.uint64(64 - 16)
    top = np.array([[2, 0, -1], [-1, -1, -1], [0, 1, 2]], np.int16)
    out = no_colours()
    frame = bin_frame(tile, SIZE)
    raster.put_firsts(bins, frame, top, np.array([9, 8, 7, 6, 5], np.uint16), out)
    assert out[:2, :2].tolist() == [[5, 8], [0, 7]]
    assert np.count_nonzero(out) == 3


def test_one_colour_fills_the_pixels_with_cells(cells: Cells) -> None:
    out = no_colours()
    raster.put_colour(cells.codes, cells.frame, raster.NO_VALUE, out)
    assert np.array_equal(out.ravel(), np.bincount(cells.flat, minlength=SIZE * SIZE) > 0)


def test_counts_are_coloured_per_area_and_nothing_elsewhere() -> None:
    counts = np.array([[0, 4], [8, 12]])
    out = np.zeros((2, 2), np.uint16)
    raster.put_counts(counts, 4.0, raster.Range(0, 4), 5, out)
    assert out.tolist() == [[0, 3 + 1], [3 + 2, 3 + 3]]


def test_means_are_those_of_datashader_and_leave_missing_values_out(cells: Cells) -> None:
    values = cells.rng.normal(0, 1, len(cells.codes)).astype(np.float32)
    values[cells.rng.random(len(values)) < 0.2] = np.nan
    index = no_colours()
    raster.put_means(cells.codes, cells.frame, values, FINE, STEPS, index)
    out = numbers(index, FINE)
    expected = cells.datashade(cells.table().assign(v=values), datashader.mean("v"))
    occupied = cells.datashade(cells.table(), datashader.count()) > 0
    has_value = np.isfinite(expected)
    assert (occupied & ~has_value).any()
    np.testing.assert_allclose(out[has_value], expected[has_value], atol=1.4e-4)
    assert np.isinf(out[occupied & ~has_value]).all()
    assert np.isnan(out[~occupied]).all()


def test_imputed_clips_after_the_mean(cells: Cells) -> None:
    embedding = cells.rng.integers(-127, 127, (len(cells.codes), 64)).astype(np.int8)
    direction = cells.rng.normal(0, 0.01, 64).astype(np.float32)
    index = no_colours()
    raster.put_imputed(cells.codes, cells.frame, embedding, (direction, 0.1), LARGE, STEPS, index)
    out = numbers(index, LARGE)
    score = embedding.astype(np.float64) @ direction + 0.1
    n = np.bincount(cells.flat, minlength=SIZE * SIZE)
    there = n > 0
    mean = np.bincount(cells.flat, score, minlength=SIZE * SIZE)[there] / n[there]
    assert (mean < 0).any()
    np.testing.assert_allclose(out.ravel()[there], np.maximum(0, mean), atol=4e-4)
    assert np.isnan(out.ravel()[~there]).all()


def test_bins_with_global_codes_fall_on_the_pixels_of_their_cells(cells: Cells) -> None:
    out = np.zeros((SIZE, SIZE), np.int64)
    for tile in TILES:
        if cells.frame == cell_frame(SLOT, tile, SIZE):
            frame = bin_frame(tile, SIZE)
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
    assert not is_finer_than_codes(SLOT, TileAddress(10, 0, 0), 256)
    assert is_finer_than_codes(SLOT, TileAddress(10, 0, 0), 512)
