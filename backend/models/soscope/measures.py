"""How close subspots come to the truth: over all of them, within their spots, and in sum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating]


def correlations(made: Values, truth: Values) -> NDArray[np.float64]:
    """Return Pearson's r of each column, (g,); 0 where a column does not vary.

    Parameters
    ----------
    made, truth : (s, g) float
    """
    a, b = (v - v.mean(axis=0) for v in (made.astype(np.float64), truth.astype(np.float64)))
    size = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return np.where(size > 0, (a * b).sum(axis=0) / np.where(size > 0, size, 1.0), 0.0)


def within_correlations(
    made: Values, truth: Values, parents: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return r of what subspots have beyond the mean of their spot, (g,).

    Copying the spot gives 0 here however well it scores over all subspots.

    Parameters
    ----------
    made, truth : (s, g) float
    parents : (s,) int
        Spot of each subspot.
    """
    return correlations(made - spot_means(made, parents), truth - spot_means(truth, parents))


def spot_means(values: Values, parents: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the mean over the subspots of a spot, for each subspot, (s, g)."""
    sums = spot_sums(values, parents)
    counts = np.maximum(np.bincount(parents, minlength=len(sums)), 1)
    return (sums / counts[:, None])[parents]


def spot_sums(values: Values, parents: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the sum over the subspots of each spot, (n, g)."""
    out = np.zeros((int(parents.max()) + 1, values.shape[1]))
    np.add.at(out, parents, values)
    return out


def scaled_errors(made: Values, truth: Values) -> NDArray[np.float64]:
    """Return the mean squared error of each column after both are stretched to 0..1, (g,)."""
    return ((_stretched(made) - _stretched(truth)) ** 2).mean(axis=0)


def sum_error(made: Values, totals: Values, parents: NDArray[np.integer]) -> float:
    """Return how far the sums over subspots are from the totals of the spots, as a share."""
    apart = np.abs(spot_sums(made, parents) - totals).sum()
    return float(apart / np.abs(totals).sum())


def _stretched(values: Values) -> NDArray[np.float64]:
    low, high = values.min(axis=0), values.max(axis=0)
    return (values - low) / np.where(high > low, high - low, 1.0)
