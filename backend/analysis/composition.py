"""How many cells of each class, and where on the tissue each class is densest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from backend.core.layers import MISSING

#: Boxes per side of the grid on which the density peak of a class is looked for.
GRID = 48


class Anchor(NamedTuple):
    """Where the name of a class is printed: its densest spot, and how many cells it has."""

    code: int
    x: float
    y: float
    n: int


def count_codes(codes: NDArray[np.integer], n_categories: int) -> NDArray[np.int64]:
    """Return cells per code; the last entry counts the cells without a label.

    Parameters
    ----------
    codes : (n,) integer, -1 where missing

    Returns
    -------
    (n_categories + 1,) int64
    """
    shifted = np.where(codes == MISSING, n_categories, codes)
    return np.bincount(shifted, minlength=n_categories + 1).astype(np.int64)


def crosstab(
    rows: NDArray[np.integer], columns: NDArray[np.integer], shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Return cells per pair of codes; cells without either label are left out.

    Parameters
    ----------
    rows, columns : (n,) integer, -1 where missing
    shape : (int, int)
        Number of categories of both.
    """
    kept = (rows != MISSING) & (columns != MISSING)
    pairs = rows[kept].astype(np.int64) * shape[1] + columns[kept]
    return np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape)


def anchors(
    xy: NDArray[np.float32], codes: NDArray[np.integer], n_categories: int, at_least: int = 20
) -> list[Anchor]:
    """Return the density peak of every class, most cells first.

    Parameters
    ----------
    xy : (n, 2) float32
    codes : (n,) integer, -1 where missing
    at_least : int
        Classes with fewer cells get no name.

    Notes
    -----
    The peak is the mean position of the class's cells in the densest box of a smoothed grid: a
    curved region's centre of mass may lie outside it, its densest spot does not.
    """
    low = xy.min(axis=0)
    step = max(float((xy.max(axis=0) - low).max()), 1e-6) / GRID
    box = np.minimum(((xy - low) / step).astype(np.int64), GRID - 1)
    place = box[:, 1] * GRID + box[:, 0]
    found = []
    order = np.argsort(codes, kind="stable")
    edges = np.searchsorted(codes[order], np.arange(n_categories + 1))
    for code in range(n_categories):
        cells = order[edges[code] : edges[code + 1]]
        if len(cells) >= at_least:
            x, y = _peak(xy[cells], place[cells])
            found.append(Anchor(code, x, y, len(cells)))
    return sorted(found, key=lambda a: -a.n)


def _peak(xy: NDArray[np.float32], place: NDArray[np.int64]) -> tuple[float, float]:
    density = np.bincount(place, minlength=GRID * GRID).reshape(GRID, GRID).astype(np.float64)
    smooth = uniform_filter(density, size=3, mode="constant")
    # Only boxes that hold cells of the class may win: the name must lie on it.
    best = int(np.argmax(np.where(density > 0, smooth, -1.0)))
    x, y = xy[place == best].mean(axis=0)
    return float(x), float(y)
