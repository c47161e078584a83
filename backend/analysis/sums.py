"""Sums over the cells of a class: how many they are, and their embeddings added up."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray


def add_cells(
    codes: NDArray[np.int16],
    cells: NDArray[np.int8],
    count: NDArray[np.int64],
    total: NDArray[np.int64],
) -> None:
    """Add cells to the sums of their classes, in place.

    Parameters
    ----------
    codes : (m,) int16
        Class of each cell, -1 where it has none.
    cells : (m, d) int8
        Their embeddings; d may be 0.
    count : (classes + 1,) int64
        The first entry is of the cells without a class.
    total : (classes + 1, d) int64

    Raises
    ------
    ValueError
        If the shapes do not fit one another.
    """
    if cells.shape != (len(codes), total.shape[1]) or len(count) != len(total):
        raise ValueError(f"shapes do not fit: {cells.shape}, {codes.shape}, {total.shape}")
    _add(codes, cells, count, total)


@numba.njit(cache=True, nogil=True)
def _add(codes: Any, cells: Any, count: Any, total: Any) -> None:
    n, d = cells.shape
    # A block's sums fit 32 bits, which are added twice as fast as 64.
    part = np.zeros(total.shape, np.int32)
    block = 1 << 24
    for start in range(0, n, block):
        stop = min(n, start + block)
        part[:] = 0
        for i in range(start, stop):
            c = codes[i] + 1
            if c < 0 or c >= len(count):
                c = 0
            count[c] += 1
            for k in range(d):
                part[c, k] += np.int32(cells[i, k])
        total += part
