"""Gaussian mixture with one covariance for all components, in linear memory.

The model "EEE" of mclust, which the reference's tutorials cluster with. After whitening by the
shared covariance all distances are Euclidean; the covariance follows from one total moment, so a
step of EM costs two products of (n, k) with (n, d).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

#: Steps of EM at most, and the gain per spot (nats) below which it stops.
STEPS, GAIN = 200, 1e-5
#: Starts of which the best after a few steps is followed to the end.
TRIES, SHORT = 10, 8
#: Spots on which starts are tried.
TRIED = 4000
#: Added to the diagonal of the covariance, relative to the mean variance.
RIDGE = 1e-6
#: Spots on which a mixture is fitted where there are more.
SAMPLE = 20_000


@dataclass(frozen=True, slots=True)
class Mixture:
    """A fitted mixture.

    Parameters
    ----------
    share : (k,) float64
    means : (k, d) float64
    covariance : (d, d) float64
    log_likelihood : float
        Of the spots that it was fitted on, nats.
    """

    share: NDArray[np.float64]
    means: NDArray[np.float64]
    covariance: NDArray[np.float64]
    log_likelihood: float

    def log_joint(self, x: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return log p(x, component), (n, k) float64."""
        lower = cholesky(self.covariance, lower=True)
        centre = self.means.mean(axis=0)
        y, m = (
            solve_triangular(lower, (np.asarray(v, np.float64) - centre).T, lower=True).T
            for v in (x, self.means)
        )
        distance = (y**2).sum(axis=1)[:, None] - 2 * y @ m.T + (m**2).sum(axis=1)
        d = x.shape[1]
        constant = d * np.log(2 * np.pi) + 2 * np.log(np.diag(lower)).sum()
        return np.log(np.maximum(self.share, 1e-300)) - 0.5 * (np.maximum(distance, 0) + constant)

    def posterior(self, x: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return p(component | x), (n, k) float64; rows sum to 1."""
        return softmax(self.log_joint(x))[0]

    def bic(self, n: int) -> float:
        """Return the Bayesian information criterion, higher is better (as in mclust)."""
        k, d = self.means.shape
        return 2 * self.log_likelihood - (k - 1 + k * d + d * (d + 1) / 2) * np.log(n)


def softmax(logits: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rows of probabilities, and the log of the sum of each row's exponentials."""
    top = logits.max(axis=1, keepdims=True)
    p = np.exp(logits - top)
    total = p.sum(axis=1, keepdims=True)
    return p / total, (top + np.log(total)).ravel()


def fit_mixture(
    x: NDArray[np.floating], k: int, rng: np.random.Generator, tries: int = TRIES
) -> Mixture:
    """Return the best of ``tries`` mixtures of ``k`` components, followed to convergence.

    Parameters
    ----------
    x : (n, d)
        Where n > ``SAMPLE``, a sample of it is fitted.
    k : int
    rng : Generator
        Draws the sample and the starts.
    """
    if len(x) > SAMPLE:
        x = x[rng.choice(len(x), SAMPLE, replace=False)]
    y = np.asarray(x, np.float64)
    centre = y.mean(axis=0)
    y = y - centre
    few = y[rng.permutation(len(y))[:TRIED]] if len(y) > TRIED else y
    starts = [_plus_plus(few, k, rng) for _ in range(tries if k > 1 else 1)]
    tried = [_em(few, _one_hot(_lloyd(few, s), k), SHORT) for s in starts]
    best = max(tried, key=lambda m: m.log_likelihood)
    found = _em(y, best.posterior(y), STEPS)
    return replace(found, means=found.means + centre)


def refit(x: NDArray[np.floating], posterior: NDArray[np.floating]) -> Mixture:
    """Return the mixture that EM reaches from given posteriors (n, k)."""
    return _em(np.asarray(x, np.float64), np.asarray(posterior, np.float64), STEPS)


def shared_gaussians(x: NDArray[np.floating], posterior: NDArray[np.floating]) -> Mixture:
    """Return one Gaussian per class with a common covariance, without iterating."""
    x = np.asarray(x, np.float64)
    return _maximise(x - x.mean(axis=0), np.asarray(posterior, np.float64), x.mean(axis=0), None)


def _em(x: NDArray[np.float64], posterior: NDArray[np.float64], steps: int) -> Mixture:
    centre = x.mean(axis=0)
    y = x - centre
    moment = y.T @ y
    last = -np.inf
    found = _maximise(y, posterior, np.zeros_like(centre), moment)
    for _ in range(steps):
        p, log_total = softmax(found.log_joint(y))
        now = float(log_total.sum())
        done = now - last < GAIN * len(y)
        last = now
        if done:
            break
        found = _maximise(y, p, np.zeros_like(centre), moment)
    return Mixture(found.share, found.means + centre, found.covariance, last)


def _maximise(
    y: NDArray[np.float64],
    posterior: NDArray[np.float64],
    centre: NDArray[np.float64],
    moment: NDArray[np.float64] | None,
) -> Mixture:
    """Shares, means and common covariance of centred data."""
    n, d = y.shape
    weight = posterior.sum(axis=0)
    safe = np.maximum(weight, 1e-12)
    means = posterior.T @ y / safe[:, None]
    within = (y.T @ y if moment is None else moment) - (means * weight[:, None]).T @ means
    covariance = within / n
    covariance[np.diag_indices(d)] += RIDGE * max(np.trace(covariance) / d, 1e-12)
    return Mixture(weight / n, means + centre, covariance, -np.inf)


def _one_hot(labels: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    return np.eye(k)[labels]


def _plus_plus(x: NDArray[np.float64], k: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw starting centres by the k-means++ rule."""
    centres = [x[rng.integers(len(x))]]
    distance = ((x - centres[0]) ** 2).sum(axis=1)
    for _ in range(k - 1):
        total = distance.sum()
        chance = distance / total if total > 0 else None
        centres.append(x[rng.choice(len(x), p=chance)])
        distance = np.minimum(distance, ((x - centres[-1]) ** 2).sum(axis=1))
    return np.array(centres)


def _lloyd(
    x: NDArray[np.float64], centres: NDArray[np.float64], steps: int = 10
) -> NDArray[np.int64]:
    """Labels after a few steps of k-means."""
    labels = _closest(x, centres)
    for _ in range(steps):
        one = _one_hot(labels, len(centres))
        size = one.sum(axis=0)
        centres = np.where(size[:, None] > 0, one.T @ x / np.maximum(size, 1)[:, None], centres)
        moved = _closest(x, centres)
        if np.array_equal(moved, labels):
            break
        labels = moved
    return labels


def _closest(x: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.int64]:
    return ((centres**2).sum(axis=1) - 2 * x @ centres.T).argmin(axis=1)
