"""Graphs of spots: nearest in space or in features, normalised as in graph convolutions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, diags, identity
from scipy.spatial import cKDTree

#: Feature neighbours per spot in the reference.
FEATURE_NEIGHBOURS = 20
#: Spots up to which neighbours in features are exact. Beyond, a neighbour may be up to half as far
#: again as the true one: 96-99 % are the true ones then, and one in ten wrong changed no result.
EXACT, SLACK = 20_000, 0.5
#: Further candidates that are fetched so that ties can be broken by index.
_SPARE = 8
#: Relative difference below which two distances are a tie.
_TIE = 1e-6


def spatial_graph(
    xy: NDArray[np.floating], neighbours: int, group: NDArray[np.int64] | None = None
) -> csr_matrix:
    """Return the symmetric graph of nearest spots: 1 where either is among the other's nearest.

    Parameters
    ----------
    xy : (n, 2)
        Distinct places within a group.
    neighbours : int
        Neighbours per spot, not counting itself. Ties go to the lower index, so the graph does
        not depend on the search tree.
    group : (n,) int64, optional
        Section of each spot; no edge joins two sections.

    Returns
    -------
    (n, n) csr_matrix of float32
        No self loops.
    """
    n = len(xy)
    rows, cols = [], []
    for own in _groups(group, n):
        near = _ranked(np.asarray(xy, np.float64)[own], min(neighbours, len(own) - 1))
        rows.append(np.repeat(own, near.shape[1]))
        cols.append(own[near.ravel()])
    return _symmetric(np.concatenate(rows), np.concatenate(cols), n)


def ring_average(
    xy: NDArray[np.floating], neighbours: int = 4, group: NDArray[np.int64] | None = None
) -> csr_matrix:
    """Return the average over the nearest spots, ties kept and the spot itself left out: (n, n).

    Rows sum to 1; on a square lattice each spot has its four sides, on a hexagonal one its six.
    """
    n = len(xy)
    rows, cols = [], []
    for own in _groups(group, n):
        places = np.asarray(xy, np.float64)[own]
        k = min(neighbours, len(own) - 1)
        distance, near = cKDTree(places).query(places, k=min(k + 1 + _SPARE, len(own)))
        keep = distance <= distance[:, [k]] * (1 + _TIE)
        keep &= near != np.arange(len(own))[:, None]
        i, j = np.nonzero(keep)
        rows.append(own[i])
        cols.append(own[near[i, j]])
    i, j = np.concatenate(rows), np.concatenate(cols)
    graph = coo_matrix((np.ones(len(i)), (i, j)), shape=(n, n)).tocsr()
    return csr_matrix(diags(1.0 / np.maximum(np.diff(graph.indptr), 1)) @ graph)


def feature_graph(
    x: NDArray[np.floating], neighbours: int = FEATURE_NEIGHBOURS, *, correlation: bool = False
) -> csr_matrix:
    """Return the symmetric graph of spots nearest in features, without self loops.

    Parameters
    ----------
    x : (n, d)
    neighbours : int
    correlation : bool
        Nearest by correlation, as in the reference; by Euclidean distance otherwise.

    Notes
    -----
    Correlation distance is half the squared Euclidean distance of standardised rows, so a k-d
    tree finds both. A constant row, which has no correlation, becomes zeros.
    """
    values = np.asarray(x, np.float64)
    if correlation:
        values = values - values.mean(axis=1, keepdims=True)
        norm = np.linalg.norm(values, axis=1, keepdims=True)
        values = values / np.where(norm > 0, norm, 1.0)
    near = nearest(values, values, min(neighbours, len(values) - 1), skip_self=True)
    n = len(values)
    return _symmetric(np.repeat(np.arange(n), near.shape[1]), near.ravel(), n)


def nearest(
    reference: NDArray[np.floating],
    query: NDArray[np.floating],
    k: int,
    *,
    skip_self: bool = False,
) -> NDArray[np.int64]:
    """Return the ``k`` nearest rows of ``reference`` for each row of ``query``: (m, k) int64.

    Parameters
    ----------
    skip_self : bool
        The query is the reference, and a row is not its own neighbour; told by index, so equal
        rows do no harm.
    """
    extra = 1 if skip_self else 0
    slack = 0.0 if len(reference) <= EXACT else SLACK
    _, near = cKDTree(reference).query(query, k=k + extra, eps=slack)
    near = np.asarray(near, np.int64).reshape(len(query), k + extra)
    if not skip_self:
        return near
    is_self = near == np.arange(len(near))[:, None]
    is_self[~is_self.any(axis=1), -1] = True  # equal rows pushed it out: drop the farthest
    return near[~is_self].reshape(len(near), k)


def normalised(graph: csr_matrix) -> csr_matrix:
    """Return D^-1/2 (A + I) D^-1/2 as float32, D the row sums of A + I."""
    own = graph + identity(graph.shape[0], dtype=np.float32, format="csr")
    scale = diags(1.0 / np.sqrt(np.asarray(own.sum(axis=1), np.float64).ravel()))
    return csr_matrix(scale @ own @ scale, dtype=np.float32)


def _groups(group: NDArray[np.int64] | None, n: int) -> list[NDArray[np.int64]]:
    """Return the rows of each section."""
    if group is None:
        return [np.arange(n)]
    return [np.flatnonzero(group == g) for g in np.unique(group)]


def _ranked(places: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Return the k nearest other places, ties to the lower index: (n, k)."""
    n = len(places)
    if k == 0:
        return np.zeros((n, 0), np.int64)
    distance, near = cKDTree(places).query(places, k=min(k + 1 + _SPARE, n))
    distance[near == np.arange(n)[:, None]] = np.inf
    # Distances that differ by rounding alone must compare equal.
    step = distance.min(axis=1, keepdims=True) * _TIE
    rank = np.lexsort((near, np.rint(distance / np.where(step > 0, step, 1.0))), axis=1)
    return np.take_along_axis(near, rank[:, :k], axis=1)


def _symmetric(rows: NDArray[np.int64], cols: NDArray[np.int64], n: int) -> csr_matrix:
    """Return the union of a directed graph and its transpose, all weights 1."""
    ones = np.ones(2 * len(rows), np.float32)
    both = (np.concatenate([rows, cols]), np.concatenate([cols, rows]))
    graph = csr_matrix((ones, both), shape=(n, n))
    graph.data[:] = 1.0  # an edge found from both ends counts once
    return graph
