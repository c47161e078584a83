"""Isolating classes at overview: every bin that holds a wanted cell, from what the store keeps."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from backend.store.pyramid import Holders


def isolated(
    top: NDArray[np.int16], holders: Holders, wanted: NDArray[np.bool_], bins: slice
) -> NDArray[np.int16]:
    """Return the category of bins: the commonest wanted one that they hold, else their commonest.

    The same as a look at every cell of the bins, at the cost of those that hold a wanted one.

    Parameters
    ----------
    top : (m,) int16
        Commonest category of each bin, -1 for none.
    holders : Holders
        Of the whole level.
    wanted : (k,) bool
    bins : slice
        Which bins of the level these are.

    Returns
    -------
    (m,) int16
        Ties go to the lower code.
    """
    best, most = np.array(top), np.zeros(len(top), np.uint32)
    start = np.asarray(holders.start[:])
    ends = np.array([bins.start, bins.stop], np.uint32)
    for code in np.flatnonzero(wanted).tolist():
        own = slice(int(start[code]), int(start[code + 1]))
        place = np.asarray(holders.bin[own])
        first, last = np.searchsorted(place, ends).tolist()
        if first == last:
            continue
        cells = np.asarray(holders.cells[own.start + first : own.start + last])
        put_held(place[first:last] - ends[0], cells, code, best, most)
    return best


def put_held(
    place: NDArray[np.uint32],
    cells: NDArray[Any],
    code: int,
    best: NDArray[np.int16],
    most: NDArray[np.uint32],
) -> None:
    """Write a category where it has more cells than those written before.

    Parameters
    ----------
    place, cells : (p,)
        Places in ``best``, and cells of the category there.
    best, most : (m,)
        Category and its cells so far.
    """
    _put_held(place, cells.astype(np.uint32), code, best, most)


@numba.njit(cache=True, nogil=True)
def _put_held(place: Any, cells: Any, code: int, best: Any, most: Any) -> None:
    for i in range(len(place)):
        at = place[i]
        if cells[i] > most[at]:
            best[at] = code
            most[at] = cells[i]
