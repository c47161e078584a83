from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.core.geometry import Slot, TileAddress
from backend.store.morton import decode, encode
from backend.tiles.discs import SUBPIXELS, disc_radius, rows_near, subpixels
from backend.tiles.nearest import COVERAGE, FAR, Discs, put_small
from backend.tiles.render import TileRenderer

Drawn = tuple[NDArray[np.uint16], NDArray[np.uint8]]


def draw(xy: NDArray[np.int64], radius: float, size: int, colours: NDArray[np.uint16]) -> Drawn:
    index = np.zeros((size, size), np.uint16)
    cover = np.full((size, size), COVERAGE, np.uint8)
    discs = Discs(size, size)
    discs.put(xy, colours, radius)
    discs.draw(index, cover)
    return index, cover


def scattered(n: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    rng = np.random.default_rng(5)
    xy = rng.integers(0, size * SUBPIXELS, (n, 2))
    xy[1] = xy[0]  # two cells in one place
    return xy, np.arange(1, n + 1).astype(np.uint16)


@pytest.mark.parametrize("radius", [0.9, 2.4, 9.0])
def test_the_nearest_centre_wins_as_in_brute_force(radius: float) -> None:
    size = 64
    xy, colours = scattered(60, size)
    index, _ = draw(xy, radius, size, colours)
    grid = (np.arange(size) + 0.5) * SUBPIXELS
    apart = (grid[None, :, None] - xy[:, 0]) ** 2 + (grid[:, None, None] - xy[:, 1]) ** 2
    nearest = apart.argmin(axis=2)
    limit = (radius + 0.5 - 0.5 / COVERAGE) * SUBPIXELS
    expected = np.where(apart.min(axis=2) <= limit**2, nearest + 1, 0)
    assert np.array_equal(index, expected)


@pytest.mark.parametrize("radius", [0.9, 2.4, 9.0])
def test_four_tiles_and_one_big_raster_are_the_same_picture(radius: float) -> None:
    size = 64
    xy, colours = scattered(200, 2 * size)
    whole = draw(xy, radius, 2 * size, colours)
    for ty in range(2):
        for tx in range(2):
            corner = np.array([tx, ty]) * size * SUBPIXELS
            part = draw(xy - corner, radius, size, colours)
            window = np.s_[ty * size : (ty + 1) * size, tx * size : (tx + 1) * size]
            assert np.array_equal(part[0], whole[0][window])
            assert np.array_equal(part[1], whole[1][window])


@pytest.mark.parametrize("radius", [0.9, 1.5, 2.9])
def test_small_discs_are_the_same_picture_faster(radius: float) -> None:
    size = 64
    xy, colours = scattered(300, size)
    colours[7] = 0
    xy[20] = [-50, size * SUBPIXELS + 30]  # a centre outside
    index, cover = draw(xy, radius, size, colours)
    nearest = np.full((size, size), FAR)
    put_small(xy, colours, radius, nearest)
    expected = np.where(index > 0, index.astype(int) * COVERAGE + cover - 1, 0)
    assert np.array_equal(nearest & 0xFFFF, expected)


def test_coverage_falls_at_the_edge_and_the_area_is_that_of_a_disc() -> None:
    centre = np.array([[32 * SUBPIXELS + 11, 32 * SUBPIXELS + 5]])
    index, cover = draw(centre, 10.0, 64, np.ones(1, np.uint16))
    assert set(np.unique(cover[index > 0])) == set(range(1, COVERAGE + 1))
    area = (cover[index > 0] / COVERAGE).sum()
    assert area == pytest.approx(np.pi * 100, rel=0.02)


def test_large_overlapping_discs_are_parted_and_twins_are_not() -> None:
    pair = np.array([[20, 32], [30, 32]]) * SUBPIXELS
    index, cover = draw(pair, 10.0, 64, np.array([1, 2], np.uint16))
    # The middle lies on a pixel's edge: no pixel is farther from it than half a pixel.
    assert (cover[32, 24:26] <= COVERAGE // 2).all()
    assert (cover[32, 20:23] == COVERAGE).all()
    twins = np.array([[32, 32], [32, 32]]) * SUBPIXELS
    index, cover = draw(twins, 10.0, 64, np.array([1, 2], np.uint16))
    assert set(np.unique(index)) == {0, 1}
    assert cover[32, 32] == COVERAGE


def test_discs_put_one_after_the_other_are_those_put_at_once() -> None:
    xy, colours = scattered(80, 64)
    index, cover = np.zeros((64, 64), np.uint16), np.full((64, 64), COVERAGE, np.uint8)
    discs = Discs(64, 64)
    discs.draw(index, cover)
    assert not index.any()
    for rows in (slice(0, 30), slice(30, 80)):
        discs.put(xy[rows], colours[rows], 2.4)
    discs.draw(index, cover)
    whole = draw(xy, 2.4, 64, colours)
    assert np.array_equal(index, whole[0])
    assert np.array_equal(cover, whole[1])
    discs.clear()
    index[:] = 0
    discs.draw(index, cover)
    assert not index.any()


def test_discs_of_two_sections_have_their_own_radii_and_are_not_parted() -> None:
    index, cover = np.zeros((64, 64), np.uint16), np.full((64, 64), COVERAGE, np.uint8)
    discs = Discs(64, 64)
    discs.put(np.array([[20, 32]]) * SUBPIXELS, np.ones(1, np.uint16), 10.0)
    discs.put(np.array([[36, 32]]) * SUBPIXELS, np.full(1, 2, np.uint16), 9.0)
    discs.draw(index, cover)
    assert (cover[32, 24:32] == COVERAGE).all()
    assert (index[32, 44], index[32, 46], index[20, 20]) == (2, 0, 0)
    assert index[22, 20] == 1


def test_a_cell_without_a_colour_is_not_drawn() -> None:
    index, _ = draw(np.array([[640, 640]]), 5.0, 32, np.zeros(1, np.uint16))
    assert not index.any()


@pytest.mark.parametrize(
    "tile",
    [
        TileAddress(0, 0, 0),
        TileAddress(2, 1, 3),
        TileAddress(6, 21, 50),
        TileAddress(6, 16, 48),
        TileAddress(21, 21 << 15, 50 << 15),
    ],
)
@pytest.mark.parametrize("reach", [0.004, 0.1, 0.9])
def test_rows_near_a_tile_hold_all_within_reach_once(tile: TileAddress, reach: float) -> None:
    slot = Slot(2, 1, 3)
    rng = np.random.default_rng(2)
    steps = rng.integers(0, 65_536, (20_000, 2))
    codes = np.sort(encode(steps[:, 0], steps[:, 1]))
    rows = rows_near(codes, slot, tile, reach)
    assert (np.diff(rows) > 0).all()
    x, y = (c.astype(np.float64) for c in decode(codes))
    scale = 2.0 ** (tile.z - slot.level)
    ux = (slot.x + (x + 0.5) / 65_536) * scale - tile.x
    uy = (slot.y + (y + 0.5) / 65_536) * scale - tile.y
    within = (ux > -reach) & (ux < 1 + reach) & (uy > -reach) & (uy < 1 + reach)
    assert set(np.flatnonzero(within)) <= set(rows)
    # Not many more than needed: at most one node of the search beyond the reach on each side.
    if tile.z <= 6:
        wide = reach + max(1 / 16, reach)
        almost = (ux > -wide) & (ux < 1 + wide) & (uy > -wide) & (uy < 1 + wide)
        assert set(rows) <= set(np.flatnonzero(almost))


def test_positions_are_exact_steps_of_the_plane(tiny: TileRenderer) -> None:
    info = dataclasses.replace(
        tiny.atlas.section("alpha"), slot=Slot(1, 1, 0), origin=(100.0, 50.0), side=100.0
    )
    xy = np.array([[0, 0], [100, 50], [150, 50]], np.float32)
    found = subpixels(xy, np.array([1, 2]), info, level=9)
    assert found.tolist() == [[256 * SUBPIXELS, 0], [384 * SUBPIXELS, 0]]
    near = subpixels(xy, np.array([2]), info, level=9, corner=(256, 10))
    assert near.tolist() == [[128 * SUBPIXELS, -10 * SUBPIXELS]]


def test_radius_grows_with_scale_and_ends_where_cells_share_pixels(tiny: TileRenderer) -> None:
    info = tiny.atlas.section("alpha")
    assert disc_radius(info, 1e-3) == 0
    assert disc_radius(info, 2.0) == pytest.approx(2 * info.radius)
    scales = [0.02, 0.05, 0.1, 0.3, 1.0]
    radii = [disc_radius(info, scale) for scale in scales]
    assert radii == sorted(radii)
    spots = dataclasses.replace(info, radius=50.0)
    assert disc_radius(spots, 0.1) == pytest.approx(5.0)
