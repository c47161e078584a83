"""From codes to the pixels of a tile.

Codes are turned into a pixel's place in the tile by ``(base + (code << up)) >> down`` in unsigned
64-bit arithmetic; ``Frame`` holds the three numbers.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.core.geometry import CODE_BITS, Slot, TileAddress
from backend.store.morton import LEVELS, code_shift, gather, node_code

_ALL = (1 << 64) - 1


class Frame(NamedTuple):
    """How codes map to the pixels of a tile: ``(base + (code << up)) >> down``."""

    base: np.uint64
    up: np.uint64
    down: np.uint64


def cell_frame(slot: Slot, tile: TileAddress, size: int) -> Frame:
    """Return the frame of a slot's 32-bit codes in a tile of the atlas plane.

    Parameters
    ----------
    slot : Slot
    tile : TileAddress
        Of the atlas plane; its pixels must not be finer than the steps of the slot's grid.
    size : int
        Pixels per side, a power of two.
    """
    base = (node_code(*slot) - node_code(*tile)) & _ALL
    return Frame(np.uint64(base), np.uint64(code_shift(slot.level)), _down(tile, size))


def bin_frame(tile: TileAddress, size: int) -> Frame:
    """Return the frame of the global 64-bit codes of pyramid bins."""
    base = -node_code(*tile) & _ALL
    return Frame(np.uint64(base), np.uint64(0), _down(tile, size))


@lru_cache(maxsize=8)
def places_of(size: int) -> NDArray[np.int64]:
    """Return the place in a raster, row after row, of the pixel of each code of 8 bits, (256,).

    The place of a longer code is that of its lowest 8 bits, plus 16 times that of the next 8, plus
    256 times that of the rest: 4 bits of x and of y each.
    """
    codes = np.arange(256)
    x, y = (gather(codes >> axis).astype(np.int64) for axis in (0, 1))
    return frozen(y * size + x)


def pixel_level(tile: TileAddress, size: int) -> int:
    """Return the level of the atlas quadtree whose nodes are the pixels of a tile."""
    return tile.z + size.bit_length() - 1


def is_finer_than_codes(slot: Slot, tile: TileAddress, size: int) -> bool:
    """Return whether pixels are smaller than the steps of a slot's grid."""
    return pixel_level(tile, size) > slot.level + CODE_BITS


def _down(tile: TileAddress, size: int) -> np.uint64:
    return np.uint64(2 * (LEVELS - pixel_level(tile, size)))


def frozen(values: Any) -> NDArray[Any]:
    """Return a read-only plain view, so that kernels are compiled for one kind of array."""
    view = np.ascontiguousarray(values).view(np.ndarray)
    view.setflags(write=False)
    return view
