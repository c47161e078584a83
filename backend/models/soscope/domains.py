"""Domains of spots and of subspots: the same groups of factors, seen at both resolutions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

#: Numbers of domains that are tried.
TRIED = range(2, 11)
#: Spots whose silhouette is computed.
SAMPLE = 2000


def domains(
    spots: NDArray[np.float64], subspots: NDArray[np.float64], count: int, seed: int
) -> tuple[NDArray[np.int16], NDArray[np.int16], int]:
    """Return domains of spots and subspots, the largest first, and how many there are.

    Parameters
    ----------
    spots : (N, k) float64
        Scores of spots, which the groups are found from.
    subspots : (n, k) float64
    count : int
        Number of domains; that of the best silhouette where 0.
    seed : int
    """
    k = count or _suggested(spots, seed)
    fitted = KMeans(min(k, len(spots)), n_init=5, random_state=seed).fit(spots)
    order = np.argsort(-np.bincount(fitted.labels_), kind="stable")
    rank = np.argsort(order)
    before, after = rank[fitted.labels_], rank[fitted.predict(subspots)]
    return before.astype(np.int16), after.astype(np.int16), len(order)


def _suggested(spots: NDArray[np.float64], seed: int) -> int:
    some = np.random.default_rng(seed).permutation(len(spots))[:SAMPLE]
    sample = spots[some]
    scores = {}
    for k in TRIED:
        if k >= len(sample):
            break
        codes = KMeans(k, n_init=2, random_state=seed).fit_predict(sample)
        if len(np.unique(codes)) > 1:
            scores[k] = float(silhouette_score(sample, codes))
    return max(scores, key=lambda k: scores[k]) if scores else 1
