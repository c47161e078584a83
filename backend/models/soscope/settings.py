"""The choices that the evidence weighs, and the constants that were fixed beforehand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Correlation lengths in pitches of spots; each is half the next, so that one exponential serves.
LENGTHS = (3.0, 6.0, 12.0)
#: Length beside an image.
IMAGE_LENGTH = 6.0
#: Share of the image in the kernel.
SHARES = (0.1, 0.2, 0.3, 0.5)
#: Noise of a spot against the variance of the kernel.
NOISES = (0.03, 0.1, 0.3, 1.0)
#: Evidence for an image from which it is used.
GATE = 0.85
#: Share of the image's controls that may fit as well as the image: none of 19.
CHANCE = 0.05
#: Weight of the model against bilinear shares, without and with an image.
BLEND, IMAGE_BLEND = 0.5, 0.75
#: The same for expected counts, with an image or without: the share of genes that are closer than
#: both plain ways is largest here over 31 sections, of which B4 is none.
RATE_BLEND = 0.5


@dataclass(frozen=True, slots=True)
class Point:
    """One choice: length of the spatial kernel, share of the image, noise."""

    length: float
    share: float
    noise: float


def points_of(has_image: bool) -> tuple[Point, ...]:
    """Return all choices."""
    plain = [Point(length, 0.0, n) for length in LENGTHS for n in NOISES]
    shown = [Point(IMAGE_LENGTH, w, n) for w in SHARES for n in NOISES] if has_image else []
    return (*plain, *shown)


def prior(points: tuple[Point, ...], output: str, use_image: bool) -> NDArray[np.float64]:
    """Return the prior mass of each choice.

    Parameters
    ----------
    points : tuple of Point
    output : "split" or "rate"
        Shares of counts want long lengths and little noise; expected counts want noise that the
        evidence sets. Short lengths with much noise fit fine structure away.
    use_image : bool
        Half of the mass is on choices with the image, or none.
    """
    mass = np.array([float(_allowed(p, output, use_image)) for p in points])
    shown = np.array([p.share > 0 for p in points])
    for group in (shown, ~shown):
        total = mass[group].sum()
        if total:
            mass[group] *= (0.5 if use_image else 1.0) / total
    return mass / mass.sum()


def _allowed(point: Point, output: str, use_image: bool) -> bool:
    if point.share > 0 and not use_image:
        return False
    if use_image:
        return point.length == IMAGE_LENGTH and (output == "rate" or point.noise <= 0.3)
    if output == "rate":
        return True
    return point.length >= 6.0 and point.noise <= 0.1
