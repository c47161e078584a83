"""Means of maps in Gaussian windows around points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

Map = NDArray[np.float32]

#: A map is made coarser until a window is about this many of its pixels wide; the window's weights
#: then differ from an exact Gaussian by less than a percent, at a fraction of the cost.
WIDE = 3.0


def window_means(maps: Map, points: NDArray[np.float64], sigma: float) -> Map:
    """Return the Gaussian-weighted mean of each map around each point.

    Parameters
    ----------
    maps : (m, h, w) float32
    points : (n, 2) float
        x and y in pixels of the maps; the first pixel reaches from 0 to 1.
    sigma : float
        Width of the window, pixels of the maps. Beyond the edge the edge is repeated.

    Returns
    -------
    (n, m) float32
    """
    step = max(int(sigma / WIDE), 1)
    at = (points[:, ::-1].T / step) - 0.5
    # A block of step pixels is itself a window; variances add.
    narrow = max(sigma**2 - (step**2 - 1) / 12, 0.01) ** 0.5 / step
    means = [
        map_coordinates(gaussian_filter(_coarse(values, step), narrow), at, order=1, mode="nearest")
        for values in maps
    ]
    return np.stack(means, axis=1).astype(np.float32)


def _coarse(values: Map, step: int) -> Map:
    """Return means over blocks of step x step; the last rows and columns may be narrower."""
    if step == 1:
        return values
    rows = np.arange(0, values.shape[0], step)
    columns = np.arange(0, values.shape[1], step)
    sums = np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)
    high = np.diff(np.append(rows, values.shape[0]))
    wide = np.diff(np.append(columns, values.shape[1]))
    return (sums / np.outer(high, wide)).astype(np.float32)
