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

from backend.tiles.image import Colours
from backend.tiles.nearest import COVERAGE, FAR, PARTED_FROM, Discs, put_small


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
        self._discs = Discs(size, size)
        self._small = True

    def begin_discs(self, radius: float, n_colours: int) -> None:
        """Make room for discs; ``radius`` of the largest in pixels."""
        self._small = radius < PARTED_FROM and n_colours * COVERAGE <= 1 << 16
        if self._small:
            self._nearest.fill(FAR)
        else:
            self._cover.fill(COVERAGE)
            self._discs.clear()

    def put_discs(self, xy: NDArray[np.int64], colours: NDArray[np.uint16], radius: float) -> None:
        """Draw cells as discs, as ``nearest.Discs.put``."""
        if self._small:
            put_small(xy, colours, radius, self._nearest)
        else:
            self._discs.put(xy, colours, radius)

    def png(self, colours: Colours, with_discs: bool) -> bytes | None:
        """Return what was drawn as PNG, or None where nothing was."""
        if with_discs and self._small:
            colours, with_discs = colours.covered, False
            _merge(self._nearest, self.index)
        elif with_discs:
            self._discs.draw(self.index, self._cover)
        if not self.index.view(np.uint64).any():
            return None
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
