"""Highly variable genes: variance beyond what the mean predicts, after a local regression.

Stuart T. et al., Comprehensive integration of single-cell data, Cell 177, 1888 (2019), flavour
"seurat_v3": a quadratic LOESS of log10 variance on log10 mean (span 0.3), counts standardised by
the fitted spread and clipped at sqrt(n), genes ranked by the variance of what results.

Deviation: the regression is solved at 200 knots and interpolated linearly between them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

SPAN, KNOTS = 0.3, 200


def variable_genes(counts: csr_matrix, count: int) -> NDArray[np.int64]:
    """Return the places of the ``count`` most variable genes of raw counts, ascending.

    Parameters
    ----------
    counts : (n, g) csr_matrix
        Every gene is seen in at least one spot.
    count : int
    """
    n = counts.shape[0]
    mean = np.asarray(counts.mean(axis=0), np.float64).ravel()
    square = np.asarray(counts.multiply(counts).sum(axis=0), np.float64).ravel()
    variance = np.maximum(square - n * mean**2, 0.0) / max(n - 1, 1)
    varies = variance > 0
    fitted = np.zeros_like(mean)
    fitted[varies] = loess(np.log10(mean[varies]), np.log10(variance[varies]))
    spread = np.sqrt(10**fitted)
    limit = mean + spread * np.sqrt(n)
    clipped = np.minimum(counts.data, limit[counts.indices])
    first = np.bincount(counts.indices, clipped, minlength=len(mean))
    second = np.bincount(counts.indices, clipped**2, minlength=len(mean))
    beyond = (n * mean**2 + second - 2 * mean * first) / (max(n - 1, 1) * spread**2)
    beyond[~varies] = -np.inf
    return np.sort(np.argsort(-beyond, kind="stable")[:count])


def loess(
    x: NDArray[np.float64], y: NDArray[np.float64], span: float = SPAN
) -> NDArray[np.float64]:
    """Return a locally weighted quadratic fit of y at every x, tricube weights."""
    order = np.argsort(x, kind="stable")
    xs, ys = x[order], y[order]
    window = min(max(int(np.ceil(span * len(x))), 4), len(x))
    knots = np.unique(np.quantile(xs, np.linspace(0, 1, KNOTS)))
    fitted = np.array([_at(k, xs, ys, window) for k in knots])
    return np.interp(x, knots, fitted)


def _at(place: float, x: NDArray[np.float64], y: NDArray[np.float64], window: int) -> float:
    """Value of the weighted quadratic through the ``window`` nearest points."""
    start = np.searchsorted(x, place) - window
    lo = int(np.clip(start, 0, len(x) - window))
    while lo + window < len(x) and x[lo + window] - place < place - x[lo]:
        lo += 1
    near, values = x[lo : lo + window] - place, y[lo : lo + window]
    reach = np.abs(near).max() or 1.0
    weight = (1 - np.minimum(np.abs(near) / (reach * (1 + 1e-9)), 1.0) ** 3) ** 3
    design = np.stack([np.ones_like(near), near, near**2], axis=1) * np.sqrt(weight)[:, None]
    solution, *_ = np.linalg.lstsq(design, values * np.sqrt(weight), rcond=None)
    return float(solution[0])
