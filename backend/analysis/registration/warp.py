"""A smooth displacement of a plane that never folds, on a grid; and its way back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

Points = NDArray[np.float64]

#: Least and greatest local change of area.
LEAST, MOST = 0.4, 2.5


class Warp(NamedTuple):
    """y = x + bilinear interpolation of ``field``.

    field : (2, h, w), to the right and down, micrometres; zero along its border.
    origin : (2,) of the first node; step : micrometres.
    """

    field: NDArray[np.float64]
    origin: Points
    step: float

    def __call__(self, points: Points) -> Points:
        """Return the images of points (n, 2)."""
        return np.asarray(points + self.at(points))

    def at(self, points: Points) -> Points:
        """Return the displacement of points, (n, 2)."""
        place = ((points - self.origin) / self.step)[:, ::-1].T
        return np.stack([map_coordinates(f, place, order=1, mode="nearest") for f in self.field], 1)

    def back(self, points: Points, rounds: int = 60) -> Points:
        """Return the places that are taken to ``points``, by fixed-point iteration."""
        found = points - self.at(points)
        for _ in range(rounds):
            off = points - self(found)
            found = found + 0.7 * off
            if np.abs(off).max(initial=0.0) < 0.01:
                break
        return found

    def jacobian(self) -> NDArray[np.float64]:
        """Return the change of area at the four corners of every cell of the grid, (4, h-1, w-1).

        Notes
        -----
        Inside a cell the determinant of a bilinear map is linear along both sides, so it is
        positive everywhere if it is at the corners: the map then has no fold.
        """
        u, v = self.field / self.step
        top, left = 1 + np.diff(u, axis=1), np.diff(u, axis=0)
        side, down = np.diff(v, axis=1), 1 + np.diff(v, axis=0)
        return np.stack(
            [
                top[i : i + len(left)] * down[:, j : j + top.shape[1]]
                - side[i : i + len(left)] * left[:, j : j + top.shape[1]]
                for i in (0, 1)
                for j in (0, 1)
            ]
        )

    def fits(self) -> bool:
        """Whether the change of area stays within bounds everywhere."""
        found = self.jacobian()
        return bool(found.min() >= LEAST and found.max() <= MOST)


def still(low: Points, high: Points, step: float, border: float) -> Warp:
    """Return a warp that moves nothing, over a rectangle with a border."""
    origin = low - border
    size = np.ceil((high + border - origin) / step).astype(int) + 1
    return Warp(np.zeros((2, size[1], size[0])), origin, step)


def pulled(
    warp: Warp,
    places: Points,
    pull: Points,
    weight: NDArray[np.float64],
    sigma_um: float,
    most_um: float,
) -> Warp:
    """Return a warp moved part of the way along pulls, smoothed, bounded, free of folds.

    Parameters
    ----------
    places : (n, 2)
        Before the warp.
    pull : (n, 2)
        Wanted in addition to the present displacement.
    weight : (n,)
    sigma_um : float
        Width over which pulls are averaged.
    most_um : float
        Greatest displacement.
    """
    h, w = warp.field.shape[1:]
    at = np.clip(np.rint((places - warp.origin) / warp.step).astype(int), 0, [w - 1, h - 1])
    flat = at[:, 1] * w + at[:, 0]
    sigma = sigma_um / warp.step
    total = gaussian_filter(np.bincount(flat, weight, h * w).reshape(h, w), sigma, mode="constant")
    floor = 0.05 * total.max() + 1e-12
    step = np.stack(
        [
            gaussian_filter(np.bincount(flat, weight * p, h * w).reshape(h, w), sigma,
                            mode="constant") / (total + floor)
            for p in pull.T
        ]
    )  # fmt: skip
    for share in (0.6, 0.3, 0.15, 0.05, 0.01):
        moved = _held(warp.field + share * step, most_um) * _fade(h, w)
        found = Warp(moved, warp.origin, warp.step)
        if found.fits():
            return found
    return warp


def _held(field: NDArray[np.float64], most_um: float) -> NDArray[np.float64]:
    """Return a field whose vectors are bounded, softly."""
    size = np.hypot(*field)
    return np.asarray(field / np.sqrt(1 + (size / most_um) ** 2))


def _fade(h: int, w: int, nodes: int = 4) -> NDArray[np.float64]:
    """Return a factor that falls to zero along the border of the grid."""
    ramps = [np.minimum(np.arange(n), np.arange(n)[::-1]) / nodes for n in (h, w)]
    return np.minimum(1, ramps[0])[:, None] * np.minimum(1, ramps[1])[None, :]
