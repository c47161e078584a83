"""Cells drawn towards the classes that they form, where that imputes hidden genes better.

The exact posterior draws every cell towards the mean of all cells. Where cells form distinct
classes it is better to draw them towards the mean of their class: with a mixture of Gaussians of
one shape over the posterior means,  z <- (1 - a) z + a sum_c p(c | z) m_c.  On simulated sections
of eight types that raised r of hidden genes by .03 (a = 1); on real cortex, where types shade into
one another, it lowers r. So a is chosen on hidden bridge genes, and 0 unless another one wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.cluster import KMeans

#: Classes, cells of all sections that they are learnt from at most, and iterations of EM.
CLASSES, CELLS, ITERATIONS = 24, 20_000, 60
#: Part of the mean variance that is added to every direction.
JITTER = 1e-3
#: Cells that are drawn at a time.
BLOCK = 65_536


@dataclass(frozen=True, slots=True)
class Mixture:
    """Classes of one shape, and how far cells are drawn to them.

    means : (c, k);  precision : (k, k);  share : (c,), sums to 1;  pull : a in 0..1
    """

    means: NDArray[np.float64]
    precision: NDArray[np.float64]
    share: NDArray[np.float64]
    pull: float

    def drawn(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return z (n, k) drawn towards the classes."""
        out = np.empty_like(z)
        for start in range(0, len(z), BLOCK):
            rows = slice(start, start + BLOCK)
            p = softmax(_scores(z[rows], self.means, self.precision, self.share), axis=1)
            out[rows] = (1 - self.pull) * z[rows] + self.pull * (p @ self.means)
        return out


def fit_mixture(parts: Sequence[NDArray[np.float64]], pull: float, seed: int) -> Mixture:
    """Return classes learnt from as many cells of every part.

    Parameters
    ----------
    parts : sequence of (n, k) float64
        Cells of every data set.
    pull : float
    seed : int

    Notes
    -----
    EM for a mixture with one covariance (Hastie and Tibshirani, "Discriminant analysis by Gaussian
    mixtures", J. R. Stat. Soc. B 58, 1996), from k-means.
    """
    rng = np.random.default_rng(seed)
    most = CELLS // len(parts)
    x = np.concatenate([p[np.sort(rng.permutation(len(p))[:most])] for p in parts])
    count = min(CLASSES, len(np.unique(x, axis=0)))
    labels = KMeans(count, n_init=1, random_state=seed).fit_predict(x)
    p = np.eye(count)[labels]
    for _ in range(ITERATIONS):
        means, precision, share = _moved(x, p)
        p = softmax(_scores(x, means, precision, share), axis=1)
    return Mixture(*_moved(x, p), pull)


def _moved(
    x: NDArray[np.float64], p: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """M-step: means, precision and shares of the classes."""
    count = p.sum(axis=0)
    means = (p.T @ x) / np.maximum(count, 1e-9)[:, None]
    covariance = (x.T @ x - (means.T * count) @ means) / len(x)
    k = len(covariance)
    covariance += JITTER * max(float(np.trace(covariance)) / k, 1e-9) * np.eye(k)
    return means, np.asarray(np.linalg.inv(covariance)), (count + 1) / (len(x) + len(count))


def _scores(
    x: NDArray[np.float64],
    means: NDArray[np.float64],
    precision: NDArray[np.float64],
    share: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Log density and share of every class, up to a term that all have in common."""
    linear = means @ precision
    return np.asarray(x @ linear.T - 0.5 * (linear * means).sum(axis=1) + np.log(share))
