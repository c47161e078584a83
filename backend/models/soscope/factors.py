"""Spots as a few factors of their square-rooted counts, and back from factors to counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

#: Factors at most.
COUNT = 20
#: Genes per modality that factors are found from, the most abundant ones.
FITTED_GENES = 1000
#: Counts per spot added before the root.
PSEUDO = 0.1
#: Share of a gene's mean level below which no prediction falls.
FLOOR = 0.1


#: Some genes, by place.
Genes = slice | NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Factors:
    """Spots and genes in a few dimensions: root counts are about level + scores @ loadings.

    Parameters
    ----------
    scores : (N, k) float64
        Orthogonal columns, each of mean 0, the largest first.
    loadings : (k, g) float64
    level : (g,) float64
        Mean root counts.
    size : (k,) float64
        Sum of squares of each column of scores.
    """

    scores: NDArray[np.float64]
    loadings: NDArray[np.float64]
    level: NDArray[np.float64]
    size: NDArray[np.float64]

    def roots(self, scores: NDArray[np.float64], genes: Genes) -> NDArray[np.float64]:
        """Return root counts at any scores, (m, g), before the floor."""
        return self.level[genes] + scores @ self.loadings[:, genes]

    def rates(self, scores: NDArray[np.float64], genes: Genes) -> NDArray[np.float64]:
        """Return expected counts at any scores, (m, g)."""
        roots = self.roots(scores, genes)
        return np.asarray(np.maximum(roots, FLOOR * self.level[genes]) ** 2)


def factorise(
    means: csr_matrix, per_spot: float, modality: NDArray[np.int64], count: int = COUNT
) -> Factors:
    """Return the leading factors of spots.

    Parameters
    ----------
    means : (N, g) csr_matrix
        Mean counts per subspot of each spot.
    per_spot : float
        Mean number of subspots.
    modality : (g,) int64
        Modality of each feature; each has the same say, whatever its depth and number of features.
    count : int

    Notes
    -----
    The root is taken of the values above zero only: H = c + R with c constant and R as sparse as
    the counts, so that spots x genes are never dense.
    """
    base = np.sqrt(PSEUDO / per_spot)
    roots = csr_matrix(means, dtype=np.float64, copy=True)
    roots.data = np.sqrt(roots.data + PSEUDO / per_spot) - base
    mean = np.asarray(roots.mean(axis=0)).ravel()
    weight = _say(means, roots, mean, modality)
    chosen = np.flatnonzero(weight)
    part = csr_matrix(roots[:, chosen].multiply(weight[chosen][None]))
    centre = mean[chosen] * weight[chosen]
    gram = np.asarray((part.T @ part).todense()) - len(roots.indptr[1:]) * np.outer(centre, centre)
    k = max(min(count, roots.shape[0] - 2, len(chosen)), 1)
    axes = np.linalg.eigh(gram)[1][:, ::-1][:, :k]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(k)])
    scores = np.asarray(part @ axes - centre @ axes)
    size = (scores**2).sum(axis=0)
    kept = size > 1e-12 * max(float(size[0]), 1e-300)
    scores, size = scores[:, kept], size[kept]
    # Scores sum to zero, so the constant and the mean drop out of the regression on them.
    loadings = np.asarray((roots.T @ scores).T) / size[:, None]
    return Factors(scores, loadings, base + mean, size)


def _say(
    means: csr_matrix,
    roots: csr_matrix,
    mean: NDArray[np.float64],
    modality: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the weight of each feature in the factors: 0 for the scarce ones of a modality."""
    abundance = np.asarray(means.sum(axis=0)).ravel()
    square = np.asarray(roots.multiply(roots).mean(axis=0)).ravel()
    variance = np.maximum(square - mean**2, 0)
    weight = np.zeros(len(mean))
    for m in np.unique(modality):
        own = np.flatnonzero((modality == m) & (abundance > 0))
        own = own[np.argsort(-abundance[own], kind="stable")][:FITTED_GENES]
        total = float(variance[own].sum())
        weight[own] = 1 / np.sqrt(total) if total > 0 else 0.0
    return weight
