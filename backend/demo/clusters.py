"""Clusters of the simulated brain: a few hundred, each a band of one type along the brain.

Real atlases have labels of hundreds of classes. A type's cells are cut into 3 to 7 clusters by one
of the smooth functions of the place that expression follows, with blurred borders.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from backend.core.layers import Category
from backend.demo.types import type_categories, type_names
from backend.store.colours import oklab, oklch_hex

#: Fewest clusters of a type, and how many numbers of clusters there are.
FEWEST, NUMBERS = 3, 5
#: Standard deviation of the noise at borders, as a part of a function of the place (-1 .. 1).
BLUR = 0.12
#: Lightness of the clusters of a type, darkest and lightest.
_DARKEST, _LIGHTEST = 0.46, 0.86


def cluster_counts() -> NDArray[np.int64]:
    """Return the number of clusters of each type."""
    return FEWEST + np.arange(len(type_names())) % NUMBERS


@cache
def cluster_categories() -> tuple[Category, ...]:
    """Return the clusters as categories of the label ``cluster``; each has the hue of its type."""
    return tuple(
        Category(f"{kind.name} {place + 1}", _shade(kind.colour, place, int(count)), kind.name)
        for kind, count in zip(type_categories(), cluster_counts(), strict=True)
        for place in range(count)
    )


def draw_clusters(
    kind: NDArray[np.int16], factors: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.int16]:
    """Return the cluster of each observation.

    Parameters
    ----------
    kind : (n,) int16
        Type.
    factors : (n, k) float32
        Smooth functions of the place; a type follows one of them.
    rng : Generator
    """
    counts = cluster_counts()
    first = np.cumsum(counts) - counts
    along = factors[np.arange(len(kind)), kind % factors.shape[1]]
    along = along + BLUR * rng.standard_normal(len(kind), np.float32)
    band = np.floor((along + 1) / 2 * counts[kind])
    band = np.clip(band, 0, counts[kind] - 1).astype(np.int64)
    return (first[kind] + band).astype(np.int16)


def _shade(colour: str, place: int, count: int) -> str:
    """Return a shade of a type's colour; neighbouring bands lie far apart in lightness."""
    _, a, b = oklab(colour).tolist()
    rank = (2 * place) % count + (count % 2 == 0 and 2 * place >= count)
    light = _LIGHTEST - (_LIGHTEST - _DARKEST) * rank / (count - 1)
    return oklch_hex(light, math.hypot(a, b), math.degrees(math.atan2(b, a)))
