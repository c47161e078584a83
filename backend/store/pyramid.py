"""Overview levels: one row per occupied bin, with the mean embedding and the commonest labels.

Cells lie along the Z-curve, so the cells of a bin are one run of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from backend.store.flat import Rows
from backend.store.morton import LEVELS
from backend.store.schema import ALWAYS_LEVELS, DENSE_TILE, TILE_BITS, TOP


@dataclass(frozen=True, slots=True)
class PyramidLevel:
    """Occupied bins of one atlas level, in storage order.

    Parameters
    ----------
    code : (b,) uint64
        Global code of the bin's node.
    first : (b,) int64
        First atlas row of the bin.
    count : (b,) uint32
        Cells in the bin.
    embedding : (b, d) int8 or None
        Mean of the cells' embeddings, same scale as theirs.
    top : mapping of label to ((b, 3) int16, (b, 3) uint32)
        Commonest categories, most first, -1 where there are fewer; and their cells.
    """

    level: int
    code: Rows
    first: Rows
    count: Rows
    embedding: Rows | None
    top: Mapping[str, tuple[Rows, Rows]]


def bins(codes: NDArray[np.uint64], level: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the code, first row and count of the occupied bins of a level.

    Parameters
    ----------
    codes : (n,) uint64
        Global codes, ascending, at least one.
    level : int

    Returns
    -------
    (b,) uint64, (b,) int64, (b,) uint32
    """
    if level == 0:  # a shift by all 64 bits is not defined
        return np.zeros(1, np.uint64), np.zeros(1, np.int64), np.array([len(codes)], np.uint32)
    shift = np.uint64(2 * (LEVELS - level))
    first = _run_starts(codes, shift)
    count = np.diff(first, append=len(codes)).astype(np.uint32)
    return (codes[first] >> shift) << shift, first, count


def levels_to_keep(codes: NDArray[np.uint64]) -> list[int]:
    """Return the levels an atlas keeps: those whose tiles hold more cells than are drawn singly."""
    if len(codes) <= DENSE_TILE:
        return []
    levels = []
    for level in range(TILE_BITS, LEVELS - 1):
        densest = int(bins(codes, level - TILE_BITS)[2].max())
        if level not in ALWAYS_LEVELS and densest <= DENSE_TILE:
            break
        levels.append(level)
    return levels


def mean_embedding(cells: NDArray[np.int8], first: NDArray[np.int64]) -> NDArray[np.int8]:
    """Return the mean embedding of each bin, rounded half to even.

    Parameters
    ----------
    cells : (n, d) int8
    first : (b,) int64
        First row of each bin; bins are consecutive.

    Returns
    -------
    (b, d) int8
    """
    return np.asarray(_mean_runs(cells, first))


def top_categories(
    codes: NDArray[np.int16], first: NDArray[np.int64], n_categories: int
) -> tuple[NDArray[np.int16], NDArray[np.uint32]]:
    """Return the commonest categories of each bin and their counts, ties to the lower code.

    Parameters
    ----------
    codes : (n,) int16
        -1 is missing and not counted.
    first : (b,) int64

    Returns
    -------
    (b, 3) int16, (b, 3) uint32
    """
    top, count = _top_runs(codes, first, max(1, n_categories), TOP)
    return np.asarray(top), np.asarray(count)


@numba.njit(cache=True, nogil=True)
def _run_starts(codes: Any, shift: Any) -> Any:
    starts = np.empty(len(codes), np.int64)
    n = 0
    for i in range(len(codes)):
        if i == 0 or (codes[i] >> shift) != (codes[i - 1] >> shift):
            starts[n] = i
            n += 1
    return starts[:n].copy()


@numba.njit(cache=True, nogil=True)
def _mean_runs(cells: Any, first: Any) -> Any:
    n, d = cells.shape
    out = np.empty((len(first), d), np.int8)
    total = np.empty(d, np.int64)
    for b in range(len(first)):
        end = first[b + 1] if b + 1 < len(first) else n
        total[:] = 0
        for i in range(first[b], end):
            for k in range(d):
                total[k] += cells[i, k]
        for k in range(d):
            out[b, k] = np.rint(total[k] / (end - first[b]))
    return out


@numba.njit(cache=True, nogil=True)
def _top_runs(codes: Any, first: Any, n_categories: int, keep: int) -> Any:
    n = len(codes)
    top = np.full((len(first), keep), -1, np.int16)
    count = np.zeros((len(first), keep), np.uint32)
    tally = np.zeros(n_categories, np.int64)
    for b in range(len(first)):
        end = first[b + 1] if b + 1 < len(first) else n
        for i in range(first[b], end):
            if codes[i] >= 0:
                tally[codes[i]] += 1
        for i in range(first[b], end):
            c = codes[i]
            if c < 0 or tally[c] == 0:
                continue
            found = tally[c]
            tally[c] = 0
            # Insert into the short sorted list; a tie goes to the lower code.
            place = keep
            while place > 0 and (
                found > count[b, place - 1]
                or (found == count[b, place - 1] and c < top[b, place - 1])
            ):
                place -= 1
            for k in range(keep - 1, place, -1):
                top[b, k] = top[b, k - 1]
                count[b, k] = count[b, k - 1]
            if place < keep:
                top[b, place] = c
                count[b, place] = found
    return top, count
