"""Planes of section and the axes of the common space: which way is up, which way is deep."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backend.core.errors import BadRequest

#: Axes of the space, micrometres: anterior to posterior, dorsal to ventral, left to right.
AXES = ("anteroposterior", "dorsoventral", "mediolateral")
#: Bregma along the first axis of the CCFv3, micrometres (540 voxels of 10, as commonly taken).
BREGMA_UM = 5400.0


class Plane(NamedTuple):
    """Axes of the space (0, 1, 2) that run through, down and to the right of a section."""

    name: str
    through: int
    down: int
    right: int


CORONAL = Plane("coronal", 0, 1, 2)
SAGITTAL = Plane("sagittal", 2, 1, 0)
HORIZONTAL = Plane("horizontal", 1, 0, 2)
PLANES = {plane.name: plane for plane in (CORONAL, SAGITTAL, HORIZONTAL)}
#: What sections call the axis that they were cut along.
_ALONG = {
    "bregma": CORONAL,
    "coronal": CORONAL,
    "sagittal": SAGITTAL,
    "horizontal": HORIZONTAL,
    "anteroposterior": CORONAL,
    "anterior-posterior": CORONAL,
    "ap": CORONAL,
    "mediolateral": SAGITTAL,
    "medial-lateral": SAGITTAL,
    "ml": SAGITTAL,
    "dorsoventral": HORIZONTAL,
    "dorsal-ventral": HORIZONTAL,
    "dv": HORIZONTAL,
}


def plane_named(name: str) -> Plane:
    """Return a plane.

    Raises
    ------
    BadRequest
    """
    if name not in PLANES:
        raise BadRequest(f"There is no plane '{name[:40]}'.", f"Planes are {', '.join(PLANES)}.")
    return PLANES[name]


def plane_along(axis: str) -> Plane | None:
    """Return the plane of sections cut along an axis, or None where the axis says nothing."""
    return _ALONG.get(axis.strip().lower())


def position_along(axis: str, position_mm: float | None) -> float | None:
    """Return where a section lies along its axis, micrometres of the space, or None.

    Only bregma is tied to the space; other origins are a laboratory's own.
    """
    if position_mm is None or axis.strip().lower() != "bregma":
        return None
    return BREGMA_UM - 1000.0 * position_mm


def in_space(plane: Plane, uv: ArrayLike, position_um: float) -> NDArray[np.float32]:
    """Return places of the space (n, 3) of points in a plane.

    Parameters
    ----------
    plane : Plane
    uv : (n, 2)
        Right and down, micrometres.
    position_um : float
        Along the axis through the plane.
    """
    at = np.asarray(uv, np.float64)
    xyz = np.full((len(at), 3), position_um, np.float32)
    xyz[:, plane.right] = at[:, 0]
    xyz[:, plane.down] = at[:, 1]
    return xyz
