"""Does the image tell anything? The evidence decides, and two controls stand beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from backend.models.soscope.evidence import posterior
from backend.models.soscope.layouts import Layout
from backend.models.soscope.settings import GATE, Point, prior


@dataclass(frozen=True, slots=True)
class Gate:
    """Probability that the image matters, over factors by their size.

    Parameters
    ----------
    image : float
        With the image as it is; nan without one.
    shuffled, rotated : float
        With the features of other spots of the section; turned by 180 degrees.
    """

    image: float
    shuffled: float
    rotated: float

    @property
    def is_open(self) -> bool:
        """Whether the image is used."""
        return bool(self.image >= GATE)


def gate_of(
    evidence: NDArray[np.float64],
    controls: Sequence[dict[str, NDArray[np.float64]]],
    points: tuple[Point, ...],
    size: NDArray[np.float64],
) -> Gate:
    """Return the gate of a section, or of several.

    Parameters
    ----------
    evidence : (p, k) float64
    controls : sequence of {"shuffled", "rotated"} to (p, k)
        Tile by tile.
    points : tuple of Point
    size : (k,) float64
        Sum of squares of the factors.
    """
    if not any(point.share > 0 for point in points):
        return Gate(np.nan, np.nan, np.nan)
    found = {
        name: image_probability(np.sum([c[name] for c in controls], axis=0), points, size)
        for name in ("shuffled", "rotated")
    }
    return Gate(image_probability(evidence, points, size), found["shuffled"], found["rotated"])


def image_probability(
    evidence: NDArray[np.float64], points: tuple[Point, ...], size: NDArray[np.float64]
) -> float:
    """Return the mean posterior mass of choices with the image, factors weighed by their size."""
    weight = posterior(evidence, prior(points, "split", True))
    shown = np.array([point.share > 0 for point in points])
    return float((weight[shown].sum(axis=0) * size).sum() / size.sum())


def shuffled(layout: Layout, seed: int) -> NDArray[np.int64]:
    """Return another spot of the same section for each spot, at random, (N,)."""
    order = np.arange(layout.n_spots)
    rng = np.random.default_rng(seed)
    for s in np.unique(layout.section):
        own = np.flatnonzero(layout.section == s)
        order[own] = rng.permutation(own)
    return order


def mirrored(layout: Layout) -> NDArray[np.int64]:
    """Return the spot nearest to each spot's place after a turn of its section by 180, (N,)."""
    order = np.arange(layout.n_spots)
    for s in np.unique(layout.section):
        own = np.flatnonzero(layout.section == s)
        places = layout.spots[own]
        turned = places.min(axis=0) + places.max(axis=0) - places
        order[own] = own[cKDTree(places).query(turned)[1]]
    return order
