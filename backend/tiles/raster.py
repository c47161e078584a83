"""From cells to pixels: kernels over Z-ordered runs.

Rows are sorted along the Z-curve, so the cells of a pixel are one run of rows: a count, a majority
or a mean is one pass over the run, whatever the number of categories. Kernels write into a square
raster that several sections may share.

Codes are turned into a pixel's place in the tile by ``(base + (code << up)) >> down`` in unsigned
64-bit arithmetic; ``Frame`` holds the three numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from backend.core.geometry import CODE_BITS, Slot, TileAddress
from backend.store.morton import LEVELS, code_shift, node_code

#: Changes whenever pixels may change, so that cached tiles are not used again.
KERNEL_VERSION = 1
#: Code of a raster's pixels without cells; -1 is a pixel with cells but no label.
EMPTY = -2

_ALL = (1 << 64) - 1
_NO_WEIGHT = np.zeros(0, np.uint32)
_NO_WEIGHT.setflags(write=False)


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


def add_counts(
    codes: NDArray[Any], frame: Frame, out: NDArray[np.int64], weights: Any = None
) -> None:
    """Add the number of cells of each pixel to ``out``.

    Parameters
    ----------
    codes : (n,) uint32 or uint64
        Ascending.
    frame : Frame
    out : (size, size) int64
    weights : (n,) uint32, optional
        Cells per row; 1 where not given.
    """
    _add_counts(frozen(codes), _weights(weights), *frame, out)


def put_majority(
    codes: NDArray[Any],
    frame: Frame,
    categories: NDArray[np.int16],
    out: NDArray[np.int16],
    wanted: NDArray[np.bool_],
) -> None:
    """Write the commonest category of each pixel; ties go to the lower code.

    Parameters
    ----------
    codes : (n,) uint32 or uint64
        Ascending.
    frame : Frame
    categories : (n,) int16
        -1 is missing: not counted, and written only where a pixel has nothing else.
    out : (size, size) int16
    wanted : (k,) bool
        Where a pixel holds wanted and other categories, the commonest wanted one is written, so
        that a rare class does not vanish in an overview.
    """
    tally = np.zeros(max(1, len(wanted)), np.int64)
    _put_majority(frozen(codes), frozen(categories), *frame, tally, frozen(wanted), out)


def put_means(
    codes: NDArray[Any],
    frame: Frame,
    values: NDArray[np.float32],
    out: NDArray[np.float32],
    weights: Any = None,
) -> None:
    """Write the mean value of each pixel, infinity where its cells have none.

    Parameters
    ----------
    codes : (n,) uint32 or uint64
        Ascending.
    frame : Frame
    values : (n,) float32
        nan is missing and not counted.
    out : (size, size) float32
    weights : (n,) uint32, optional
    """
    _put_means(frozen(codes), frozen(values), _weights(weights), *frame, out)


def put_imputed(
    codes: NDArray[Any],
    frame: Frame,
    cells: NDArray[np.int8],
    direction: NDArray[np.float32],
    offset: float,
    out: NDArray[np.float32],
    weights: Any = None,
) -> None:
    """Write max(0, offset + mean of cells . direction) of each pixel.

    Parameters
    ----------
    codes : (n,) uint32 or uint64
        Ascending.
    frame : Frame
    cells : (n, d) int8
        Quantised embeddings; means of bins are embeddings too, since the score is linear.
    direction : (d,) float32
        Scale of the embedding times the gene's own embedding.
    offset : float
    out : (size, size) float32
    weights : (n,) uint32, optional
    """
    _put_imputed(
        frozen(codes),
        frozen(cells),
        frozen(direction),
        np.float32(offset),
        _weights(weights),
        *frame,
        out,
    )


def imputed(
    cells: NDArray[np.int8],
    rows: NDArray[np.int64],
    direction: NDArray[np.float32],
    offset: float,
) -> NDArray[np.float32]:
    """Return max(0, offset + cells[rows] . direction), (m,) float32."""
    out = np.empty(len(rows), np.float32)
    _imputed(frozen(cells), frozen(rows), frozen(direction), np.float32(offset), out)
    return out


def mean_of_bins(
    first: NDArray[np.int64], values: NDArray[np.float32], start: int
) -> NDArray[np.float32]:
    """Return the mean value of each bin, nan where none of its cells has a value.

    Parameters
    ----------
    first : (b,) int64
        First atlas row of each bin, ascending; bins adjoin one another.
    values : (n,) float32
        Of the rows ``start`` .. ``start + n - 1``, which the bins cover.
    start : int

    Returns
    -------
    (b,) float32
    """
    out = np.empty(len(first), np.float32)
    _mean_of_bins(frozen(first), frozen(values), start, out)
    return out


def _weights(weights: Any) -> NDArray[np.uint32]:
    return _NO_WEIGHT if weights is None else frozen(weights)


@numba.njit(cache=True, nogil=True)
def _gather(code: Any) -> Any:
    """Return every second bit of a code."""
    v = code & np.uint64(0x5555555555555555)
    v = (v | (v >> np.uint64(1))) & np.uint64(0x3333333333333333)
    v = (v | (v >> np.uint64(2))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    v = (v | (v >> np.uint64(4))) & np.uint64(0x00FF00FF00FF00FF)
    v = (v | (v >> np.uint64(8))) & np.uint64(0x0000FFFF0000FFFF)
    return np.int64((v | (v >> np.uint64(16))) & np.uint64(0xFFFFFFFF))


@numba.njit(cache=True, nogil=True)
def _pixel(code: Any, base: Any, up: Any, down: Any) -> Any:
    return (base + (np.uint64(code) << up)) >> down


@numba.njit(cache=True, nogil=True)
def _run_end(codes: Any, i: int, pixel: Any, base: Any, up: Any, down: Any) -> Any:
    j = i + 1
    while j < len(codes) and _pixel(codes[j], base, up, down) == pixel:
        j += 1
    return j


@numba.njit(cache=True, nogil=True)
def _add_counts(codes: Any, weights: Any, base: Any, up: Any, down: Any, out: Any) -> None:
    i = 0
    while i < len(codes):
        pixel = _pixel(codes[i], base, up, down)
        j = _run_end(codes, i, pixel, base, up, down)
        total = j - i
        if len(weights):
            total = 0
            for k in range(i, j):
                total += np.int64(weights[k])
        out[_gather(pixel >> np.uint64(1)), _gather(pixel)] += total
        i = j


@numba.njit(cache=True, nogil=True)
def _put_majority(
    codes: Any, categories: Any, base: Any, up: Any, down: Any, tally: Any, wanted: Any, out: Any
) -> None:
    i = 0
    while i < len(codes):
        pixel = _pixel(codes[i], base, up, down)
        j = _run_end(codes, i, pixel, base, up, down)
        best = np.int64(categories[i])
        if j > i + 1:
            best = np.int64(-1)
            for k in range(i, j):
                if categories[k] >= 0:
                    tally[categories[k]] += 1
            for k in range(i, j):
                c = np.int64(categories[k])
                if c < 0 or c == best:
                    continue
                if (
                    best < 0
                    or wanted[c] > wanted[best]
                    or wanted[c] == wanted[best]
                    and (tally[c] > tally[best] or (tally[c] == tally[best] and c < best))
                ):
                    best = c
            for k in range(i, j):
                if categories[k] >= 0:
                    tally[categories[k]] = 0
        out[_gather(pixel >> np.uint64(1)), _gather(pixel)] = best
        i = j


@numba.njit(cache=True, nogil=True)
def _put_means(
    codes: Any, values: Any, weights: Any, base: Any, up: Any, down: Any, out: Any
) -> None:
    i = 0
    while i < len(codes):
        pixel = _pixel(codes[i], base, up, down)
        j = _run_end(codes, i, pixel, base, up, down)
        total, n = 0.0, 0.0
        for k in range(i, j):
            if not np.isnan(values[k]):
                w = float(weights[k]) if len(weights) else 1.0
                total += w * values[k]
                n += w
        mean = total / n if n > 0 else np.inf
        out[_gather(pixel >> np.uint64(1)), _gather(pixel)] = mean
        i = j


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _dot(cells: Any, row: int, direction: Any) -> Any:
    total = np.float32(0)
    for k in range(len(direction)):
        total += np.float32(cells[row, k]) * direction[k]
    return total


@numba.njit(cache=True, nogil=True)
def _put_imputed(
    codes: Any,
    cells: Any,
    direction: Any,
    offset: Any,
    weights: Any,
    base: Any,
    up: Any,
    down: Any,
    out: Any,
) -> None:
    i = 0
    while i < len(codes):
        pixel = _pixel(codes[i], base, up, down)
        j = _run_end(codes, i, pixel, base, up, down)
        total, n = 0.0, 0.0
        for k in range(i, j):
            w = float(weights[k]) if len(weights) else 1.0
            total += w * _dot(cells, k, direction)
            n += w
        out[_gather(pixel >> np.uint64(1)), _gather(pixel)] = max(0.0, offset + total / n)
        i = j


@numba.njit(cache=True, nogil=True)
def _imputed(cells: Any, rows: Any, direction: Any, offset: Any, out: Any) -> None:
    for i in range(len(rows)):
        out[i] = max(np.float32(0), offset + _dot(cells, rows[i], direction))


@numba.njit(cache=True, nogil=True)
def _mean_of_bins(first: Any, values: Any, start: int, out: Any) -> None:
    for b in range(len(first)):
        end = first[b + 1] - start if b + 1 < len(first) else len(values)
        total, n = 0.0, 0
        for i in range(first[b] - start, end):
            if not np.isnan(values[i]):
                total += values[i]
                n += 1
        out[b] = total / n if n > 0 else np.nan
