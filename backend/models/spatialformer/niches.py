"""The niche of a cell predicted from its own expression: the mean profile of its neighbours."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import softmax

from backend.models.spatialformer.pairs import cell_graph

#: Radii of the niches, micrometres.
NICHE_RADII = (60.0, 150.0)
#: Groups of cells, the temperature of soft membership, and the penalty of the ridge.
GROUPS, TEMPERATURE, PENALTY = 40, 0.5, 50.0
#: Whitened components of a predicted niche.
NICHE_COMPONENTS = 10
#: Cells of all sections from which groups are found, and neighbourhoods are averaged, at most.
MOST_CELLS = 40_000


@dataclass(frozen=True, slots=True)
class Niches:
    """How a profile becomes predicted niches.

    centres : (k, d) float64
        Groups of cells.
    weights : tuple of (d + k + 1, d) float64
        One ridge per radius, on [profile; membership; 1].
    mean, axes : tuples of (d,) and (d, t) float64
        Whitening of each predicted niche.
    """

    centres: NDArray[np.float64]
    weights: tuple[NDArray[np.float64], ...]
    mean: tuple[NDArray[np.float64], ...]
    axes: tuple[NDArray[np.float64], ...]


def membership(h: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the soft membership (n, k) of profiles (n, d) in groups (k, d)."""
    squared = (h**2).sum(axis=1)[:, None] - 2 * h @ centres.T + (centres**2).sum(axis=1)
    # Whitened distances grow with the number of components, so the mean square is taken.
    return np.asarray(softmax(-squared / (TEMPERATURE * h.shape[1] / 4), axis=1))


def group_centres(h: NDArray[np.float64], count: int, seed: int) -> NDArray[np.float64]:
    """Return the centres of at most ``count`` groups of profiles (n, d)."""
    from sklearn.cluster import MiniBatchKMeans

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct cells than groups
        found = MiniBatchKMeans(
            min(count, len(h)), random_state=seed, n_init=2, batch_size=2048
        ).fit(h)
    return np.asarray(found.cluster_centers_, dtype=np.float64)


def fit_niches(
    h: Sequence[NDArray[np.float64]], xy: Sequence[NDArray[np.float32]], seed: int
) -> Niches:
    """Return ridges from a profile to the mean profile of the cells around it.

    Parameters
    ----------
    h : sequence of (n, d) float64
        Profiles of each section.
    xy : sequence of (n, 2) float32
        Micrometres.
    seed : int

    Notes
    -----
    A cell itself is no part of its niche; cells without a neighbour are left out.
    """
    random = np.random.default_rng(seed)
    share = min(1.0, MOST_CELLS / sum(map(len, h)))
    rows = [_some(len(part), share, random) for part in h]
    centres = group_centres(
        np.concatenate([p[r] for p, r in zip(h, rows, strict=True)]), GROUPS, seed
    )
    weights, means, axes = [], [], []
    for radius in NICHE_RADII:
        own = [_around(p, x, r, radius) for p, x, r in zip(h, xy, rows, strict=True)]
        inputs = np.concatenate(
            [_inputs(p[kept], centres) for p, (kept, _) in zip(h, own, strict=True)]
        )
        targets = np.concatenate([target for _, target in own])
        gram = inputs.T @ inputs + PENALTY * np.eye(inputs.shape[1])
        weight = np.linalg.solve(gram, inputs.T @ targets)
        mean, axis = _whitening(inputs @ weight)
        weights.append(weight)
        means.append(mean)
        axes.append(axis)
    return Niches(centres, tuple(weights), tuple(means), tuple(axes))


def predict_niches(
    h: NDArray[np.float64], niches: Niches
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return per radius the predicted niche (n, d) and its whitened components (n, t)."""
    inputs = _inputs(h, niches.centres)
    out = []
    for weight, mean, axes in zip(niches.weights, niches.mean, niches.axes, strict=True):
        niche = inputs @ weight
        out.append((niche, (niche - mean) @ axes))
    return out


def mean_around(
    values: NDArray[np.float64], graph: csr_matrix
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the rows that have a neighbour, and the mean of ``values`` (n, m) over neighbours."""
    degree = np.diff(graph.indptr)
    rows = np.flatnonzero(degree > 0)
    return rows, np.asarray(graph[rows] @ values) / degree[rows][:, None]


def _inputs(h: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([h, membership(h, centres), np.ones((len(h), 1))], axis=1)


def _some(n: int, share: float, random: np.random.Generator) -> NDArray[np.int64]:
    if share >= 1:
        return np.arange(n)
    return np.sort(random.choice(n, max(int(n * share), 1), replace=False))


def _around(
    h: NDArray[np.float64], xy: NDArray[np.float32], rows: NDArray[np.int64], radius: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return which of ``rows`` have neighbours among ``rows``, and the mean over those."""
    kept, mean = mean_around(h[rows], cell_graph(xy[rows], radius))
    return rows[kept], mean


def _whitening(
    values: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and whitening axes of the first components."""
    mean = values.mean(axis=0)
    spread, vectors = np.linalg.eigh(np.cov((values - mean).T))
    order = np.argsort(-spread)[:NICHE_COMPONENTS]
    return mean, vectors[:, order] / np.sqrt(np.maximum(spread[order], 1e-9))
