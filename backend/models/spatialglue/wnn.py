"""Weighted nearest neighbours: a baseline that joins modalities without space or training.

Written from the idea of Hao Y. et al., Integrated analysis of multimodal single-cell data, Cell
184, 3573 (2021): a modality counts for a spot as far as its own neighbours predict the spot's
profile better than the neighbours of the other modalities do.

Deviations: the bandwidth is the distance to the 20th neighbour; domains come from a spectral
embedding of the joint graph and the tied mixture, since the number of domains is given.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import ArpackNoConvergence, eigsh

from backend.models.spatialglue.measures import nearest_of

#: Neighbours of the joint graph, and candidates per modality.
NEIGHBOURS, CANDIDATES = 20, 50
#: Added to the affinity that ratios are divided by, and the largest ratio followed.
_SOFT, _MOST = 1e-4, 20.0


def joint_embedding(
    components: Sequence[NDArray[np.floating]], dimensions: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return leading eigenvectors of the weighted nearest neighbour graph, (n, dimensions)."""
    graph = joint_graph(components)
    scale = diags(1 / np.sqrt(np.maximum(np.asarray(graph.sum(axis=1)).ravel(), 1e-12)))
    start = rng.standard_normal(graph.shape[0])
    try:
        _, vectors = eigsh(scale @ graph @ scale, k=dimensions, which="LA", v0=start, tol=1e-4)
    except ArpackNoConvergence as error:
        vectors = error.eigenvectors
    return np.asarray(vectors * np.sqrt(graph.shape[0]))


def joint_graph(components: Sequence[NDArray[np.floating]]) -> csr_matrix:
    """Return the symmetric graph of the spots most alike over all modalities, (n, n)."""
    x = [_unit(np.asarray(c, np.float32)) for c in components]
    n = len(x[0])
    rows = np.arange(n)
    near = [_sorted(v, nearest_of(v, rows, min(CANDIDATES, n - 1))) for v in x]
    weights = modality_weights(x, near)
    i = np.repeat(rows, sum(v.shape[1] for v in near))
    j = np.concatenate(near, axis=1).ravel()
    pairs = np.unique(i * n + j)
    i, j = pairs // n, pairs % n
    score = np.zeros(len(i))
    for m, v in enumerate(x):
        first, width = _scale(v, near[m])
        far = np.linalg.norm(v[i] - v[j], axis=1)
        score += weights[i, m] * np.exp(-np.maximum(far - first[i], 0) / width[i])
    order = np.lexsort((-score, i))
    rank = np.arange(len(i)) - np.searchsorted(i[order], i[order], side="left")
    kept = order[rank < NEIGHBOURS]
    graph = csr_matrix((score[kept], (i[kept], j[kept])), shape=(n, n))
    return graph.maximum(graph.T)


def modality_weights(
    x: Sequence[NDArray[np.float32]], near: Sequence[NDArray[np.int64]]
) -> NDArray[np.float64]:
    """Return weights of the modalities per spot that sum to 1, (n, M)."""
    ratios = []
    for m, v in enumerate(x):
        first, width = _scale(v, near[m])
        fit = []
        for other in near:
            guess = v[other[:, :NEIGHBOURS]].mean(axis=1)
            far = np.linalg.norm(v - guess, axis=1)
            fit.append(np.exp(-np.maximum(far - first, 0) / width))
        rest = [f for k, f in enumerate(fit) if k != m]
        across = np.mean(rest, axis=0) if rest else np.ones(len(v))
        ratios.append(np.minimum(fit[m] / (across + _SOFT), _MOST))
    score = np.exp(np.stack(ratios, axis=1))
    return score / score.sum(axis=1, keepdims=True)


def _unit(x: NDArray[np.float32]) -> NDArray[np.float32]:
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.where(norm > 0, norm, 1.0), np.float32)


def _sorted(x: NDArray[np.float32], near: NDArray[np.int64]) -> NDArray[np.int64]:
    """Neighbours by distance."""
    far = np.stack([np.linalg.norm(x - x[column], axis=1) for column in near.T], axis=1)
    return np.take_along_axis(near, far.argsort(axis=1, kind="stable"), axis=1)


def _scale(
    x: NDArray[np.float32], near: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance to the nearest neighbour, and bandwidth."""
    first = np.linalg.norm(x - x[near[:, 0]], axis=1)
    last = np.linalg.norm(x - x[near[:, min(NEIGHBOURS, near.shape[1]) - 1]], axis=1)
    return first, np.maximum(last - first, 1e-6)
