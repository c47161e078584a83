"""Pairs of subspots and how alike their image is: neighbours, and as many strangers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

#: Neighbours of a subspot that are paired with it.
NEAR = 6


@dataclass(frozen=True, slots=True)
class Pairs:
    """Subspots i and j, (e,) each, and the likeness of their image in 0..1."""

    i: NDArray[np.int64]
    j: NDArray[np.int64]
    likeness: NDArray[np.float32]


def image_pairs(
    xy: NDArray[np.floating], image: NDArray[np.floating], seed: int, near: int = NEAR
) -> Pairs:
    """Return neighbours in space and as many random pairs, with exp(-d^2 / 2 s^2) of their images.

    Parameters
    ----------
    xy : (s, 2) float
    image : (s, d) float
    seed : int
    near : int

    Notes
    -----
    The reference compares all pairs and calls every distant one dissimilar, which is neither true
    nor possible for large sections. s is the median distance of the random pairs.
    """
    n = len(xy)
    k = min(near, n - 1)
    _, found = cKDTree(xy).query(xy, k + 1)
    i = np.repeat(np.arange(n), k)
    j = found.reshape(n, -1)[:, 1:].ravel()
    rng = np.random.default_rng(seed)
    strangers = rng.integers(0, n, (2, len(i)))
    i, j = np.r_[i, strangers[0]].astype(np.int64), np.r_[j, strangers[1]].astype(np.int64)
    apart = ((image[i] - image[j]) ** 2).sum(axis=1)
    scale = max(float(np.median(apart[len(apart) // 2 :])), 1e-12)
    keep = i != j
    return Pairs(i[keep], j[keep], np.exp(-apart[keep] / (2 * scale)).astype(np.float32))
