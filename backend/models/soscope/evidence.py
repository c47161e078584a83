"""How well each choice of kernel explains each factor, and the weights that predict from it.

Restricted likelihood of y ~ N(mu 1, s2 C), C = K + n diag(mean K / K_b), with s2 and mu profiled
out: log p = -((N - 1) log(RSS / (N - 1)) + log|C| + log 1'C^-1 1) / 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from backend.models.soscope.kernels import Blocks
from backend.models.soscope.settings import LENGTHS, Point


@dataclass(frozen=True, slots=True)
class Fit:
    """What every choice makes of every factor (p points, N spots, k factors).

    Parameters
    ----------
    evidence : (p, k) float64
        Log restricted likelihood.
    alpha : (p, N, k) float32
        Weights of the spots in a prediction.
    mean : (p, k) float64
    variance : (p, k) float64
        Scale of the covariance.
    """

    evidence: NDArray[np.float64]
    alpha: NDArray[np.float32]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]


def fit_points(
    blocks: Blocks,
    noise: NDArray[np.float64],
    scores: NDArray[np.float64],
    points: tuple[Point, ...],
) -> Fit:
    """Return evidence and weights of all choices.

    Parameters
    ----------
    blocks : Blocks
    noise : (N,) float64
        Relative noise of the spots, mean subspots per spot over their own.
    scores : (N, k) float64
    points : tuple of Point
    """
    found = [_fit(factor(blocks, noise, point), scores) for point in points]
    evidence, alpha, mean, variance = (np.stack(part) for part in zip(*found, strict=True))
    return Fit(evidence, alpha, mean, variance)


def factor(blocks: Blocks, noise: NDArray[np.float64], point: Point) -> NDArray[np.float64]:
    """Return the lower triangular root of the covariance of spots under a choice, (N, N)."""
    kernel = (1 - point.share) * blocks.by_length[LENGTHS.index(point.length)]
    if point.share > 0 and blocks.image is not None:
        kernel += point.share * blocks.image
    kernel[np.diag_indices_from(kernel)] += point.noise * noise
    return np.asarray(cholesky(kernel, lower=True, overwrite_a=True, check_finite=False))


def posterior(evidence: NDArray[np.float64], mass: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weight of each choice for each factor, (p, k); columns sum to 1."""
    with np.errstate(divide="ignore"):
        log = evidence + np.log(mass)[:, None]
    log -= log.max(axis=0)
    weight = np.exp(log)
    return np.asarray(weight / weight.sum(axis=0))


def _fit(
    root: NDArray[np.float64], scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    n = len(scores)
    white = solve_triangular(
        root, np.column_stack([np.ones(n), scores]), lower=True, check_finite=False
    )
    one, y = white[:, 0], white[:, 1:]
    ones = float(one @ one)
    mean = one @ y / ones
    rest = y - one[:, None] * mean
    rss = np.maximum((rest**2).sum(axis=0), 1e-300)
    determinant = 2 * float(np.log(np.diag(root)).sum())
    evidence = -0.5 * ((n - 1) * np.log(rss / (n - 1)) + determinant + np.log(ones))
    alpha = solve_triangular(root, rest, lower=True, trans="T", check_finite=False)
    return evidence, alpha.astype(np.float32), mean, rss / (n - 1)
