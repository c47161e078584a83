"""Clusters of the cells of one section, for the balance weights.

A graph of 15 nearest neighbours by cosine with the weights of UMAP (McInnes et al. 2018, eq. 1 and
the probabilistic union), and its communities at resolution 1.

Deviations
----------
Louvain communities (Blondel et al. 2008) where the authors use Leiden's refinement of them; both
maximise the same modularity.
"""

from __future__ import annotations

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.neighbors import NearestNeighbors

NEIGHBOURS = 15
#: Halvings that find the width of a neighbourhood.
HALVINGS = 64


def communities(z: NDArray[np.float32], seed: int) -> NDArray[np.int64]:
    """Return a cluster number per cell of (n, k) embeddings, the largest cluster first."""
    n = len(z)
    if n <= 2:
        return np.zeros(n, dtype=np.int64)
    graph = nx.from_scipy_sparse_array(neighbourhood(z))
    found = nx.community.louvain_communities(graph, resolution=1.0, seed=seed % 2**32)
    out = np.zeros(n, dtype=np.int64)
    for c, members in enumerate(sorted(found, key=lambda m: (-len(m), min(m)))):
        out[list(members)] = c
    return out


def neighbourhood(z: NDArray[np.float32], k: int = NEIGHBOURS) -> csr_matrix:
    """Return the weighted, symmetric neighbour graph (n, n) of embeddings by cosine."""
    n = len(z)
    k = min(k, n)
    # A cell is its own first neighbour and counts as one of the k, as in scanpy.
    distance, near = NearestNeighbors(n_neighbors=k, metric="cosine").fit(z).kneighbors(z)
    weight = _weights(np.maximum(distance[:, 1:], 0.0), np.log2(k))
    rows = np.repeat(np.arange(n), k - 1)
    one_way = csr_matrix((weight.ravel(), (rows, near[:, 1:].ravel())), shape=(n, n))
    one_way.setdiag(0)
    both = one_way.multiply(one_way.T)
    out = csr_matrix(one_way + one_way.T - both)
    out.eliminate_zeros()
    return out


def _weights(distance: NDArray[np.float64], total: float) -> NDArray[np.float64]:
    """exp(-(d - nearest) / width) with the width at which a row adds up to ``total``."""
    beyond = distance - distance.min(axis=1, keepdims=True)
    low, high = np.zeros(len(distance)), np.full(len(distance), 4.0)
    for _ in range(HALVINGS):
        width = (low + high) / 2
        enough = np.exp(-beyond / width[:, None]).sum(axis=1) > total
        low, high = np.where(enough, low, width), np.where(enough, width, high)
    floor = 1e-3 * max(float(distance.mean()), 1e-12)
    return np.exp(-beyond / np.maximum(width, floor)[:, None])
