"""Nearest of some fitted cells, for very many others: a few nearby groups are searched in full."""

from __future__ import annotations

import warnings
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

#: Groups that are searched: the nearest to each cell.
PROBES = 10
#: Up to this many cells all are searched.
SMALL = 1024

Number = NDArray[np.float32]


class Neighbours:
    """Finds the nearest of some cells by Euclidean distance; the same for the same seed.

    Cells lie in as many groups as the root of their number; of the ten groups whose centres are
    nearest, every cell is looked at. Up to 1,024 cells the answer is exact.

    Parameters
    ----------
    z : (n, d) float32
    seed : int
    """

    def __init__(self, z: Number, seed: int) -> None:
        groups = np.zeros(len(z), np.int64)
        centres = z[:1]
        if len(z) > SMALL:
            centres, groups = _grouped(z, round(len(z) ** 0.5), seed)
        self._rows = np.argsort(groups, kind="stable")
        self._z = np.ascontiguousarray(z[self._rows], dtype=np.float32)
        self._starts = np.searchsorted(groups[self._rows], np.arange(len(centres) + 1))
        self._centres = np.ascontiguousarray(centres, dtype=np.float32)

    def __call__(self, z: Number, k: int) -> tuple[NDArray[np.int64], Number]:
        """Return the nearest cells of each row of z, (m, k), nearest first; and their distances.

        Where fewer than k were looked at, the rest is -1 and infinite.
        """
        near = np.full((len(z), k), -1, np.int64)
        distance = np.full((len(z), k), np.inf, np.float32)
        probes = min(PROBES, len(self._centres))
        query = np.ascontiguousarray(z, dtype=np.float32)
        _search(query, self._centres, self._starts, self._z, probes, near, distance)
        return np.where(near >= 0, self._rows[near], -1), np.sqrt(distance)


def _grouped(z: Number, n: int, seed: int) -> tuple[Number, NDArray[np.int64]]:
    """Return centres of n groups, and the group of each cell."""
    from sklearn.cluster import MiniBatchKMeans

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct cells than groups
        found = MiniBatchKMeans(n, random_state=seed, n_init=1, batch_size=4096).fit(z)
    return found.cluster_centers_.astype(np.float32), found.labels_.astype(np.int64)


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _squared(a: Any, i: int, b: Any, j: int) -> Any:
    total = np.float32(0)
    for k in range(a.shape[1]):
        step = a[i, k] - b[j, k]
        total += step * step
    return total


@numba.njit(cache=True, nogil=True)
def _keep(near: Any, distance: Any, found: int, d: Any) -> None:
    """Insert into a short list that is sorted by distance."""
    at = len(near) - 1
    while at > 0 and distance[at - 1] > d:
        near[at] = near[at - 1]
        distance[at] = distance[at - 1]
        at -= 1
    near[at] = found
    distance[at] = d


@numba.njit(cache=True, nogil=True)
def _search(
    z: Any, centres: Any, starts: Any, cells: Any, probes: int, near: Any, distance: Any
) -> None:
    groups = np.empty(probes, np.int64)
    away = np.empty(probes, np.float32)
    for i in range(len(z)):
        away[:] = np.inf
        for c in range(len(centres)):
            d = _squared(z, i, centres, c)
            if d < away[probes - 1]:
                _keep(groups, away, c, d)
        for p in range(probes):
            for j in range(starts[groups[p]], starts[groups[p] + 1]):
                d = _squared(z, i, cells, j)
                if d < distance[i, distance.shape[1] - 1]:
                    _keep(near[i], distance[i], j, d)
