"""Cells as discs where they are larger than pixels: how large, which ones, and where."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionInfo
from backend.core.geometry import CODE_BITS, Slot, TileAddress
from backend.tiles.frames import frozen

#: Positions of discs are whole numbers of this fraction of a pixel.
SUBPIXELS = 64
#: Cells are discs where their mean distance is at least this many pixels.
DISC_FROM = 0.9
#: Discs are drawn no smaller than LEAST pixels, and where cells are far apart up to MODEST pixels,
#: so that an overview looks like tissue and not like dust.
LEAST, MODEST = 0.9, 1.5


def disc_radius(info: SectionInfo, scale: float) -> float:
    """Return the radius at which a section's cells are drawn, 0 where they are no discs.

    Parameters
    ----------
    info : SectionInfo
    scale : float
        Pixels per unit of the section's coordinates.

    Returns
    -------
    float
        Pixels: half the distance of neighbours, a little more in overviews.
    """
    apart = mean_distance(info)
    if apart * scale < DISC_FROM:
        return 0.0
    return float(max(info.radius * scale, min(0.4 * apart * scale, MODEST), LEAST))


def mean_distance(info: SectionInfo) -> float:
    """Return the typical distance of neighbours, in the unit of the section's coordinates."""
    area = max(info.extent.width, 1e-9) * max(info.extent.height, 1e-9)
    apart = max(math.sqrt(area / max(info.n_cells, 1)), 2 * info.radius)
    return min(apart, 6 * info.radius)


def rows_near(
    codes: NDArray[np.uint32], slot: Slot, tile: TileAddress, reach: float
) -> NDArray[np.int64]:
    """Return the rows of a section in a tile and within ``reach`` of it, ascending.

    Parameters
    ----------
    codes : (n,) uint32
        All codes of the section, ascending.
    slot : Slot
        Must hold the tile, or be held by it.
    tile : TileAddress
    reach : float
        As a fraction of the tile's side; rows a little farther may be returned too.

    Returns
    -------
    (m,) int64
        Counted from the section's first row.
    """
    level = tile.z
    while (1 << (level + 1 - tile.z)) * reach <= 1 and level < tile.z + 4:
        level += 1
    level = min(max(level, slot.level), slot.level + CODE_BITS)
    depth = level - slot.level
    step = 2.0 ** (level - tile.z)
    last = (1 << depth) - 1
    left, right = _nodes(tile.x, reach, step, slot.x << depth, last)
    top, bottom = _nodes(tile.y, reach, step, slot.y << depth, last)
    if left > right or top > bottom:
        return np.empty(0, np.int64)
    shift = 2 * (CODE_BITS - depth)
    found = _rows_in_box(frozen(codes), left, top, right, bottom, shift)
    return np.asarray(found)


def _nodes(place: int, reach: float, step: float, start: int, last: int) -> tuple[int, int]:
    """Return the first and last node of a slot that a tile and its surroundings touch."""
    first = math.floor((place - reach) * step) - start
    return max(0, first), min(last, math.floor((place + 1 + reach) * step) - start)


def subpixels(
    xy: NDArray[np.float32],
    rows: NDArray[np.int64],
    info: SectionInfo,
    level: int,
    corner: tuple[int, int] = (0, 0),
) -> NDArray[np.int64]:
    """Return positions of cells on the atlas plane, in subpixels of the pixels of ``level``.

    Parameters
    ----------
    xy : (n, 2) float32
        Section coordinates.
    rows : (m,) int64
        Places in ``xy``.
    info : SectionInfo
    level : int
        Level of the atlas quadtree whose nodes are pixels.
    corner : (int, int)
        Pixel of the plane that positions are counted from.

    Returns
    -------
    (m, 2) int64
    """
    out = np.empty((len(rows), 2), np.int64)
    scale = 2.0 ** (level - info.slot.level) * SUBPIXELS
    left, top = float(info.origin[0]), float(info.origin[1])
    slot = float(info.slot.x), float(info.slot.y)
    ends = corner[0] * SUBPIXELS, corner[1] * SUBPIXELS
    _subpixels(frozen(xy), frozen(rows), left, top, float(info.side), *slot, scale, *ends, out)
    return out


@numba.njit(cache=True, nogil=True)
def _subpixels(
    xy: Any,
    rows: Any,
    left: float,
    top: float,
    side: float,
    slot_x: float,
    slot_y: float,
    scale: float,
    corner_x: int,
    corner_y: int,
    out: Any,
) -> None:
    for i in range(len(rows)):
        row = rows[i]
        x, y = (np.float64(xy[row, 0]) - left) / side, (np.float64(xy[row, 1]) - top) / side
        out[i, 0] = np.int64(np.floor((x + slot_x) * scale)) - corner_x
        out[i, 1] = np.int64(np.floor((y + slot_y) * scale)) - corner_y


@numba.njit(cache=True, nogil=True)
def _spread(value: Any) -> Any:
    """Return a 16-bit value with a zero between any two bits."""
    v = np.uint64(value)
    v = (v | (v << np.uint64(8))) & np.uint64(0x00FF00FF)
    v = (v | (v << np.uint64(4))) & np.uint64(0x0F0F0F0F)
    v = (v | (v << np.uint64(2))) & np.uint64(0x33333333)
    return (v | (v << np.uint64(1))) & np.uint64(0x55555555)


@numba.njit(cache=True, nogil=True)
def _lower(codes: Any, code: Any) -> Any:
    """Return the first place whose code is not below ``code``."""
    lo, hi = 0, len(codes)
    while lo < hi:
        mid = (lo + hi) // 2
        if np.uint64(codes[mid]) < code:
            lo = mid + 1
        else:
            hi = mid
    return lo


@numba.njit(cache=True, nogil=True)
def _rows_in_box(codes: Any, left: int, top: int, right: int, bottom: int, shift: int) -> Any:
    """Return the rows in the nodes (left, top) .. (right, bottom) of one level, ascending."""
    n = (right - left + 1) * (bottom - top + 1)
    nodes = np.empty(n, np.uint64)
    n = 0
    for y in range(top, bottom + 1):
        for x in range(left, right + 1):
            nodes[n] = _spread(x) | (_spread(y) << np.uint64(1))
            n += 1
    nodes.sort()
    starts, stops = np.empty(n, np.int64), np.empty(n, np.int64)
    total, runs, i = 0, 0, 0
    while i < n:
        j = i + 1
        while j < n and nodes[j] == nodes[j - 1] + np.uint64(1):
            j += 1
        starts[runs] = _lower(codes, nodes[i] << np.uint64(shift))
        stops[runs] = _lower(codes, (nodes[j - 1] + np.uint64(1)) << np.uint64(shift))
        total += stops[runs] - starts[runs]
        runs += 1
        i = j
    rows = np.empty(total, np.int64)
    at = 0
    for r in range(runs):
        for row in range(starts[r], stops[r]):
            rows[at] = row
            at += 1
    return rows
