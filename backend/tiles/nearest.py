"""Drawing discs: a pixel is of the nearest centre, so a disc is the same in all tiles it touches.

Positions are whole numbers counted from the raster's corner. Where discs overlap, the nearest
centre wins, then the lower row; large ones are parted by a thin line of half coverage. A distance
and a row are one number, so that the nearest is a minimum: no branch per pixel, and none could be
foreseen.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from backend.tiles.discs import SUBPIXELS
from backend.tiles.frames import frozen

#: Steps of coverage at the edge of a disc; the last is full.
COVERAGE = 4
#: Overlapping discs of at least this radius are parted by a line about a pixel wide.
PARTED_FROM, PARTING = 3.0, 1.0
#: Largest radius of a disc, pixels: its square in subpixels has 32 bits.
LARGEST = 1000.0
#: What ``put_small`` takes for the distance of a raster without discs.
FAR = np.uint32(0xFFFF0000)
_NONE = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_LOW = np.uint64(0xFFFF_FFFF)
_SHIFT = 6

Centres = NDArray[np.int64]


class Discs:
    """Discs on a raster.

    Parameters
    ----------
    height, width : int
        Pixels.
    """

    def __init__(self, height: int, width: int) -> None:
        self._shape = height, width
        self._nearest = np.empty((2, height * width), np.uint64)
        self._parts: list[tuple[Centres, NDArray[np.uint16], float]] = []
        self._n = 0
        self.clear()

    def clear(self) -> None:
        """Remove all discs."""
        self._nearest.fill(_NONE)
        self._parts, self._n = [], 0

    def put(self, xy: Centres, colours: NDArray[np.uint16], radius: float) -> None:
        """Add cells as discs.

        Parameters
        ----------
        xy : (m, 2) int64
            Centres from the raster's corner, in subpixels; rows ascending.
        colours : (m,) uint16
            Index of each cell's colour; 0 is not drawn.
        radius : float
            Pixels, at most ``LARGEST``.
        """
        rows, widest = (frozen(xy), frozen(colours)), int(_limits(radius)[0])
        _put(*rows, widest, self._n, self._nearest[0], self._nearest[1], *self._shape)
        self._parts.append((xy, colours, radius))
        self._n += len(xy)

    def draw(self, index: NDArray[np.uint16], cover: NDArray[np.uint8]) -> None:
        """Write colour and coverage of every pixel of a disc.

        Parameters
        ----------
        index : (height, width) uint16
        cover : (height, width) uint8
            Covered part of each pixel, 1 .. COVERAGE.
        """
        if not self._parts:
            return
        xy = np.concatenate([xy for xy, _, _ in self._parts])
        colours = np.concatenate([colours for _, colours, _ in self._parts])
        part = np.repeat(np.arange(len(self._parts)), [len(xy) for xy, _, _ in self._parts])
        radii = [radius for _, _, radius in self._parts]
        limits = np.stack([_limits(radius) for radius in radii])
        parted = np.array([radius >= PARTED_FROM for radius in radii])
        cells = frozen(xy), frozen(colours), part, limits, parted
        _draw(*cells, self._nearest[0], self._nearest[1], index.reshape(-1), cover.reshape(-1))


def put_small(
    xy: Centres, colours: NDArray[np.uint16], radius: float, nearest: NDArray[np.uint32]
) -> None:
    """Draw cells as discs of radii below ``PARTED_FROM``: the same picture, in half the memory.

    Parameters
    ----------
    xy, colours, radius
        As of ``Discs.put``; a colour times COVERAGE must stay below 65,536.
    nearest : (h, w) uint32
        Squared distance to the nearest centre so far in the upper half, ``FAR`` at first; in the
        lower half the colour times COVERAGE, plus the coverage less one.
    """
    height, width = nearest.shape
    _put_small(frozen(xy), frozen(colours), _limits(radius), nearest.reshape(-1), height, width)


def _limits(radius: float) -> NDArray[np.int64]:
    """Return the squared distances up to which a pixel is covered 1 .. COVERAGE parts."""
    edges = [max(0.0, radius + 0.5 - (k + 0.5) / COVERAGE) * SUBPIXELS for k in range(COVERAGE)]
    return np.array([math.floor(edge * edge) for edge in edges], np.int64)


@numba.njit(cache=True, nogil=True)
def _put(
    xy: Any,
    colours: Any,
    widest: int,
    first: int,
    nearest: Any,
    next_nearest: Any,
    height: int,
    width: int,
) -> None:
    """Note the two nearest centres of each pixel as (squared distance, row)."""
    reach = np.int64(np.ceil(np.sqrt(float(widest))))
    for i in range(len(xy)):
        if colours[i] == 0:
            continue
        x, y = xy[i, 0], xy[i, 1]
        left = max(0, (x - reach) >> _SHIFT)
        right = min(width - 1, (x + reach) >> _SHIFT)
        bottom = min(height - 1, (y + reach) >> _SHIFT)
        row = np.uint64(first + i)
        py = max(0, (y - reach) >> _SHIFT)
        while py <= bottom:
            dy = (py << _SHIFT) + SUBPIXELS // 2 - y
            at = np.uint64(py) * np.uint64(width) + np.uint64(left)
            px, dx = left, (left << _SHIFT) + SUBPIXELS // 2 - x
            while px <= right:
                d = dx * dx + dy * dy
                mine = (np.uint64(d) << np.uint64(32)) | row if d <= widest else _NONE
                old = nearest[at]
                next_nearest[at] = min(next_nearest[at], max(old, mine))
                nearest[at] = min(old, mine)
                at += np.uint64(1)
                px += 1
                dx += SUBPIXELS
            py += 1


@numba.njit(cache=True, nogil=True)
def _draw(
    xy: Any,
    colours: Any,
    part: Any,
    limits: Any,
    parted: Any,
    nearest: Any,
    next_nearest: Any,
    index: Any,
    cover: Any,
) -> None:
    for at in range(len(nearest)):
        if nearest[at] == _NONE:
            continue
        a, d = np.int64(nearest[at] & _LOW), np.int64(nearest[at] >> np.uint64(32))
        own = limits[part[a]]
        level = 1 + (d <= own[1]) + (d <= own[2]) + (d <= own[3])
        if parted[part[a]] and next_nearest[at] != _NONE:
            b = np.int64(next_nearest[at] & _LOW)
            farther = np.int64(next_nearest[at] >> np.uint64(32)) - d
            dx, dy = float(xy[a, 0] - xy[b, 0]), float(xy[a, 1] - xy[b, 1])
            apart = np.sqrt(dx * dx + dy * dy)
            # Closer than half the line to where both centres are as far.
            if apart > 0 and part[a] == part[b] and farther <= apart * PARTING * SUBPIXELS:
                level = min(level, COVERAGE // 2)
        index[at] = colours[a]
        cover[at] = level


@numba.njit(cache=True, nogil=True)
def _put_small(xy: Any, colours: Any, limits: Any, nearest: Any, height: int, width: int) -> None:
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
