"""The canvas of a tile: a raster of colour indices, and room for its discs and its PNG.

A thread draws one tile after the other on the same canvas: fresh memory for each would be handed
over by the system page by page, which takes longer than most kernels.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from backend.tiles.discs import COVERAGE, FAR, PARTED_FROM, put_discs, put_small
from backend.tiles.image import Colours

_FAR_TWICE = np.uint64(FAR) << np.uint64(32) | np.uint64(FAR)


class Canvas:
    """A square raster.

    Parameters
    ----------
    size : int
        Pixels per side.
    """

    def __init__(self, size: int) -> None:
        self.index = np.zeros((size, size), np.uint16)
        self._rows = np.zeros((size, size + 1), np.uint8)
        self._nearest = np.zeros((size, size), np.uint32)
        self._cover = np.zeros((size, size), np.uint8)
        self._distance = np.zeros((2, size, size), np.int32)
        self._owner = np.zeros((2, size, size), np.int32)
        self._small = True

    def begin_discs(self, radius: float, n_colours: int) -> None:
        """Make room for discs; ``radius`` of the largest in pixels."""
        self._small = radius < PARTED_FROM and n_colours * COVERAGE <= 1 << 16
        if self._small:
            self._nearest.fill(FAR)
        else:
            self._cover.fill(COVERAGE)
            self._distance.fill(np.iinfo(np.int32).max)

    def put_discs(self, xy: NDArray[np.int64], colours: NDArray[np.uint16], radius: float) -> None:
        """Draw cells as discs, as ``discs.put_discs``."""
        if self._small:
            put_small(xy, colours, radius, self._nearest)
        else:
            canvas = self.index, self._cover, self._distance, self._owner
            put_discs(xy, colours, radius, *canvas)

    def is_empty(self, with_discs: bool) -> bool:
        """Return whether nothing was drawn."""
        if with_discs and self._small and (self._nearest.view(np.uint64) != _FAR_TWICE).any():
            return False
        return not self.index.view(np.uint64).any()

    def png(self, colours: Colours, with_discs: bool) -> bytes:
        """Return what was drawn as PNG."""
        if with_discs and self._small:
            _merge(self._nearest, self.index)
            return colours.covered.png(self.index, None, self._rows)
        return colours.png(self.index, self._cover if with_discs else None, self._rows)


class _Canvases(threading.local):
    """Canvases of one thread by their size."""

    def __init__(self) -> None:
        self.by_size: dict[int, Canvas] = {}


@cache
def _canvases() -> _Canvases:
    return _Canvases()


def canvas_of(size: int) -> Canvas:
    """Return this thread's empty canvas of a size, 256 or 512; good until it is asked for again."""
    by_size = _canvases().by_size
    canvas = by_size.get(size)
    if canvas is None:
        canvas = by_size[size] = Canvas(size)
    canvas.index.fill(0)
    return canvas


@numba.njit(cache=True, nogil=True)
def _merge(nearest: Any, index: Any) -> None:
    """Turn colours into places in the table of covered colours, discs before pixels."""
    for y in range(index.shape[0]):
        for x in range(index.shape[1]):
            disc = np.uint16(nearest[y, x] & np.uint32(0xFFFF))
            pixel = np.uint16(index[y, x] * COVERAGE + COVERAGE - 1)
            index[y, x] = disc if disc > 0 else (pixel if index[y, x] > 0 else 0)
