"""Affine maps of a plane, and the one that best takes points to their goals within bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Affine:
    """y = matrix @ x + shift, micrometres."""

    matrix: Points
    shift: Points

    def __call__(self, points: Points) -> Points:
        """Return the images of points (n, 2)."""
        return np.asarray(points @ self.matrix.T + self.shift)

    def inverse(self) -> Affine:
        """Return the map back."""
        back = np.asarray(np.linalg.inv(self.matrix), np.float64)
        return Affine(back, -back @ self.shift)

    def then(self, other: Affine) -> Affine:
        """Return this map followed by another."""
        return Affine(other.matrix @ self.matrix, other.matrix @ self.shift + other.shift)

    @property
    def is_mirrored(self) -> bool:
        """Whether left and right change places."""
        return bool(np.linalg.det(self.matrix) < 0)

    @property
    def rotation_deg(self) -> float:
        """Turn, degrees, clockwise as y grows downwards; of the unmirrored part."""
        turn, _ = _polar(self.matrix)
        turn = turn @ np.diag([-1.0, 1.0]) if self.is_mirrored else turn
        return float(np.degrees(np.arctan2(turn[1, 0], turn[0, 0])))


#: The map that moves nothing.
STAY = Affine(np.eye(2), np.zeros(2))


class Freedom(NamedTuple):
    """How far a map may be from a rigid one: factors of scale, overall and of each axis apart."""

    scale: float
    stretch: float

    @property
    def is_rigid(self) -> bool:
        """Whether no scale may change."""
        return self.scale <= 1.0 and self.stretch <= 1.0


RIGID = Freedom(1.0, 1.0)


def rotation(degrees: float, mirrored: bool = False) -> Points:
    """Return the matrix of a turn; of a mirrored picture, left and right change places first."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(turn @ np.diag([-1.0 if mirrored else 1.0, 1.0]))


def about(matrix: Points, centre: ArrayLike, goal: ArrayLike) -> Affine:
    """Return the map of a matrix that takes ``centre`` to ``goal``."""
    return Affine(matrix, np.asarray(goal, np.float64) - matrix @ np.asarray(centre, np.float64))


def fit(
    source: Points, goal: Points, weight: NDArray[np.float64], free: Freedom, like: Affine
) -> Affine:
    """Return the map within ``free`` that takes source to goal, weighted least squares.

    Parameters
    ----------
    source, goal : (n, 2)
    weight : (n,)
    free : Freedom
    like : Affine
        Kept where points are too few or lie on a line; its face (mirrored or not) is kept.
    """
    total = weight.sum()
    if total <= 0 or len(source) < 3:
        return like
    middle_s = weight @ source / total
    middle_g = weight @ goal / total
    s, g = source - middle_s, goal - middle_g
    cross = (weight[:, None] * g).T @ s
    spread = (weight[:, None] * s).T @ s
    if np.linalg.matrix_rank(spread, tol=1e-6 * np.trace(spread)) < 2:
        return like
    matrix = _rigid(cross, like.is_mirrored)
    if not free.is_rigid:
        matrix = _bounded(cross @ np.linalg.inv(spread), matrix, free)
    return Affine(matrix, middle_g - matrix @ middle_s)


def _rigid(cross: Points, mirrored: bool) -> Points:
    u, _, vt = np.linalg.svd(cross)
    side = np.sign(np.linalg.det(u @ vt)) * (-1 if mirrored else 1)
    return np.asarray(u @ np.diag([1.0, side]) @ vt)


def _bounded(matrix: Points, rigid: Points, free: Freedom) -> Points:
    """Return the nearest matrix whose scales lie within bounds; rigid if it changes the face."""
    if np.linalg.det(matrix) * np.linalg.det(rigid) <= 0:
        return rigid
    u, scales, vt = np.linalg.svd(matrix)
    overall = float(np.sqrt(scales.prod()))
    held = np.clip(overall, 1 / free.scale, free.scale)
    apart = np.clip(scales / overall, 1 / free.stretch, free.stretch)
    return np.asarray(u @ np.diag(held * apart) @ vt)


def _polar(matrix: Points) -> tuple[Points, Points]:
    u, scales, vt = np.linalg.svd(matrix)
    return u @ vt, vt.T @ np.diag(scales) @ vt
