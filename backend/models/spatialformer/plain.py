"""Plain methods that stand beside the pair model: frequency of type pairs, cosine of components."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backend.models.spatialformer.niches import group_centres
from backend.models.spatialformer.pairs import POSITIVE
from backend.models.spatialformer.partners import Training

#: Clusters whose pairs are counted.
CLUSTERS = 20
#: Added to every count.
PRIOR = 1.0


def clusters_of(
    h: list[NDArray[np.float64]], seed: int, count: int = CLUSTERS
) -> tuple[NDArray[np.float64], list[NDArray[np.int64]]]:
    """Return centres of clusters of all cells, and the cluster of each cell of each section."""
    centres = group_centres(np.concatenate(h), count, seed)
    return centres, [nearest(x, centres) for x in h]


def nearest(h: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the nearest centre of each cell."""
    return np.asarray(((centres**2).sum(axis=1) - 2 * h @ centres.T).argmin(axis=1))


def pair_frequency(
    training: Training, groups: list[NDArray[np.int64]], k: int
) -> NDArray[np.float64]:
    """Return the symmetric log odds (k, k) that a pair of two groups are neighbours."""
    counts = np.full((2, k, k), PRIOR)
    for own, pairs in zip(groups, training.pairs, strict=True):
        side = (pairs.kind != POSITIVE).astype(np.int64)
        np.add.at(counts, (side, own[pairs.a], own[pairs.b]), 1.0)
    counts = counts + counts.transpose(0, 2, 1)
    near, far = counts / counts.sum(axis=(1, 2), keepdims=True)
    return np.asarray(np.log(near / far))


def cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cosine of each pair of rows (m, d)."""
    size = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / np.maximum(size, 1e-9))
