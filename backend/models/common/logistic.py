"""Multinomial logistic regression: one convex fit, logits out, cross-entropy once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

#: No class counts more than this times an average cell.
LARGEST_CLASS_WEIGHT = 5.0


def class_weights(codes: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    """Return one weight per cell: square-root balanced over classes, capped, mean 1.

    Full balance would trade much accuracy on common classes for little on rare ones.
    """
    count = np.maximum(np.bincount(codes, minlength=n_classes), 1)
    weight = np.minimum(np.sqrt(len(codes) / (n_classes * count)), LARGEST_CLASS_WEIGHT)[codes]
    return np.asarray(weight / weight.mean())


def fit_logistic(
    x: NDArray[np.float64],
    codes: NDArray[np.int64],
    n_classes: int,
    weights: NDArray[np.float64],
    ridge: float = 10.0,
    iterations: int = 40,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coefficients (f, c) and intercepts (c,).

    Parameters
    ----------
    x : (n, f) float64
        Standardised features.
    codes : (n,) int64
        Classes 0..n_classes-1.
    weights : (n,) float64
        Weight of each cell.
    ridge : float
        Half of it times the squared coefficients is added to the summed loss.
    iterations : int
        Of L-BFGS, at most.
    """
    f, n = x.shape[1], len(codes)
    # Single precision halves the time; the loss is summed in double.
    cells = np.ascontiguousarray(x, dtype=np.float32)
    share = (weights / n).astype(np.float32)
    own = (np.arange(n), codes)

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        w, b = parameters[: f * n_classes].reshape(f, n_classes), parameters[f * n_classes :]
        scores = cells @ w.astype(np.float32) + b.astype(np.float32)  # (n, c)
        scores -= scores.max(axis=1, keepdims=True)
        right = scores[own]
        slope = np.exp(scores, out=scores)
        total = slope.sum(axis=1)
        value = -share.astype(np.float64) @ (right - np.log(total))
        slope *= (share / total)[:, None]
        slope[own] -= share
        gradient = (cells.T @ slope).astype(np.float64) + ridge / n * w
        everything = np.concatenate([gradient.ravel(), slope.sum(axis=0, dtype=np.float64)])
        return float(value + 0.5 * ridge / n * (w**2).sum()), everything

    start = np.zeros((f + 1) * n_classes)
    options = {"maxiter": iterations, "gtol": 1e-5}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
    return found[: f * n_classes].reshape(f, n_classes), found[f * n_classes :]
