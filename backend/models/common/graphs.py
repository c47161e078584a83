"""Neighbour graphs of the cells of a section: sparse, without self loops, row-normalised."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.spatial import Delaunay, QhullError, cKDTree

#: Edges longer than this many median edges cross gaps or run along the hull, and are cut.
LONGEST_EDGE = 3.0
#: Neighbours per cell where no triangulation exists (fewer than three places, or all on a line).
LINE_NEIGHBOURS = 2


def delaunay_graph(xy: NDArray[np.float32], longest: float = LONGEST_EDGE) -> csr_matrix:
    """Return the row-normalised Delaunay graph of the cells of a section.

    Parameters
    ----------
    xy : (n, 2) float32
        Cell centres.
    longest : float
        Edges longer than ``longest`` times the median edge are cut.

    Returns
    -------
    (n, n) csr_matrix of float32
        Rows sum to 1. No self loops, but for a cell left without any neighbour, whose only
        neighbour is itself, so that a mean over neighbours always exists.

    Notes
    -----
    Cells at exactly the same place are neighbours of the first of them and of its neighbours;
    a triangulation alone would leave them isolated.
    """
    places, first, place_of = np.unique(
        np.asarray(xy, dtype=np.float64), axis=0, return_index=True, return_inverse=True
    )
    place_of = place_of.ravel()
    rows, cols = _short(places, _edges(places), longest)
    edges = _between_cells(rows, cols, first, place_of)
    n = len(place_of)
    graph = coo_matrix((np.ones(edges.shape[1], np.float32), edges), shape=(n, n)).tocsr()
    graph.data[:] = 1.0  # an edge found twice counts once
    return row_normalised(graph)


def row_normalised(graph: csr_matrix) -> csr_matrix:
    """Return ``graph`` with rows that sum to 1; empty rows get a self loop."""
    degree = np.asarray(graph.sum(axis=1)).ravel()
    lonely = (degree == 0).astype(np.float32)
    filled = graph + diags(lonely)
    inverse = (1.0 / np.where(degree == 0, 1.0, degree)).astype(np.float32)
    return csr_matrix(diags(inverse) @ filled, dtype=np.float32)


def _edges(places: NDArray[np.float64]) -> NDArray[np.int64]:
    """(2, e) undirected edges between distinct places."""
    if len(places) < 2:
        return np.zeros((2, 0), np.int64)
    if len(places) > 2:
        try:
            corners = Delaunay(places - places.mean(axis=0)).simplices
        except QhullError:
            return _line_edges(places)
        pairs = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])
        return np.unique(np.sort(pairs, axis=1), axis=0).T.astype(np.int64)
    return _line_edges(places)


def _line_edges(places: NDArray[np.float64]) -> NDArray[np.int64]:
    """Edges to the nearest places, for places that span no triangle."""
    k = min(LINE_NEIGHBOURS, len(places) - 1)
    _, near = cKDTree(places).query(places, k=k + 1)
    start = np.repeat(np.arange(len(places)), k)
    pairs = np.stack([start, near[:, 1:].ravel()], axis=1)
    return np.unique(np.sort(pairs, axis=1), axis=0).T.astype(np.int64)


def _short(
    places: NDArray[np.float64], edges: NDArray[np.int64], longest: float
) -> NDArray[np.int64]:
    """Edges of at most ``longest`` median lengths."""
    if edges.shape[1] == 0:
        return edges
    length = np.linalg.norm(places[edges[0]] - places[edges[1]], axis=1)
    return edges[:, length <= longest * np.median(length)]


def _between_cells(
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    first: NDArray[np.int64],
    place_of: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Directed edges between cells, from undirected edges between places."""
    cell = np.arange(len(place_of))
    twins = cell[first[place_of] != cell]
    places = csr_matrix(
        (np.ones(2 * len(rows)), (np.r_[rows, cols], np.r_[cols, rows])),
        shape=(len(first), len(first)),
    )
    near = places[place_of[twins]].tocoo()
    twin, neighbour = twins[near.row], first[near.col]
    own = first[place_of[twins]]
    start = np.r_[first[rows], first[cols], twin, neighbour, twins, own]
    end = np.r_[first[cols], first[rows], neighbour, twin, own, twins]
    return np.stack([start, end])
