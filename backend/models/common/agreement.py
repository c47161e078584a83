"""How well an embedding keeps known labels, mixes sections, and predicts hidden genes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

Floats = NDArray[np.floating]

#: Halvings of the search for the width of a neighbourhood.
BISECTIONS = 40


def cluster_ari(z: Floats, codes: NDArray[np.int64], seed: int = 0) -> float:
    """Return the adjusted Rand index of k-means at the true number of classes.

    Parameters
    ----------
    z : (n, k) embedding
    codes : (n,) int64, the true classes
    """
    return cluster_agreement(z, codes, seed)[0]


def cluster_agreement(z: Floats, codes: NDArray[np.int64], seed: int = 0) -> tuple[float, float]:
    """Return ARI and normalised mutual information of k-means at the true number of classes."""
    k = len(np.unique(codes))
    return agreement(KMeans(k, n_init=10, random_state=seed).fit_predict(z), codes)


def agreement(found: NDArray[np.integer], codes: NDArray[np.int64]) -> tuple[float, float]:
    """Return ARI and normalised mutual information of found classes (n,) with true ones."""
    ari = adjusted_rand_score(codes, found)
    return float(ari), float(normalized_mutual_info_score(codes, found))


def mixing(z: Floats, sections: NDArray[np.int64], k: int = 50) -> float:
    """Return the mean entropy of the sections among ``k`` neighbours, over its maximum: 0 to 1."""
    near = NearestNeighbors(n_neighbors=k + 1).fit(z).kneighbors(z, return_distance=False)[:, 1:]
    n_sections = int(sections.max()) + 1
    shares = np.stack([(sections[near] == s).mean(axis=1) for s in range(n_sections)], axis=1)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=1)
    return float(entropy.mean() / np.log(n_sections))


def effective_sections(
    z: Floats, sections: NDArray[np.int64], perplexity: float = 30.0
) -> NDArray[np.float64]:
    """Return the effective number of sections around every cell, (n,): 1 to their number.

    Parameters
    ----------
    z : (n, k)
    sections : (n,) int64, from 0
    perplexity : float
        Of the Gaussian weights of the neighbours, of which three times as many are looked at.

    Notes
    -----
    The inverse Simpson index of Korsunsky et al., Nat Methods 16, 1289 (2019); its median over
    cells is called iLISI.
    """
    k = min(int(3 * perplexity), len(z) - 1)
    distance, near = NearestNeighbors(n_neighbors=k + 1).fit(z).kneighbors(z)
    weights = _perplexed(distance[:, 1:].astype(np.float64), min(perplexity, k / 3))
    simpson = np.zeros(len(z))
    for s in np.unique(sections):
        simpson += (weights * (sections[near[:, 1:]] == s)).sum(axis=1) ** 2
    return 1 / simpson


def _perplexed(distance: NDArray[np.float64], perplexity: float) -> NDArray[np.float64]:
    """Weights exp(-b d) of every row, sum 1, with b by bisection so that exp(entropy) fits."""
    gap = distance - distance.min(axis=1, keepdims=True)
    # Where all are equally far, no width fits; rounding must not choose among them.
    least = 1e-9 * distance.mean(axis=1, keepdims=True) + 1e-300
    scale = np.maximum(gap.mean(axis=1, keepdims=True), least)
    low, high = np.full_like(scale, -12.0), np.full_like(scale, 12.0)  # log2 of b times scale
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        weights = np.exp(-(2.0**middle) * gap / scale)
        weights /= weights.sum(axis=1, keepdims=True)
        entropy = -(weights * np.log(np.maximum(weights, 1e-300))).sum(axis=1, keepdims=True)
        wide = entropy > np.log(perplexity)
        low, high = np.where(wide, middle, low), np.where(wide, high, middle)
    return weights


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
