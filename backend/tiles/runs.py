"""Runs of cells along a layout's Z-curve: where they start, what is commonest or mean in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from backend.core.geometry import CODE_BITS
from backend.tiles.frames import frozen

#: Cells gathered at a time.
_BLOCK = 1 << 20


def run_starts(codes: NDArray[np.uint32], level: int) -> NDArray[np.uint32]:
    """Return the first place of each occupied node of a level, 1 .. 16."""
    return np.asarray(_run_starts(frozen(codes), 2 * (CODE_BITS - level)))


def majority_of_runs(
    first: NDArray[np.uint32], codes: NDArray[np.int16], wanted: NDArray[np.bool_]
) -> NDArray[np.int16]:
    """Return the commonest category of each run, wanted ones before others; -1 for none.

    Parameters
    ----------
    first : (b,) uint32
        Start of each run, ascending from 0.
    codes : (n,) int16
    wanted : (k,) bool
    """
    out = np.empty(len(first), np.int16)
    tally = np.zeros(max(1, len(wanted)), np.int64)
    _majority_of_runs(frozen(first), frozen(codes), tally, frozen(wanted), out)
    return out


def mean_of_runs(first: NDArray[np.uint32], cells: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return the mean embedding (b, d) of each run of cells (n, d), rounded half to even."""
    out = np.empty((len(first), cells.shape[1]), np.int8)
    _mean_of_runs(frozen(first), frozen(cells), out)
    return out


def over_runs(
    first: NDArray[np.uint32], n: int, of: Callable[[slice, NDArray[np.uint32]], NDArray[Any]]
) -> NDArray[Any]:
    """Return what ``of`` gives for all runs, asked for about a million places at a time.

    Parameters
    ----------
    first : (b,) uint32
        Start of each run of places.
    n : int
        Places of all runs.
    of : callable (slice of places, starts of runs in it) -> (runs, ...)
    """
    parts, start = [], 0
    while start < len(first):
        after = np.searchsorted(first, int(first[start]) + _BLOCK)
        stop = max(start + 1, int(after))
        end = int(first[stop]) if stop < len(first) else n
        begin = int(first[start])
        parts.append(of(slice(begin, end), first[start:stop] - np.uint32(begin)))
        start = stop
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


@numba.njit(cache=True, nogil=True)
def _run_starts(codes: Any, shift: int) -> Any:
    n = 0
    last = np.int64(-1)
    for i in range(len(codes)):
        node = np.int64(codes[i]) >> shift
        n += node != last
        last = node
    out = np.empty(n, np.uint32)
    n = 0
    last = np.int64(-1)
    for i in range(len(codes)):
        node = np.int64(codes[i]) >> shift
        if node != last:
            out[n] = i
            n += 1
        last = node
    return out


@numba.njit(cache=True, nogil=True)
def _majority_of_runs(first: Any, codes: Any, tally: Any, wanted: Any, out: Any) -> None:
    for b in range(len(first)):
        start = np.int64(first[b])
        end = np.int64(first[b + 1]) if b + 1 < len(first) else len(codes)
        for i in range(start, end):
            if codes[i] >= 0:
                tally[codes[i]] += 1
        best = np.int64(-1)
        for i in range(start, end):
            c = np.int64(codes[i])
            if c < 0 or c == best:
                continue
            if (
                best < 0
                or wanted[c] > wanted[best]
                or wanted[c] == wanted[best]
                and (tally[c] > tally[best] or (tally[c] == tally[best] and c < best))
            ):
                best = c
        for i in range(start, end):
            if codes[i] >= 0:
                tally[codes[i]] = 0
        out[b] = best


@numba.njit(cache=True, nogil=True)
def _mean_of_runs(first: Any, cells: Any, out: Any) -> None:
    total = np.empty(cells.shape[1], np.int64)
    for b in range(len(first)):
        start = np.int64(first[b])
        end = np.int64(first[b + 1]) if b + 1 < len(first) else len(cells)
        total[:] = 0
        for i in range(start, end):
            for k in range(cells.shape[1]):
                total[k] += cells[i, k]
        for k in range(cells.shape[1]):
            out[b, k] = np.rint(total[k] / (end - start))
