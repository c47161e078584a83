"""Where a section has tissue, from the density of its cells; and what it shows of the outside."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, binary_fill_holes, binary_opening, label
from scipy.spatial import cKDTree

Points = NDArray[np.float64]

#: Pixels of the grid are this many times the distance between neighbours, at least 40 um.
COARSE = 2.0
LEAST_STEP_UM = 40.0
#: Pieces of tissue below this share of the largest are dirt.
SMALL = 0.02


class Tissue(NamedTuple):
    """A section's tissue on a grid.

    mask : (h, w) bool; surround : (h, w) bool, seen to be outside; origin : (2,) centre of the
    first pixel; step : micrometres.
    """

    mask: NDArray[np.bool_]
    surround: NDArray[np.bool_]
    origin: Points
    step: float

    def centres(self, mask: NDArray[np.bool_]) -> Points:
        """Return the centres of pixels, (n, 2)."""
        return np.asarray(self.origin + np.argwhere(mask)[:, ::-1] * self.step, np.float64)

    def has(self, points: Points) -> NDArray[np.bool_]:
        """Return whether there is tissue at points, (n,)."""
        at = np.rint((points - self.origin) / self.step).astype(np.int64)[:, ::-1]
        inside = ((at >= 0) & (at < self.mask.shape)).all(axis=1)
        found = np.zeros(len(points), bool)
        found[inside] = self.mask[tuple(at[inside].T)]
        return found

    def unframed(self) -> Tissue:
        """Return the tissue of a window, which says nothing of what lies around it."""
        return self._replace(surround=np.zeros_like(self.surround))

    @property
    def area_um2(self) -> float:
        """Area of the tissue."""
        return float(self.mask.sum()) * self.step**2


def spacing(xy: Points, seed: int = 0) -> float:
    """Return the median distance to the fourth nearest cell, micrometres."""
    rng = np.random.default_rng(seed)
    some = xy[rng.choice(len(xy), min(len(xy), 2000), replace=False)]
    far = cKDTree(xy).query(some, k=min(5, len(xy)))[0][:, -1]
    return float(np.median(far))


def tissue_of(xy: Points, window: bool, framed: bool = False) -> Tissue:
    """Return the tissue of a section.

    Parameters
    ----------
    xy : (n, 2)
        Cells, micrometres.
    window : bool
        Whether the section was cut out of larger tissue: then nothing is known beyond its cells;
        otherwise all around it is outside.
    framed : bool
        Of a window: what is empty in the rectangle of its cells is known to be outside.
    """
    step = max(LEAST_STEP_UM, COARSE * spacing(xy))
    low, high = xy.min(axis=0), xy.max(axis=0)
    border = 4
    size = np.ceil((high - low) / step).astype(int) + 1
    at = np.minimum(((xy - low) / step + 0.5).astype(int), size - 1)
    counts = np.zeros(size[::-1], int)
    np.add.at(counts, (at[:, 1], at[:, 0]), 1)
    grid = np.pad(counts > 0, border)
    closed = binary_closing(grid, np.ones((3, 3)), iterations=2)
    mask = _large(binary_fill_holes(binary_opening(closed, np.ones((2, 2)))))
    surround = _reaching_border(~mask)
    if window:
        inner = np.zeros_like(mask)
        inner[border:-border, border:-border] = framed
        surround &= inner
    return Tissue(mask, surround, low - border * step, step)


def _large(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask without its small pieces."""
    pieces, n = label(mask)
    if n == 0:
        return mask
    sizes = np.bincount(pieces.ravel())[1:]
    return np.asarray(np.isin(pieces, 1 + np.flatnonzero(sizes >= SMALL * sizes.max())))


def _reaching_border(empty: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the parts of a mask that touch the border of the picture."""
    pieces, _ = label(empty)
    edge = np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]])
    return np.asarray(empty & np.isin(pieces, np.unique(edge[edge > 0])))
