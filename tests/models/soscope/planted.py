"""A grid of spots whose expression follows patches that an image shows, and its truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.models.soscope.image_weights import expected_shapes
from backend.models.soscope.layouts import Layout, merged


@dataclass(frozen=True, slots=True)
class Planted:
    """Merged spots, counts of their subspots and their expectation, and an image of the patches."""

    layout: Layout
    truth: NDArray[np.float64]
    expected: NDArray[np.float64]
    totals: csr_matrix
    features: NDArray[np.float32]


def grid(side: int, pitch: float = 100.0) -> NDArray[np.float64]:
    y, x = np.divmod(np.arange(side * side), side)
    return np.column_stack([x, y]) * pitch


def planted(side: int = 24, genes: int = 40, seed: int = 0, origin: int = 0) -> Planted:
    """Half of the genes follow blobs of two or three subspots, which the image sees too."""
    rng = np.random.default_rng(seed)
    xy = grid(side)
    waves = rng.normal(size=(6, 2)) / 260
    patches = np.sin(xy @ waves.T * 2 * np.pi + rng.uniform(0, 6, 6)).sum(axis=1) > 0
    slope = xy[:, 0] / xy[:, 0].max()
    up = np.where(np.arange(genes) % 2 == 0, 1.2, 0.0)
    log = np.log(12) + patches[:, None] * up + slope[:, None] * rng.normal(0, 0.5, genes)
    truth = rng.poisson(np.exp(log)).astype(np.float64)
    layout, rows = merged(xy, 2, origin)
    features = np.column_stack([patches, rng.normal(size=(len(xy), 2)) * 0.2])
    features[:, 0] += rng.normal(0, 0.1, len(xy))
    totals = csr_matrix(layout.sums() @ truth[rows])
    expected = np.exp(log)[rows]
    return Planted(layout, truth[rows], expected, totals, features[rows].astype(np.float32))


def random_weights(seed: int = 0) -> dict[str, np.ndarray]:
    """Return weights that keep values of about one through all stages."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, shape in expected_shapes().items():
        fan = float(np.prod(shape[1:])) if len(shape) > 1 else 1.0
        values = rng.normal(0, np.sqrt(2 / fan), shape) if len(shape) > 1 else np.ones(shape)
        if name.endswith(("bias", "running_mean")):
            values = rng.normal(0, 0.1, shape)
        found[name] = values.astype(np.float32)
    return found
