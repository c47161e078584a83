"""Small figures that are recorded once, when a section or a layer is written."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

#: Neighbour distances are measured from at most about this many cells.
_SAMPLE = 20_000


def cell_radius(xy: NDArray[np.float32]) -> float:
    """Return half the median distance to the nearest neighbour, 1 where there is none.

    Parameters
    ----------
    xy : (n, 2) float32
    """
    if len(xy) < 2:
        return 1.0
    step = max(1, len(xy) // _SAMPLE)
    distance = cKDTree(xy).query(xy[::step], k=2)[0][:, 1]
    return float(np.median(distance) / 2) or 1.0


def span_of(values: NDArray[Any]) -> tuple[float, float]:
    """Return the smallest and largest finite value, (0, 1) where there is none."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
