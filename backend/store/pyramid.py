"""Overview levels: one row per occupied bin, with the mean embedding and the commonest labels.

Cells lie along the Z-curve, so the cells of a bin are one run of rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from backend.store.flat import Rows
from backend.store.morton import LEVELS
from backend.store.schema import ALWAYS_LEVELS, DENSE_TILE, TILE_BITS, TOP

#: Code, first row and count of the bins of a level.
Bins = tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.uint32]]
#: Rows whose mean is exact in 32 bits: sums stay below 2**24, and no quotient that is not half a
#: step comes within a rounding error of one.
_EXACT = 1 << 15


class Holders(NamedTuple):
    """The bins that hold each category, category by category.

    Parameters
    ----------
    start : (k + 1,) int64
        Those of category c are ``start[c] : start[c + 1]``.
    bin : (p,) uint32
        Places of bins in the level, ascending within a category.
    cells : (p,) uint16 or uint32
        Cells of the category in the bin, at least one.
    """

    start: Rows
    bin: Rows
    cells: Rows


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
    holders : mapping of label to Holders
        All categories of all bins; without those labels whose store does not keep them.
    """

    level: int
    code: Rows
    first: Rows
    count: Rows
    embedding: Rows | None
    top: Mapping[str, tuple[Rows, Rows]]
    holders: Mapping[str, Holders]


def bins(codes: NDArray[np.uint64], level: int) -> Bins:
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


def levels_of(codes: NDArray[np.uint64], levels: Sequence[int]) -> dict[int, Bins]:
    """Return the bins of several levels, from coarse to fine; all cells are looked at once.

    Parameters
    ----------
    codes : (n,) uint64
        Global codes, ascending, at least one.
    levels : sequence of int
    """
    found: dict[int, Bins] = {}
    n, rows = len(codes), None
    for level in sorted(levels, reverse=True):  # a bin is whole bins of the finer level
        code, first, count = bins(codes, level)
        if rows is not None:
            first = rows[first]
            count = np.diff(first, append=n).astype(np.uint32)
        found[level] = (code, first, count)
        codes, rows = code, first
    return dict(sorted(found.items()))


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


def mean_embedding(
    cells: NDArray[np.int8], firsts: Sequence[NDArray[np.int64]]
) -> list[NDArray[np.int8]]:
    """Return the mean embedding of each bin of each level, rounded half to even.

    The embeddings are read once: sums of a level are handed on to the coarser one.

    Parameters
    ----------
    cells : (n, d) int8
    firsts : sequence of (b,) int64
        First row of each bin, levels from coarse to fine; bins are consecutive, and a bin of a
        level is whole bins of the finer ones.

    Returns
    -------
    list of (b, d) int8
    """
    if not firsts:
        return []
    n, d = cells.shape
    edges = np.concatenate([part for first in firsts for part in (first, [n])]).astype(np.int64)
    begins = np.cumsum([0] + [len(first) + 1 for first in firsts])
    out = np.empty((int(begins[-1]), d), np.int8)
    _mean_levels(np.asarray(cells), edges, begins, out)
    return [out[begins[i] : begins[i] + len(first)] for i, first in enumerate(firsts)]


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


def holders_of(
    codes: NDArray[np.int16], first: NDArray[np.integer[Any]], n_categories: int
) -> Holders:
    """Return the bins that hold each category, and how many cells of it.

    Parameters
    ----------
    codes : (n,) int16
        -1 is missing and in no list.
    first : (b,) int
        First row of each bin, ascending from 0.
    n_categories : int
    """
    first = np.asarray(first, np.int64)
    start = np.zeros(n_categories + 1, np.int64)
    np.cumsum(_count_holders(codes, first, n_categories), out=start[1:])
    place, cells = _fill_holders(codes, first, start[:-1].copy(), int(start[-1]))
    most = int(cells.max(initial=0))
    return Holders(start, place, cells.astype(np.uint16 if most < 1 << 16 else np.uint32))


@numba.njit(cache=True, nogil=True)
def _count_holders(codes: Any, first: Any, n_categories: int) -> Any:
    found = np.zeros(n_categories, np.int64)
    last = np.full(n_categories, -1, np.int64)
    for b in range(len(first)):
        for i in range(first[b], first[b + 1] if b + 1 < len(first) else len(codes)):
            c = codes[i]
            if c >= 0 and last[c] != b:
                last[c] = b
                found[c] += 1
    return found


@numba.njit(cache=True, nogil=True)
def _fill_holders(codes: Any, first: Any, free: Any, n: int) -> Any:
    place, cells = np.empty(n, np.uint32), np.empty(n, np.uint32)
    last = np.full(len(free), -1, np.int64)
    for b in range(len(first)):
        for i in range(first[b], first[b + 1] if b + 1 < len(first) else len(codes)):
            c = codes[i]
            if c < 0:
                continue
            if last[c] != b:
                last[c] = b
                place[free[c]] = b
                cells[free[c]] = 0
                free[c] += 1
            cells[free[c] - 1] += np.uint32(1)
    return place, cells


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
def _mean_levels(cells: Any, edges: Any, begins: Any, out: Any) -> None:
    """Fill ``out``; the edges of level l are ``edges[begins[l] : begins[l + 1]]``."""
    n_levels, d = len(begins) - 1, cells.shape[1]
    finest = n_levels - 1
    place = begins[:-1].copy()  # the bin of each level that is being summed
    total = np.zeros((n_levels + 1, d), np.int64)  # the first row takes the sum of all
    short = np.empty(d, np.int32)
    for b in range(begins[finest], begins[finest + 1] - 1):
        first, end = edges[b], edges[b + 1]
        if end - first <= _EXACT:
            _sum_rows(cells, first, end, short)
            _mean_short(short, np.float32(end - first), out[b], total[finest])
        else:
            for start in range(first, end, _EXACT):
                _sum_rows(cells, start, min(start + _EXACT, end), short)
                for k in range(d):
                    total[n_levels, k] += short[k]
            _mean_long(total[n_levels], np.float64(end - first), out[b], total[finest])
        for level in range(finest - 1, -1, -1):
            at = place[level]
            if edges[at + 1] != end:
                break
            count = np.float64(end - edges[at])
            _mean_long(total[level + 1], count, out[at], total[level])
            place[level] += 1


@numba.njit(cache=True, nogil=True)
def _sum_rows(cells: Any, first: int, end: int, total: Any) -> None:
    for k in range(len(total)):
        total[k] = cells[first, k]
    for i in range(first + 1, end):
        for k in range(len(total)):
            total[k] += cells[i, k]


@numba.njit(cache=True, nogil=True)
def _mean_short(total: Any, count: Any, mean: Any, above: Any) -> None:
    """Write the mean of a few rows, exact in 32 bits, and add their sum to the level above."""
    for k in range(len(total)):
        mean[k] = np.int32(np.rint(np.float32(total[k]) / count))
        above[k] += total[k]


@numba.njit(cache=True, nogil=True)
def _mean_long(total: Any, count: float, mean: Any, above: Any) -> None:
    """Write the mean of many rows, move their sum to the level above, and begin anew."""
    for k in range(len(total)):
        mean[k] = np.int32(np.rint(total[k] / count))
        above[k] += total[k]
        total[k] = 0


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
