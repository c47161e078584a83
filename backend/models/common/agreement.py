"""How well an embedding keeps known labels, mixes sections, and predicts hidden genes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

Floats = NDArray[np.floating]


def cluster_ari(z: Floats, codes: NDArray[np.int64], seed: int = 0) -> float:
    """Return the adjusted Rand index of k-means at the true number of classes.

    Parameters
    ----------
    z : (n, k) embedding
    codes : (n,) int64, the true classes
    """
    k = len(np.unique(codes))
    found = KMeans(k, n_init=10, random_state=seed).fit_predict(z)
    return float(adjusted_rand_score(codes, found))


def mixing(z: Floats, sections: NDArray[np.int64], k: int = 50) -> float:
    """Return the mean entropy of the sections among ``k`` neighbours, over its maximum: 0 to 1."""
    near = NearestNeighbors(n_neighbors=k + 1).fit(z).kneighbors(z, return_distance=False)[:, 1:]
    n_sections = int(sections.max()) + 1
    shares = np.stack([(sections[near] == s).mean(axis=1) for s in range(n_sections)], axis=1)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=1)
    return float(entropy.mean() / np.log(n_sections))


def cross_section_accuracy(
    z: Floats, codes: NDArray[np.int64], sections: NDArray[np.int64], k: int = 15
) -> float:
    """Return how often the ``k`` nearest cells of other sections vote for a cell's class."""
    right = 0
    for s in np.unique(sections):
        here = sections == s
        vote = KNeighborsClassifier(k).fit(z[~here], codes[~here]).predict(z[here])
        right += int((vote == codes[here]).sum())
    return right / len(codes)


def gene_r(guess: Floats, truth: Floats) -> NDArray[np.float64]:
    """Return Pearson's r of every column of two (n, g) tables; 0 where one is constant."""
    a = guess - guess.mean(axis=0, dtype=np.float64)
    b = truth - truth.mean(axis=0, dtype=np.float64)
    norm = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return np.asarray((a * b).sum(axis=0) / np.where(norm > 0, norm, np.inf))
