"""Spots drawn over their tissue image, to see how the two fit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.spatial import cKDTree

#: Side of the picture.
SIDE = 900
INSIDE, OUTSIDE, BEYOND = "#f07b26", "#3f6fe8", "#dddddd"


def spots_over(
    places: NDArray[np.float64], size: tuple[int, int], small: Callable[[int], Image.Image]
) -> Image.Image:
    """Return a picture of an image with spots: rings, orange inside the image and blue outside.

    Parameters
    ----------
    places : (n, 2) float64
        Spots, pixels of the image.
    size : (width, height)
        Of the image.
    small : callable
        The image at most so many pixels wide or high.
    """
    whole = np.array(size, np.float64)
    pitch = pitch_of(places)
    # As much of the image as the spots need, and the places of those beyond it.
    low = np.minimum(np.maximum(places.min(axis=0) - 3 * pitch, 0), places.min(axis=0) - pitch)
    high = np.maximum(np.minimum(places.max(axis=0) + 3 * pitch, whole), places.max(axis=0) + pitch)
    zoom = SIDE / float((high - low).max())
    seen = small(int(np.ceil(zoom * whole.max())))
    scale = seen.width / whole[0]
    canvas = Image.new("RGB", _pair((high - low) * scale + 1), BEYOND)
    canvas.paste(seen, _pair(-low * scale))
    draw = ImageDraw.Draw(canvas)
    radius = max(2.0, 0.25 * pitch * scale)
    for (x, y), inside in zip((places - low) * scale, is_inside(places, size), strict=True):
        ring = (x - radius, y - radius, x + radius, y + radius)
        draw.ellipse(ring, outline=INSIDE if inside else OUTSIDE, width=2)
    return canvas


def is_inside(places: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which places (n, 2) lie inside an image of this width and height."""
    return np.asarray(((places >= 0) & (places < np.array(size, np.float64))).all(axis=1))


def pitch_of(xy: NDArray[np.float64]) -> float:
    """Return the median distance to the nearest neighbour; 0 where there is none."""
    if len(xy) < 2:
        return 0.0
    return float(np.median(cKDTree(xy).query(xy, 2)[0][:, 1]))


def _pair(values: NDArray[np.float64]) -> tuple[int, int]:
    return int(values[0]), int(values[1])
