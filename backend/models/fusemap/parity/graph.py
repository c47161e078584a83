"""The published graph: Delaunay with self loops, symmetrically normalised, long edges kept.

A = D^-1/2 (Adj + I) D^-1/2,  D = row sums of Adj + I
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, eye
from scipy.spatial import Delaunay, QhullError

from backend.core.errors import TooFewCells


def published_graph(xy: NDArray[np.float32]) -> csr_matrix:
    """Return the normalised adjacency (n, n) of float32 of cells at ``xy`` (n, 2).

    Raises
    ------
    TooFewCells
        Where no triangle can be drawn.

    Notes
    -----
    As published no edge is pruned, so hull edges and edges across gaps stay, and a cell at exactly
    the place of another keeps nothing but its self loop. Rows do not sum to 1.
    """
    n = len(xy)
    try:
        corners = Delaunay(np.asarray(xy, dtype=np.float64)).simplices
    except (QhullError, ValueError) as error:
        raise TooFewCells(
            f"The {n} cells of a section span no triangle.",
            "The published graph is a Delaunay triangulation: give cells in a plane.",
        ) from error
    pairs = np.concatenate([corners[:, [i, j]] for i, j in ((0, 1), (1, 2), (2, 0))])
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    edges = csr_matrix((np.ones(len(pairs)), pairs.T), shape=(n, n))
    edges.data[:] = 1.0  # an edge of two triangles counts once
    return normalised_graph(edges)


def normalised_graph(edges: csr_matrix) -> csr_matrix:
    """Return D^-1/2 (edges + I) D^-1/2 of a symmetric (n, n) matrix of zeros and ones."""
    looped = csr_matrix(edges + eye(edges.shape[0], format="csr"))
    root = diags(1.0 / np.sqrt(np.asarray(looped.sum(axis=1)).ravel()))
    out = csr_matrix(root @ looped @ root, dtype=np.float32)
    out.sort_indices()
    return out
