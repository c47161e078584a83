"""First guesses: where a section may lie in a picture, all turns and both faces."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from backend.analysis.registration.affine import Affine, about, rotation
from backend.analysis.registration.match import Marks
from backend.analysis.registration.picture import Picture

Points = NDArray[np.float64]

#: Turns tried besides those that the moments suggest, degrees.
QUARTERS = (0.0, 90.0, 180.0, 270.0)
EIGHTHS = (0.0, 45.0, 90.0, 135.0, 180.0, 225.0, 270.0, 315.0)


def whole_starts(
    marks: Marks, picture: Picture, faces: tuple[bool, ...], scale: float
) -> Iterator[Affine]:
    """Yield maps that lay the middle of the tissue on that of the picture's.

    Parameters
    ----------
    faces : tuple of bool
        Whether the section may be mirrored; which are tried.
    scale : float
        Greatest factor by which the section may be larger or smaller than it says.
    """
    here = marks.tissue.centres(marks.tissue.mask)
    there = picture.centres(picture.tissue)
    if not len(there):
        return
    area = len(there) * picture.step**2 / marks.tissue.area_um2
    factor = float(np.clip(np.sqrt(area), 1 / scale, scale))
    for mirrored in faces:
        turn = _axis(there) - _axis(here @ np.diag([-1.0 if mirrored else 1.0, 1.0]))
        for degrees in (*QUARTERS, turn, turn + 180.0):
            matrix = factor * rotation(degrees, mirrored)
            yield about(matrix, here.mean(axis=0), there.mean(axis=0))


def _axis(points: Points) -> float:
    """Return the direction of the longest axis, degrees."""
    values, vectors = np.linalg.eigh(np.cov((points - points.mean(axis=0)).T))
    x, y = vectors[:, np.argmax(values)]
    return float(np.degrees(np.arctan2(y, x)))


def window_starts(
    marks: Marks, picture: Picture, faces: tuple[bool, ...], middle: float | None
) -> Iterator[Affine]:
    """Yield maps of a section that is part of a slice: over its regions, in either half.

    Parameters
    ----------
    middle : float or None
        Midline of the picture.
    """
    named = marks.named[picture.present[marks.named]]
    if picture.area is not None:
        here, target = marks.tissue.centres(marks.tissue.mask).mean(axis=0), picture.area
    elif len(named):
        middles = np.stack([marks.points[marks.codes == c].mean(axis=0) for c in named])
        heavy = marks.shares[named]
        here, target = heavy @ middles / heavy.sum(), np.logical_or.reduce(picture.masks[named])
    else:
        here, target = marks.tissue.centres(marks.tissue.mask).mean(axis=0), picture.tissue
    for centre in _centres(picture, target, middle):
        for mirrored in faces:
            for degrees in EIGHTHS:
                yield about(rotation(degrees, mirrored), here, centre)


def _centres(picture: Picture, union: NDArray[np.bool_], middle: float | None) -> Iterator[Points]:
    """Yield where a window may be: middles of the halves, of the whole, and quarters of each."""
    points = picture.centres(union)
    groups = [points]
    if middle is not None:
        groups += [points[points[:, 0] <= middle], points[points[:, 0] > middle]]
    for group in groups:
        if len(group):
            yield group.mean(axis=0)
            low, high = np.quantile(group, [0.2, 0.8], axis=0)
            for corner in ((low[0], low[1]), (high[0], low[1]), (low[0], high[1]),
                           (high[0], high[1])):  # fmt: skip
                near = group[np.argmin(((group - corner) ** 2).sum(axis=1))]
                yield near
