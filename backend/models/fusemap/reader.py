"""A classifier that reads a latent space: standardised features, linear scores, adapted scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import log_softmax, softmax

from backend.models.common.logistic import class_weights, fit_logistic
from backend.models.fusemap.adapt import adapted_scores, class_statistics

#: What the scores of the moved classes count beside the linear ones.
ADAPTED_WEIGHT = 0.5
#: Times that the probabilities of a niche label are averaged over the niche.
NICHE_ROUNDS = 2


@dataclass(frozen=True, slots=True)
class Scale:
    """Mean and spread of features, (2k,) each; those of the niche are the second half."""

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]

    @classmethod
    def of(cls, x: NDArray[np.float64]) -> Scale:
        """Return the scale of features (n, 2k); a constant one is left as it is."""
        sd = x.std(axis=0)
        return cls(x.mean(axis=0), np.where(sd > 1e-6, sd, 1.0))

    def apply(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return standardised features."""
        return (x - self.mean) / self.sd


@dataclass(frozen=True, slots=True)
class Reader:
    """Linear scores of the classes, and where it adapts to a query their centres.

    weights, intercept : (f, c), (c,)
    scale : of the reference; an adapting reader takes a query's own instead
    niche_weight : of the second half of the features; 0 where the niche is not looked at
    centres, covariance : (c, f), (f, f) of an adapting reader; empty for another
    """

    weights: NDArray[np.float64]
    intercept: NDArray[np.float64]
    scale: Scale
    niche_weight: float
    centres: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @property
    def adapts(self) -> bool:
        """Whether it follows a query of another kind."""
        return bool(len(self.centres))

    def linear(self, standard: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return linear scores (n, c) of standardised features (n, 2k)."""
        return weighted(standard, self.niche_weight) @ self.weights + self.intercept

    def scores(self, standard: NDArray[np.float64], adapt: bool) -> NDArray[np.float64]:
        """Return scores (n, c) of the cells of one section, logits of a softmax."""
        linear = self.linear(standard)
        if not (adapt and self.adapts):
            return linear
        x = weighted(standard, self.niche_weight)
        moved = adapted_scores(x, softmax(linear, axis=1), self.centres, self.covariance)
        return np.asarray(log_softmax(linear, axis=1) + ADAPTED_WEIGHT * moved)


def fit_reader(
    standard: NDArray[np.float64],
    classes: NDArray[np.int64],
    n_classes: int,
    niche_weight: float,
    scale: Scale,
    adapts: bool,
) -> Reader:
    """Return a reader of standardised features (n, 2k) with known classes (n,)."""
    x = weighted(standard, niche_weight)
    weights, intercept = fit_logistic(x, classes, n_classes, class_weights(classes, n_classes))
    f = x.shape[1]
    centres, covariance = np.zeros((0, f)), np.zeros((0, 0))
    if adapts:
        centres, covariance = class_statistics(x, classes, n_classes)
    return Reader(weights, intercept, scale, niche_weight, centres, covariance)


def weighted(standard: NDArray[np.float64], niche_weight: float) -> NDArray[np.float64]:
    """Return the features with the niche made heavier or lighter under the ridge, or left out."""
    k = standard.shape[1] // 2
    if niche_weight == 0:
        return standard[:, :k]
    return np.concatenate([standard[:, :k], niche_weight * standard[:, k:]], axis=1)


def over_niches(scores: NDArray[np.float64], near: csr_matrix) -> NDArray[np.float64]:
    """Return log probabilities averaged over the niche of each cell, as of a label of places."""
    p = softmax(scores, axis=1)
    for _ in range(NICHE_ROUNDS):
        once = near @ p
        p = (p + once + near @ once) / 3
    return np.asarray(np.log(np.maximum(p, 1e-9)))
