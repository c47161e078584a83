"""Which types lie around a cell, predicted from its expression and compared with what does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.models.spatialformer.measures import jensen_shannon
from backend.models.spatialformer.niches import Niches, membership
from backend.models.spatialformer.pairs import cell_graph

#: Penalty of the ridge.
PENALTY = 50.0
#: Methods, in order.
RIDGE, BY_TYPE, ALL = "Predicted from expression", "Mean of the cell's type", "Mean of all cells"


@dataclass(frozen=True, slots=True)
class Composition:
    """How a cell's profile becomes the composition of its neighbourhood.

    weights : (d + groups + 1, k) float64
    by_type : (k, k) float64
        Mean composition around cells of each type.
    overall : (k,) float64
    """

    weights: NDArray[np.float64]
    by_type: NDArray[np.float64]
    overall: NDArray[np.float64]


def real_composition(
    xy: NDArray[np.float32], codes: NDArray[np.int64], k: int, radius: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the cells with a neighbour of a known type, and its neighbours' shares of types.

    N_k(i) = sum_j a_ij 1[type j = k] over the graph of ``radius``, normalised per cell.

    Returns
    -------
    (m,) int64, (m, k) float64
    """
    known = np.flatnonzero(codes >= 0)
    shape = (len(codes), k)
    one_hot = csr_matrix((np.ones(len(known)), (known, codes[known])), shape=shape)
    counts = np.asarray((cell_graph(xy, radius) @ one_hot).todense())
    total = counts.sum(axis=1)
    rows = np.flatnonzero(total > 0)
    return rows, counts[rows] / total[rows][:, None]


def fit_composition(
    h: Sequence[NDArray[np.float64]],
    xy: Sequence[NDArray[np.float32]],
    codes: Sequence[NDArray[np.int64]],
    niches: Niches,
    k: int,
    radius: float,
) -> Composition:
    """Return a ridge from profiles to compositions, and the plain means beside it."""
    inputs, targets, own = [], [], []
    for profile, places, code in zip(h, xy, codes, strict=True):
        rows, target = real_composition(places, code, k, radius)
        inputs.append(_inputs(profile[rows], niches))
        targets.append(target)
        own.append(code[rows])
    x, y, types = np.concatenate(inputs), np.concatenate(targets), np.concatenate(own)
    gram = x.T @ x + PENALTY * np.eye(x.shape[1])
    overall = np.asarray(y.mean(axis=0), dtype=np.float64)
    by_type = np.tile(overall, (k, 1))
    for code in np.unique(types[types >= 0]):
        by_type[code] = y[types == code].mean(axis=0)
    weights = np.asarray(np.linalg.solve(gram, x.T @ y), dtype=np.float64)
    return Composition(weights, by_type, overall)


def predict_composition(
    h: NDArray[np.float64], niches: Niches, model: Composition
) -> NDArray[np.float64]:
    """Return the predicted composition (n, k) of each cell's neighbourhood; rows sum to 1."""
    raw = np.maximum(_inputs(h, niches) @ model.weights, 0.0)
    total = raw.sum(axis=1, keepdims=True)
    return np.where(total > 0, raw / np.where(total > 0, total, 1.0), model.overall)


def composition_figures(
    h: NDArray[np.float64],
    xy: NDArray[np.float32],
    codes: NDArray[np.int64],
    niches: Niches,
    model: Composition,
    radius: float,
) -> dict[str, float]:
    """Return the mean Jensen-Shannon divergence (nats) of unseen cells, by method."""
    rows, real = real_composition(xy, codes, len(model.overall), radius)
    typed = np.where(codes[rows, None] >= 0, model.by_type[codes[rows]], model.overall)
    found = {
        RIDGE: predict_composition(h[rows], niches, model),
        BY_TYPE: typed,
        ALL: np.tile(model.overall, (len(rows), 1)),
    }
    return {name: float(jensen_shannon(p, real).mean()) for name, p in found.items()}


def _inputs(h: NDArray[np.float64], niches: Niches) -> NDArray[np.float64]:
    return np.concatenate([h, membership(h, niches.centres), np.ones((len(h), 1))], axis=1)
