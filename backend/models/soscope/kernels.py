"""Covariance of subspots and of means over spots: distance in space, likeness in the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.spatial.distance import cdist

from backend.models.soscope.layouts import Layout
from backend.models.soscope.settings import LENGTHS

#: Subspots times subspots held at once.
BLOCK = 4_000_000
#: Subspots whose distances set the width of the image kernel.
SAMPLE = 1500


@dataclass(frozen=True, slots=True)
class ImageScale:
    """Width of the image kernel, and what it is multiplied by for a mean variance of 1."""

    width: float
    scale: float


@dataclass(frozen=True, slots=True)
class Rows:
    """Covariances of a run of subspots with the means over all spots.

    rows : slice of subspots; by_length : (lengths, m, N) float32; image : (m, N) float32 or None.
    """

    rows: slice
    by_length: NDArray[np.float32]
    image: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class Blocks:
    """Covariances of the means over spots: spatial (lengths, N, N), image (N, N) or None."""

    by_length: NDArray[np.float64]
    image: NDArray[np.float64] | None


def image_width(y: NDArray[np.float32], seed: int = 0) -> float:
    """Return the median distance of pairs of subspots in image components (n, k)."""
    some = np.random.default_rng(seed).permutation(len(y))[:SAMPLE]
    apart = cdist(y[some], y[some])
    return max(float(np.median(apart[np.triu_indices(len(some), 1)])), 1e-6)


def block_kernels(
    layout: Layout, y: NDArray[np.float32] | None, width: float
) -> tuple[Blocks, ImageScale | None]:
    """Return covariances of spots, the mean of k(f, f') over their subspots.

    Parameters
    ----------
    layout : Layout
    y : (n, k) float32 or None
        Image components of the subspots.
    width : float
        Of the image kernel; see ``image_width``.

    Notes
    -----
    k(f, f') = exp(-d / l) within a section, d in pitches; exp(-|y - y'|^2 / 2 s^2) over all.
    """
    n = layout.n_spots
    means = layout.means()
    spatial = np.zeros((len(LENGTHS), n, n))
    image = None if y is None else np.zeros((n, n))
    for part in kernel_rows(layout, y, ImageScale(width, 1.0)):
        own = means[:, part.rows]
        hit = np.flatnonzero(np.diff(own.indptr))
        own = own[hit]
        for k in range(len(LENGTHS)):
            spatial[k, hit] += own @ part.by_length[k]
        if image is not None and part.image is not None:
            image[hit] += own @ part.image
    if image is None:
        return Blocks(spatial, None), None
    scale = ImageScale(width, 1 / max(float(np.diag(image).mean()), 1e-9))
    return Blocks(spatial, image * scale.scale), scale


def kernel_rows(
    layout: Layout, y: NDArray[np.float32] | None, image: ImageScale | None
) -> Iterator[Rows]:
    """Yield covariances of subspots with spots, run by run."""
    places = (layout.xy / layout.pitches[layout.subspot_section][:, None]).astype(np.float32)
    section = layout.subspot_section
    averages = csr_matrix(layout.means().T, dtype=np.float32)
    equal = len(set(layout.counts.tolist())) == 1
    step = max(BLOCK // max(layout.n_subspots, 1), 16)
    for first in range(0, layout.n_subspots, step):
        rows = slice(first, min(first + step, layout.n_subspots))
        near = np.exp(_distances(places[rows], places) / np.float32(-LENGTHS[-1]))
        if len(layout.bases) > 1:
            near *= section[rows, None] == section[None]
        levels = []
        for _ in LENGTHS:
            levels.append(_averaged(near, averages, layout.n_spots, equal))
            near *= near
        alike = None
        if y is not None and image is not None:
            alike = np.exp(_squares(y[rows], y) / np.float32(-2 * image.width**2))
            alike = _averaged(alike, averages, layout.n_spots, equal) * np.float32(image.scale)
        yield Rows(rows, np.stack(levels[::-1]), alike)


def _averaged(
    kernel: NDArray[np.float32], averages: csr_matrix, n_spots: int, equal: bool
) -> NDArray[np.float32]:
    """Return the means over the subspots of each spot, (m, N)."""
    if equal:
        # A product is several times faster than a mean over so short an axis.
        per_spot = kernel.shape[1] // n_spots
        mean = np.full(per_spot, 1 / per_spot, np.float32)
        return np.asarray(kernel.reshape(-1, per_spot) @ mean).reshape(len(kernel), n_spots)
    return np.asarray(kernel @ averages, np.float32)


def _squares(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return squared distances, (len(a), len(b)) float32."""
    found = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * (a @ b.T)
    return np.maximum(found, 0, out=found)


def _distances(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    centre = b.mean(axis=0)
    found = _squares(a - centre, b - centre)
    return np.sqrt(found, out=found)
