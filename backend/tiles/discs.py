"""Cells as discs where they are larger than pixels; a disc is the same in every tile it touches."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionInfo
from backend.core.geometry import CODE_BITS, Slot, TileAddress
from backend.tiles.frames import frozen

#: What ``put_small`` takes for the distance of a raster without discs.
FAR = np.uint32(0xFFFF0000)
#: Squared distances, (2, h, w).
Distances = NDArray[np.signedinteger[Any]]
#: Positions of discs are whole numbers of this fraction of a pixel.
SUBPIXELS = 64
_SHIFT = 6
#: Steps of coverage at the edge of a disc; the last is full.
COVERAGE = 4
#: Cells are discs where their mean distance is at least this many pixels.
DISC_FROM = 0.9
#: Discs are drawn no smaller than LEAST pixels, and where cells are far apart up to MODEST pixels,
#: so that an overview looks like tissue and not like dust.
LEAST, MODEST = 0.9, 1.5
#: Overlapping discs of at least this radius are parted by a line about a pixel wide.
PARTED_FROM, PARTING = 3.0, 1.0


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


def far(shape: tuple[int, ...], kind: type[np.signedinteger[Any]] = np.int64) -> Distances:
    """Return the distances of a raster without discs: to the nearest centre, and the next."""
    return np.full((2, *shape), np.iinfo(kind).max, kind)


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


def put_discs(
    xy: NDArray[np.int64],
    colours: NDArray[np.uint16],
    radius: float,
    index: NDArray[np.uint16],
    cover: NDArray[np.uint8],
    distance: Distances,
    owner: NDArray[np.int32] | None = None,
) -> None:
    """Draw cells as discs; where discs overlap, the nearest centre wins, then the lower row.

    Large discs that overlap are parted by a thin line of half coverage.

    Positions are whole numbers counted from the plane's corner, so that a disc is the same in
    every tile that it touches.

    Parameters
    ----------
    xy : (m, 2) int64
        Centres from the tile's corner, in subpixels; rows ascending.
    colours : (m,) uint16
        Index of each cell's colour; 0 is not drawn.
    radius : float
        Pixels.
    index : (h, w) uint16
    cover : (h, w) uint8
        Covered part of each pixel, 1 .. COVERAGE.
    distance : (2, h, w) int64, or int32 for radii of up to 500 pixels
        Squared distances to the two nearest centres so far; see ``far``. The second is used where
        discs are parted only.
    owner : (2, h, w) int32, optional
        Room for the rows of the two nearest centres.
    """
    limits, rows = _limits(radius), (frozen(xy), frozen(colours))
    if radius < PARTED_FROM:
        _put_discs(*rows, limits, index, cover, distance[0])
        return
    if owner is None:
        owner = np.empty((2, *index.shape), np.int32)
    owner.fill(-1)
    parting = PARTING * SUBPIXELS / 2
    _put_parted(*rows, limits, parting, index, cover, distance, owner)


def put_small(
    xy: NDArray[np.int64],
    colours: NDArray[np.uint16],
    radius: float,
    nearest: NDArray[np.uint32],
) -> None:
    """Draw cells as discs of radii below ``PARTED_FROM``: the same picture, several times faster.

    Parameters
    ----------
    xy, colours, radius
        As of ``put_discs``; a colour times COVERAGE must stay below 65,536.
    nearest : (h, w) uint32
        Squared distance to the nearest centre so far in the upper half, ``FAR`` at first; in the
        lower half the colour times COVERAGE, plus the coverage less one.
    """
    height, width = nearest.shape
    _put_small(frozen(xy), frozen(colours), _limits(radius), nearest.reshape(-1), width, height)


def _limits(radius: float) -> NDArray[np.int64]:
    """Return the squared distances up to which a pixel is covered 1 .. COVERAGE parts."""
    edges = [max(0.0, radius + 0.5 - (k + 0.5) / COVERAGE) * SUBPIXELS for k in range(COVERAGE)]
    return np.array([math.floor(edge * edge) for edge in edges], np.int64)


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
    for axis, start in enumerate((info.slot.x, info.slot.y)):
        unit = (float(info.origin[axis]), float(info.side), float(start), scale)
        _subpixels(frozen(xy), frozen(rows), axis, *unit, corner[axis] * SUBPIXELS, out)
    return out


@numba.njit(cache=True, nogil=True)
def _subpixels(
    xy: Any,
    rows: Any,
    axis: int,
    origin: float,
    side: float,
    start: float,
    scale: float,
    corner: int,
    out: Any,
) -> None:
    for i in range(len(rows)):
        unit = (np.float64(xy[rows[i], axis]) - origin) / side
        out[i, axis] = np.int64(np.floor((unit + start) * scale)) - corner


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


@numba.njit(cache=True, nogil=True)
def _part(xy: Any, owner: Any, distance: Any, parting: float, cover: Any) -> None:
    """Halve the coverage of pixels close to the line between two centres."""
    for py in range(owner.shape[1]):
        for px in range(owner.shape[2]):
            a, b = owner[0, py, px], owner[1, py, px]
            if a < 0 or b < 0:
                continue
            dx, dy = float(xy[a, 0] - xy[b, 0]), float(xy[a, 1] - xy[b, 1])
            apart = np.sqrt(dx * dx + dy * dy)
            if apart > 0 and distance[1, py, px] - distance[0, py, px] <= 2 * apart * parting:
                cover[py, px] = min(cover[py, px], COVERAGE // 2)


@numba.njit(cache=True, nogil=True)
def _level(d: Any, limits: Any) -> Any:
    """Return the coverage at a squared distance from the centre."""
    level = 1
    while level < len(limits) and d <= limits[level]:
        level += 1
    return level


@numba.njit(cache=True, nogil=True)
def _put_discs(xy: Any, colours: Any, limits: Any, index: Any, cover: Any, distance: Any) -> None:
    height, width = index.shape
    widest = limits[0]
    reach = np.int64(np.ceil(np.sqrt(float(widest))))
    for i in range(len(xy)):
        if colours[i] == 0:
            continue
        x, y = xy[i, 0], xy[i, 1]
        left = max(0, (x - reach) >> _SHIFT)
        right = min(width - 1, (x + reach) >> _SHIFT)
        top = max(0, (y - reach) >> _SHIFT)
        bottom = min(height - 1, (y + reach) >> _SHIFT)
        for py in range(top, bottom + 1):
            dy = py * SUBPIXELS + SUBPIXELS // 2 - y
            for px in range(left, right + 1):
                dx = px * SUBPIXELS + SUBPIXELS // 2 - x
                d = dx * dx + dy * dy
                if d <= widest and d < distance[py, px]:
                    distance[py, px] = d
                    index[py, px] = colours[i]
                    cover[py, px] = _level(d, limits)


@numba.njit(cache=True, nogil=True)
def _put_small(xy: Any, colours: Any, limits: Any, nearest: Any, width: int, height: int) -> None:
    """Draw without a branch per pixel, in 32 bits: distances of small discs have 16."""
    widest, high = np.int32(limits[0]), np.int32(limits[1])
    higher, full = np.int32(limits[2]), np.int32(limits[3])
    half, shift = np.int32(SUBPIXELS // 2), np.int32(_SHIFT)
    reach = np.int32(np.ceil(np.sqrt(float(widest))))
    for i in range(len(xy)):
        if colours[i] == 0:
            continue
        x, y = np.int32(xy[i, 0]), np.int32(xy[i, 1])
        left = max(np.int32(0), (x - reach) >> shift)
        right = min(np.int32(width - 1), (x + reach) >> shift)
        bottom = min(np.int32(height - 1), (y + reach) >> shift)
        colour = np.uint32(colours[i]) * np.uint32(COVERAGE)
        py = max(np.int32(0), (y - reach) >> shift)
        while py <= bottom:
            dy = (py << shift) + half - y
            at = np.uint64(py) * np.uint64(width) + np.uint64(left)
            px, dx = left, (left << shift) + half - x
            while px <= right:
                d = dx * dx + dy * dy
                old = nearest[at]
                level = np.uint32(d <= high) + np.uint32(d <= higher) + np.uint32(d <= full)
                new = (np.uint32(d) << np.uint32(16)) | (colour + level)
                nearer = (d <= widest) & (np.uint32(d) < (old >> np.uint32(16)))
                nearest[at] = new if nearer else old
                at += np.uint64(1)
                px += np.int32(1)
                dx += np.int32(SUBPIXELS)
            py += np.int32(1)


@numba.njit(cache=True, nogil=True)
def _put_parted(
    xy: Any,
    colours: Any,
    limits: Any,
    parting: float,
    index: Any,
    cover: Any,
    distance: Any,
    owner: Any,
) -> None:
    height, width = index.shape
    widest = limits[0]
    reach = np.int64(np.ceil(np.sqrt(float(widest))))
    for i in range(len(xy)):
        if colours[i] == 0:
            continue
        x, y = xy[i, 0], xy[i, 1]
        left = max(0, (x - reach) >> _SHIFT)
        right = min(width - 1, (x + reach) >> _SHIFT)
        top = max(0, (y - reach) >> _SHIFT)
        bottom = min(height - 1, (y + reach) >> _SHIFT)
        for py in range(top, bottom + 1):
            dy = py * SUBPIXELS + SUBPIXELS // 2 - y
            for px in range(left, right + 1):
                dx = px * SUBPIXELS + SUBPIXELS // 2 - x
                d = dx * dx + dy * dy
                if d > widest or d >= distance[1, py, px]:
                    continue
                if d >= distance[0, py, px]:
                    distance[1, py, px] = d
                    owner[1, py, px] = i
                    continue
                distance[1, py, px] = distance[0, py, px]
                owner[1, py, px] = owner[0, py, px]
                distance[0, py, px] = d
                owner[0, py, px] = i
                index[py, px] = colours[i]
                cover[py, px] = _level(d, limits)
    _part(xy, owner, distance, parting, cover)
