"""Cells inside a polygon."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def inside(xy: NDArray[np.floating], polygon: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether points lie inside a simple polygon (even-odd rule).

    Parameters
    ----------
    xy : (n, 2) float
    polygon : (m, 2) float
        Corners in order; the last joins the first.

    Returns
    -------
    (n,) bool
    """
    result = np.zeros(len(xy), dtype=bool)
    x, y = xy[:, 0], xy[:, 1]
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        crosses = (y0 > y) != (y1 > y)
        at = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
        result ^= crosses & (x < at)
    return result
