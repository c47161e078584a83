"""Radius graphs as edge lists, and features averaged over neighbours.

    G_ij = 1 where |xy_i - xy_j| < r, i = j included       A = D^-1/2 G D^-1/2
    F = [X, A X, ..., A^hops X]

Deviation: the authors make G, A and all distances as dense (n, n) arrays; here a tree finds the
edges, so that memory grows with their number.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, hstack
from scipy.spatial import cKDTree


def radius_graph(xy: NDArray[np.floating], radius: float) -> csr_matrix:
    """Return the graph of cells nearer than ``radius``, with self loops.

    Parameters
    ----------
    xy : (n, 2)
    radius : float
        In the unit of ``xy``; a distance of exactly ``radius`` is no edge.

    Returns
    -------
    (n, n) csr_matrix of float32
        Ones, columns in order within rows.
    """
    points = np.asarray(xy, dtype=np.float64)
    pairs = cKDTree(points).query_pairs(radius, output_type="ndarray")
    apart = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    i, j = pairs[apart < radius].T
    own = np.arange(len(points))
    rows, columns = np.r_[i, j, own], np.r_[j, i, own]
    ones = np.ones(len(rows), dtype=np.float32)
    graph = csr_matrix((ones, (rows, columns)), shape=(len(points), len(points)))
    graph.sort_indices()
    return graph


def smallest_distance(xy: NDArray[np.floating]) -> float:
    """Return the smallest distance above 0 between two cells."""
    points = np.unique(np.asarray(xy, dtype=np.float64), axis=0)
    distance, _ = cKDTree(points).query(points, 2)
    return float(distance[:, 1].min())


def isolated(graph: csr_matrix) -> int:
    """Return how many cells have no neighbour but themselves."""
    return int((np.diff(graph.indptr) == 1).sum())


def averaged(x: csr_matrix, graph: csr_matrix, hops: int) -> csr_matrix:
    """Return features beside those of neighbours, (n, (hops + 1) g).

    Parameters
    ----------
    x : (n, g) csr_matrix
    graph : (n, n) csr_matrix
        With self loops.
    hops : int
    """
    root = 1 / np.sqrt(np.asarray(graph.sum(axis=1), dtype=np.float64).ravel())
    mean = (diags(root) @ graph @ diags(root)).astype(np.float32)
    parts = [x]
    for _ in range(hops):
        parts.append(csr_matrix(mean @ parts[-1]))
    return csr_matrix(hstack(parts, format="csr"), dtype=np.float32)
