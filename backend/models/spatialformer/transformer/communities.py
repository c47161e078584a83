"""Communities of many small graphs at once: Louvain (Blondel et al. 2008), seeded.

Modularity of a graph with edge weights A, degrees k and total weight 2m at resolution 1:
Q = 1/2m sum_ij (A_ij - k_i k_j / 2m) [c_i = c_j]. Moving i into community c changes it by
(k_i,c - k_i S_c / 2m) / m. Graphs share no edge; each has a 2m of its own. Order matters to the
method: nodes are visited in an order drawn with the seed, ties go to the lower community.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

#: Sweeps of one level, and levels, at most.
SWEEPS, LEVELS = 20, 10


def louvain(graph: csr_matrix, owner: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return the community of each node, (n,) int64 from 0; communities never span graphs.

    Parameters
    ----------
    graph : (n, n) csr_matrix
        Symmetric weights, no self loops.
    owner : (n,) int64
        Graph of each node, from 0.
    seed : int
    """
    random = np.random.default_rng(seed)
    level, owners = csr_matrix(graph, dtype=np.float64), np.asarray(owner, dtype=np.int64)
    community = np.arange(graph.shape[0])
    for _ in range(LEVELS):
        degree = np.asarray(level.sum(axis=1)).ravel()
        total = np.bincount(owners, degree)
        found = np.arange(level.shape[0])
        order = random.permutation(level.shape[0])
        moved = _settle(
            level.indptr, level.indices, level.data, degree, total[owners], order, found, SWEEPS
        )
        names, found = np.unique(found, return_inverse=True)
        community = found[community]
        if not moved or len(names) == level.shape[0]:
            break
        join = csr_matrix(
            (np.ones(len(found)), (found, np.arange(len(found)))), shape=(len(names), len(found))
        )
        level, owners = csr_matrix(join @ level @ join.T), owners[names]
    return np.unique(community, return_inverse=True)[1].astype(np.int64)


@numba.njit(cache=True, nogil=True)
def _settle(
    starts: Any,
    ends: Any,
    weight: Any,
    degree: Any,
    total: Any,
    order: Any,
    found: Any,
    sweeps: int,
) -> bool:
    """Move nodes until none gains; return whether any moved."""
    inside = degree.copy()
    near = np.zeros(len(found))
    any_moved = False
    for _ in range(sweeps):
        moved = 0
        for i in order:
            if starts[i] == starts[i + 1] or total[i] == 0:
                continue
            own = found[i]
            inside[own] -= degree[i]
            for e in range(starts[i], starts[i + 1]):
                if ends[e] != i:
                    near[found[ends[e]]] += weight[e]
            best, most = own, near[own] - degree[i] * inside[own] / total[i]
            for e in range(starts[i], starts[i + 1]):
                c = found[ends[e]]
                gain = near[c] - degree[i] * inside[c] / total[i]
                if gain > most + 1e-12 or (
                    gain > most - 1e-12 and c < best and c != own and best != own
                ):
                    best, most = c, gain
            for e in range(starts[i], starts[i + 1]):
                near[found[ends[e]]] = 0.0
            near[own] = 0.0
            inside[best] += degree[i]
            if best != own:
                found[i] = best
                moved += 1
        any_moved = any_moved or moved > 0
        if moved == 0:
            break
    return any_moved
