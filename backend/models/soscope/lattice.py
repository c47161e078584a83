"""The lattice that spots lie on: its shape, steps, and the place of every spot in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from backend.core.errors import BadRequest

Shape = Literal["square", "hexagon"]
#: Neighbours are nearer than this many times the median distance to the nearest.
NEAR = 1.3
#: Spots needed to find a lattice.
LEAST = 8


@dataclass(frozen=True, slots=True)
class Lattice:
    """A lattice of spots.

    Parameters
    ----------
    shape : "square" or "hexagon"
    basis : (2, 2) float64
        Its two steps as rows, in the unit of the coordinates; those of a hexagonal lattice are 60
        degrees apart.
    sites : (N, 2) int64
        Steps of each spot from the first site.
    pitch : float
        Length of a step.
    jitter : float
        Root mean square distance of spots from their sites, in pitches.
    """

    shape: Shape
    basis: NDArray[np.float64]
    sites: NDArray[np.int64]
    pitch: float
    jitter: float


def fit_lattice(xy: NDArray[np.floating], shape: Shape | None = None) -> Lattice:
    """Return the lattice that spots of one section lie on, whatever its direction.

    Parameters
    ----------
    xy : (N, 2) float
    shape : "square", "hexagon" or None
        Found from the directions of neighbours where None: those of a square lattice repeat every
        90 degrees, those of a hexagonal one every 60.

    Raises
    ------
    BadRequest
        If there are fewer than 8 spots, or several at one place.
    """
    places = np.asarray(xy, np.float64)
    if len(places) < LEAST:
        raise BadRequest(f"There are {len(places)} spots.", f"At least {LEAST} are needed.")
    steps = _neighbour_steps(places)
    angle = np.arctan2(steps[:, 1], steps[:, 0])
    turns = {4: np.exp(4j * angle).mean(), 6: np.exp(6j * angle).mean()}
    found: Shape = shape or ("square" if abs(turns[4]) >= abs(turns[6]) else "hexagon")
    fold = 4 if found == "square" else 6
    first = float(np.angle(turns[fold])) / fold
    second = first + (np.pi / 2 if found == "square" else np.pi / 3)
    length = float(np.median(np.hypot(*steps.T)))
    basis = length * np.array([[np.cos(first), np.sin(first)], [np.cos(second), np.sin(second)]])
    return _refined(places, found, basis)


def _neighbour_steps(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the steps from spots to their direct neighbours."""
    distance, index = cKDTree(places).query(places, k=min(7, len(places)))
    pitch = float(np.median(distance[:, 1]))
    if not pitch > 0:
        raise BadRequest(
            "Several spots lie at one place.", "Give each spot of a section its own coordinates."
        )
    near = distance[:, 1:] <= NEAR * pitch
    steps = places[index[:, 1:]] - places[:, None]
    return np.asarray(steps[near])


def _refined(places: NDArray[np.float64], shape: Shape, basis: NDArray[np.float64]) -> Lattice:
    """Return the lattice with its steps fitted to all spots, from the middle outwards."""
    centre = places[((places - places.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    reach = np.hypot(*(places - centre).T)
    radius, farthest = 4 * float(np.hypot(*basis[0])), float(reach.max())
    origin = centre
    while True:
        inside = reach <= radius
        sites = np.rint((places[inside] - origin) @ np.linalg.inv(basis))
        design = np.column_stack([sites, np.ones(len(sites))])
        if np.linalg.matrix_rank(design) == 3:
            fitted = np.linalg.lstsq(design, places[inside], rcond=None)[0]
            basis, origin = fitted[:2], fitted[2]
        if radius >= farthest:
            break
        radius *= 1.7
    exact = (places - origin) @ np.linalg.inv(basis)
    sites = np.rint(exact).astype(np.int64)
    pitch = float(np.hypot(*basis.T).mean())
    apart = (exact - sites) @ basis
    return Lattice(
        shape,
        basis,
        sites - sites.min(axis=0),
        pitch,
        float(np.sqrt((apart**2).sum(axis=1).mean()) / pitch),
    )
