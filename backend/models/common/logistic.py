"""Multinomial logistic regression: one convex fit, logits out, cross-entropy once."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

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
    iterations: int = 200,
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
    features = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64))
    target = torch.from_numpy(np.ascontiguousarray(codes, dtype=np.int64))
    weight = torch.from_numpy(weights)
    w = torch.zeros(x.shape[1], n_classes, dtype=torch.float64, requires_grad=True)
    b = torch.zeros(n_classes, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [w, b], max_iter=iterations, tolerance_grad=1e-6, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        each = torch.nn.functional.cross_entropy(features @ w + b, target, reduction="none")
        value = (weight * each).mean() + 0.5 * ridge / len(x) * (w**2).sum()
        value.backward()
        return value

    optimiser.step(loss)
    return w.detach().numpy(), b.detach().numpy()
