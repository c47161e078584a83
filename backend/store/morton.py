"""Z-curve codes of cells inside a slot, and of nodes of the atlas quadtree.

Bit 0 of a code is the lowest bit of x, bit 1 the lowest of y. A node's global code is the code of
its first leaf 32 levels below the root, so the codes of all its descendants are one range.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from backend.core.geometry import CODE_BITS, Slot

#: Levels of the global quadtree; codes are 64 bits.
LEVELS = 32

_SPREAD = (
    (16, 0x0000FFFF0000FFFF),
    (8, 0x00FF00FF00FF00FF),
    (4, 0x0F0F0F0F0F0F0F0F),
    (2, 0x3333333333333333),
    (1, 0x5555555555555555),
)


def spread(values: ArrayLike) -> NDArray[np.uint64]:
    """Return ``values`` (at most 32 bits) with a zero between any two bits."""
    out = np.asarray(values).astype(np.uint64)
    for shift, mask in _SPREAD:
        out = (out | (out << np.uint64(shift))) & np.uint64(mask)
    return out


def gather(codes: ArrayLike) -> NDArray[np.uint64]:
    """Return every second bit of ``codes``, from bit 0; undoes ``spread``."""
    out = np.asarray(codes, dtype=np.uint64) & np.uint64(_SPREAD[-1][1])
    masks = [mask for _, mask in _SPREAD[-2::-1]] + [0x00000000FFFFFFFF]
    for (shift, _), mask in zip(_SPREAD[::-1], masks, strict=True):
        out = (out | (out >> np.uint64(shift))) & np.uint64(mask)
    return out


def interleave(x: ArrayLike, y: ArrayLike) -> NDArray[np.uint64]:
    """Return the Z-curve codes of integer coordinates of at most 32 bits."""
    return spread(x) | (spread(y) << np.uint64(1))


def encode(x: ArrayLike, y: ArrayLike) -> NDArray[np.uint32]:
    """Return the 32-bit codes of 16-bit coordinates.

    Parameters
    ----------
    x, y : (n,) uint16

    Returns
    -------
    (n,) uint32
    """
    return interleave(x, y).astype(np.uint32)


def decode(codes: ArrayLike) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Return x and y of 32-bit codes; undoes ``encode``."""
    wide = np.asarray(codes).astype(np.uint64)
    return gather(wide).astype(np.uint16), gather(wide >> np.uint64(1)).astype(np.uint16)


def quantise(xy: ArrayLike, origin: tuple[float, float], side: float) -> NDArray[np.uint16]:
    """Return coordinates on the 65,536-step grid of a slot.

    Parameters
    ----------
    xy : (n, 2) float
        Section coordinates.
    origin : (float, float)
        Section coordinates of the slot's top left corner.
    side : float
        Side of the slot, same unit.

    Returns
    -------
    (n, 2) uint16
        Cells outside the slot are moved to its edge.
    """
    unit = (np.asarray(xy, dtype=np.float64) - np.asarray(origin)) / side
    last = (1 << CODE_BITS) - 1
    steps: NDArray[np.float64] = np.clip(np.floor(unit * (1 << CODE_BITS)), 0, last)
    return steps.astype(np.uint16)


def sort_cells(
    xy: NDArray[np.floating[Any]], origin: tuple[float, float], side: float
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return the codes of cells in ascending order, and the cell at each place.

    The same as ``encode`` of ``quantise``, sorted stably; one pass over the places and a radix
    sort of code and row together.

    Parameters
    ----------
    xy : (n, 2) float
        Section coordinates.
    origin, side
        Of the slot, as for ``quantise``.

    Returns
    -------
    (n,) uint32, (n,) uint32
    """
    keys = _keys(xy, float(origin[0]), float(origin[1]), float(side))
    keys = _radix_sort(keys)
    return (keys >> np.uint64(32)).astype(np.uint32), keys.astype(np.uint32)


def take_rows(values: NDArray[Any], order: NDArray[np.integer[Any]]) -> NDArray[Any]:
    """Return ``values[order]``; several times faster where a row is 2, 4 or 8 bytes long."""
    row = values.dtype.itemsize * int(np.prod(values.shape[1:]))
    if values.ndim == 1 or row not in (2, 4, 8) or not values.flags.c_contiguous:
        return np.take(values, order, axis=0)
    whole = values.view(f"u{row}")[:, 0]
    return np.take(whole, order).view(values.dtype).reshape(len(order), *values.shape[1:])


@numba.njit(cache=True, nogil=True)
def _keys(xy: Any, left: float, top: float, side: float) -> Any:
    """Return code and row of each cell as one number, the code in the upper half."""
    keys = np.empty(len(xy), np.uint64)
    for i in range(len(xy)):
        x = np.floor((np.float64(xy[i, 0]) - left) / side * 65536.0)
        y = np.floor((np.float64(xy[i, 1]) - top) / side * 65536.0)
        a = np.uint64(min(max(x, 0.0), 65535.0))
        b = np.uint64(min(max(y, 0.0), 65535.0))
        both = a | (b << np.uint64(32))  # spread the bits of both at once
        both = (both | (both << np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
        both = (both | (both << np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
        both = (both | (both << np.uint64(2))) & np.uint64(0x3333333333333333)
        both = (both | (both << np.uint64(1))) & np.uint64(0x5555555555555555)
        code = (both & np.uint64(0xFFFFFFFF)) | (both >> np.uint64(31))
        keys[i] = (code << np.uint64(32)) | np.uint64(i)
    return keys


@numba.njit(cache=True, nogil=True)
def _radix_sort(keys: Any) -> Any:
    """Return keys sorted by their upper 32 bits, stably."""
    n = len(keys)
    tally = np.zeros((4, 256), np.int64)
    for i in range(n):
        code = keys[i] >> np.uint64(32)
        for digit in range(4):
            tally[digit, (code >> np.uint64(8 * digit)) & np.uint64(255)] += 1
    source, target = keys, np.empty_like(keys)
    for digit in range(4):
        shift = np.uint64(32 + 8 * digit)
        if tally[digit].max() == n:
            continue
        free = np.zeros(256, np.int64)
        for k in range(1, 256):
            free[k] = free[k - 1] + tally[digit, k - 1]
        for i in range(n):
            k = (source[i] >> shift) & np.uint64(255)
            target[free[k]] = source[i]
            free[k] += 1
        source, target = target, source
    return source


def node_code(level: int, x: int, y: int) -> int:
    """Return the global code of a node of the atlas quadtree."""
    return (_spread_int(x) | _spread_int(y) << 1) << (2 * (LEVELS - level))


def _spread_int(value: int) -> int:
    """Return ``spread`` of one plain number: a tile asks for several nodes, numpy takes longer."""
    for shift, mask in _SPREAD:
        value = (value | value << shift) & mask
    return value


def node_span(level: int) -> int:
    """Return how many global codes a node of this level covers."""
    return 1 << (2 * (LEVELS - level))


def node_of(code: int, level: int) -> tuple[int, int]:
    """Return (x, y) of the node of ``level`` that holds a global code; undoes ``node_code``."""
    short = np.uint64(code >> (2 * (LEVELS - level)))
    return int(gather(short)), int(gather(short >> np.uint64(1)))


def code_shift(slot_level: int) -> int:
    """Return the left shift that turns a slot's 32-bit codes into global ones."""
    return 2 * (LEVELS - slot_level - CODE_BITS)


def global_codes(slot: Slot, morton: ArrayLike) -> NDArray[np.uint64]:
    """Return the global codes of cells of a slot.

    Parameters
    ----------
    slot : Slot
    morton : (n,) uint32

    Returns
    -------
    (n,) uint64
    """
    shift = np.uint64(code_shift(slot.level))
    return (np.asarray(morton).astype(np.uint64) << shift) + np.uint64(node_code(*slot))


def local_range(slot: Slot, level: int, x: int, y: int) -> tuple[int, int]:
    """Return the range lo, hi (exclusive) of a slot's 32-bit codes inside a node.

    The node must lie in the slot. A node smaller than one step of the slot's grid gets the code of
    the step that holds it.
    """
    offset = node_code(level, x, y) - node_code(*slot)
    shift = code_shift(slot.level)
    lo = offset >> shift
    return lo, max((offset + node_span(level)) >> shift, lo + 1)
