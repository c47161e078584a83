"""A labelled picture in a plane: how far, and where, the nearest place of each region is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt

#: Width of the empty border of a picture, micrometres.
MARGIN_UM = 1500.0

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Picture:
    """Masks of regions on a grid.

    Parameters
    ----------
    masks : (k, h, w) bool
        A region each; codes below are their places. They may overlap, and may be empty.
    tissue : (h, w) bool
    origin : (2,)
        Centre of the first pixel: right and down, micrometres.
    step : float
        Side of a pixel, micrometres.
    area : (h, w) bool or None
        Where windows were cut from, if that is known.
    """

    masks: NDArray[np.bool_]
    tissue: NDArray[np.bool_]
    origin: Points
    step: float
    area: NDArray[np.bool_] | None = None

    @property
    def n_regions(self) -> int:
        """Number of regions; code ``n_regions`` is tissue, one more is what lies around it."""
        return len(self.masks)

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """Whether each region occurs in the picture, (k + 2,); tissue and surroundings too."""
        return np.array([mask.any() for mask in self._all()])

    def _all(self) -> list[NDArray[np.bool_]]:
        return [*self.masks, self.tissue, ~self.tissue]

    @cached_property
    def _nearest(self) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
        """Return per code the distance (k + 2, h, w), micrometres, and the pixel it leads to."""
        shape = (self.n_regions + 2, *self.tissue.shape)
        far = np.full(shape, np.inf, np.float32)
        at = np.zeros((2, *shape), np.int16)
        for code, mask in enumerate(self._all()):
            if mask.any():
                away, at[:, code] = distance_transform_edt(~mask, return_indices=True)
                far[code] = away * self.step
        return far, at

    def pixels(self, points: Points) -> NDArray[np.int64]:
        """Return the pixels (row, column) under points (n, 2), held inside the picture."""
        at = np.rint((points - self.origin) / self.step).astype(np.int64)[:, ::-1]
        return np.clip(at, 0, np.array(self.tissue.shape) - 1)

    def centres(self, mask: NDArray[np.bool_]) -> Points:
        """Return the centres of the pixels of a mask, (n, 2)."""
        at = np.argwhere(mask)[:, ::-1]
        return np.asarray(self.origin + at * self.step, np.float64)

    def nearest(
        self, points: Points, codes: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], Points]:
        """Return how far from its region each point lies and the nearest place of that region.

        Parameters
        ----------
        points : (n, 2)
        codes : (n,)
            Of regions; ``n_regions`` for tissue, one more for what lies around it.

        Returns
        -------
        (n,) distance, (n, 2) place
            0 and the point itself inside; infinite where the picture has no such region.
        """
        away, at = self._nearest
        y, x = self.pixels(points).T
        grid = away[codes, y, x]
        goal = self.origin + at[:, codes, y, x].T[:, ::-1] * self.step
        moves = (grid > 0) & np.isfinite(grid)
        place = np.where(moves[:, None], goal, points)
        far = np.where(np.isinf(grid), np.inf, np.hypot(*(place - points).T))
        return far, place

    def contains(self, points: Points, codes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether each point lies in its region, (n,)."""
        y, x = self.pixels(points).T
        return np.asarray(self._nearest[0][codes, y, x] == 0)


def padded(
    masks: NDArray[np.bool_],
    tissue: NDArray[np.bool_],
    origin: ArrayLike,
    step: float,
    area: NDArray[np.bool_] | None = None,
) -> Picture:
    """Return a picture with an empty border."""
    n = int(np.ceil(MARGIN_UM / step))
    wide = np.pad(masks, ((0, 0), (n, n), (n, n)))
    start = np.asarray(origin, np.float64) - n * step
    cut = None if area is None else np.pad(area, n)
    return Picture(wide, np.pad(tissue, n), start, step, cut)


def half_of(picture: Picture, middle: float, left: bool) -> Picture:
    """Return one side of a picture; the other becomes surroundings.

    Parameters
    ----------
    middle : float
        Where the midline lies, right, micrometres.
    """
    x = picture.origin[0] + np.arange(picture.tissue.shape[1]) * picture.step
    kept = x <= middle if left else x >= middle
    return Picture(picture.masks & kept, picture.tissue & kept, picture.origin, picture.step)


def stack_masks(masks: Sequence[NDArray[np.bool_]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return masks as one array (k, h, w), also where there are none."""
    return np.stack(list(masks)) if len(masks) else np.zeros((0, *shape), bool)
