"""Fit what a class looks like to a query of another kind, without its labels.

Classes are Gaussians in the standardised common space with one covariance. Another technology or
another composition moves their centres; an EM over the query's cells moves the learnt centres
along, held back by as many pseudo cells as ``HELD_BY``, and learns the shares of the classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

#: Pseudo cells that hold a learnt centre in its place.
HELD_BY = 50.0
#: Weight of the learnt covariance beside that of the query, iterations, and cells looked at.
LEARNT, ITERATIONS, MOST_CELLS = 0.5, 15, 15_000
#: Share of the mean variance that is added to the diagonal.
JITTER = 1e-2
#: Log score of a class that has never been seen.
NEVER = -1e3


def class_statistics(
    x: NDArray[np.float64], classes: NDArray[np.int64], n_classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the centres (c, f), nan for a class without cells, and the covariance within (f, f).

    Parameters
    ----------
    x : (n, f) float64
    classes : (n,) int64
    n_classes : int
    """
    total = np.zeros((n_classes, x.shape[1]))
    np.add.at(total, classes, x)
    count = np.bincount(classes, minlength=n_classes)
    centres = np.where(count[:, None] > 0, total / np.maximum(count, 1)[:, None], np.nan)
    residual = x - centres[classes]
    return centres, np.asarray(residual.T @ residual / max(len(x), 1))


def adapted_scores(
    x: NDArray[np.float64],
    start: NDArray[np.float64],
    centres: NDArray[np.float64],
    covariance: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return log scores (n, c) of the cells of one query under the classes moved to it.

    Parameters
    ----------
    x : (n, f) float64
        Features, standardised by the query's own mean and spread.
    start : (n, c) float64
        First guess of the probabilities.
    centres, covariance : (c, f), (f, f) float64
        From ``class_statistics``.
    """
    known = ~np.isnan(centres[:, 0])
    step = -(-len(x) // MOST_CELLS)
    few, share = x[::step], start[::step][:, known]
    share = share / np.maximum(share.sum(axis=1, keepdims=True), 1e-300)
    for _ in range(ITERATIONS):
        moved, precision, prior = _moved(few, share, centres[known], covariance)
        share = softmax(_scores(few, moved, precision, prior), axis=1)
    out = np.full((len(x), len(centres)), NEVER)
    out[:, known] = _scores(x, *_moved(few, share, centres[known], covariance))
    return out


def _moved(
    x: NDArray[np.float64],
    share: NDArray[np.float64],
    centres: NDArray[np.float64],
    covariance: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """M-step: centres, precision and shares of the classes."""
    count = share.sum(axis=0)
    total = share.T @ x
    moved = (HELD_BY * centres + total) / (HELD_BY + count)[:, None]
    cross = moved.T @ total
    own = (x.T @ x - cross - cross.T + (moved.T * count) @ moved) / max(len(x), 1)
    mixed = LEARNT * covariance + (1 - LEARNT) * own
    f = len(mixed)
    mixed = mixed + JITTER * max(float(np.trace(mixed)) / f, 1e-6) * np.eye(f)
    prior = (count + 1) / (count.sum() + len(count))
    return moved, np.asarray(np.linalg.inv(mixed)), prior


def _scores(
    x: NDArray[np.float64],
    centres: NDArray[np.float64],
    precision: NDArray[np.float64],
    prior: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Log density and prior of every class, up to a term that all share."""
    linear = centres @ precision
    return x @ linear.T - 0.5 * (linear * centres).sum(axis=1) + np.log(prior)
