"""From colour indices to a PNG, with exact colours however many there are.

Tables of up to 256 colours are written with the tile as they are: their palette is made once.
Larger ones are compacted to the colours in use; where those are more than 256, the tile is RGBA.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from backend.tiles.nearest import COVERAGE
from backend.tiles.png import indexed_rows, palette_chunks, rgba_rows

#: Colours that an indexed PNG can hold.
MOST_COLOURS = 256


class Colours:
    """A colour table.

    Parameters
    ----------
    rgba : (k, 4) uint8
        Colour 0 must be transparent.
    """

    def __init__(self, rgba: NDArray[np.uint8]) -> None:
        self.rgba = rgba

    @cached_property
    def palette(self) -> bytes:
        """The table as it stands in a PNG; empty where it has too many colours."""
        return palette_chunks(self.rgba) if len(self.rgba) <= MOST_COLOURS else b""

    @cached_property
    def covered(self) -> Colours:
        """Each colour at each coverage, 1 .. COVERAGE."""
        rgba = np.repeat(self.rgba, COVERAGE, axis=0)
        parts = np.tile(np.arange(1, COVERAGE + 1) / COVERAGE, len(self.rgba))
        rgba[:, 3] = np.rint(rgba[:, 3] * parts)
        return Colours(rgba)

    def png(
        self,
        index: NDArray[np.uint16],
        cover: NDArray[np.uint8] | None = None,
        rows: NDArray[np.uint8] | None = None,
    ) -> bytes:
        """Return a PNG of colour indices.

        Parameters
        ----------
        index : (h, w) uint16
        cover : (h, w) uint8, optional
            Covered part of each pixel, 1 .. COVERAGE; all are full where not given.
        rows : (h, w + 1) uint8, optional
            Room for the picture; its first column must be zero.
        """
        if rows is None:
            rows = np.zeros((index.shape[0], index.shape[1] + 1), np.uint8)
        if cover is None:
            return self._png(index, rows)
        covered = self.covered
        kind = np.uint16 if len(covered.rgba) <= 1 << 16 else np.uint32
        merged = np.empty(index.shape, kind)
        _merge(index, cover, merged)
        return covered._png(merged, rows)

    def _png(self, index: NDArray[Any], rows: NDArray[np.uint8]) -> bytes:
        if self.palette:
            _narrow(index, rows)
            return indexed_rows(rows, self.palette)
        used = np.zeros(MOST_COLOURS, np.int64)
        n = _compact(index, np.zeros(len(self.rgba), np.int32), rows, used)
        if n <= MOST_COLOURS:
            return indexed_rows(rows, palette_chunks(self.rgba[used[:n]]))
        wide = np.zeros((len(index), 4 * index.shape[1] + 1), np.uint8)
        _widen(index, self.rgba, wide)
        return rgba_rows(wide)


@numba.njit(cache=True, nogil=True)
def _merge(index: Any, cover: Any, merged: Any) -> None:
    """Write places in the table of covered colours."""
    for y in range(index.shape[0]):
        for x in range(index.shape[1]):
            colour = np.int64(index[y, x])
            merged[y, x] = colour * COVERAGE + cover[y, x] - 1 if colour > 0 else 0


@numba.njit(cache=True, nogil=True)
def _narrow(index: Any, rows: Any) -> None:
    """Write the colours of a small table."""
    for y in range(index.shape[0]):
        for x in range(index.shape[1]):
            rows[y, x + 1] = index[y, x]


@numba.njit(cache=True, nogil=True)
def _compact(index: Any, place: Any, rows: Any, used: Any) -> Any:
    """Give the colours in use places 0 .. 255; return how many there are, 257 for too many."""
    for y in range(index.shape[0]):
        for x in range(index.shape[1]):
            place[index[y, x]] = 1
    place[0] = 0
    n = 1
    for colour in range(1, len(place)):
        if place[colour] == 0:
            continue
        if n == MOST_COLOURS:
            return MOST_COLOURS + 1
        place[colour] = n
        used[n] = colour
        n += 1
    for y in range(index.shape[0]):
        for x in range(index.shape[1]):
            rows[y, x + 1] = place[index[y, x]]
    return n


@numba.njit(cache=True, nogil=True)
def _widen(index: Any, rgba: Any, rows: Any) -> None:
    """Write red, green, blue and opacity of each pixel into rows that are zero."""
    for y in range(index.shape[0]):
        for x in range(index.shape[1]):
            colour = np.int64(index[y, x])
            if colour > 0:
                for k in range(4):
                    rows[y, 4 * x + 1 + k] = rgba[colour, k]
