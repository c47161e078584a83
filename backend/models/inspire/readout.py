"""What is read off a fit: presence in sections, uncertainty, domains, denoised genes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans, MiniBatchKMeans

from backend.models.inspire.em import LEAST, Floats, State, shares
from backend.models.inspire.inputs import Joined
from backend.models.inspire.kernels import information

#: A factor is in a section if its strongest cells there reach this part of those elsewhere: leaks
#: of a factor into a section that lacks it are thin and even, so its mean misleads.
PRESENT, STRONGEST = 0.4, 0.95
#: Cells above which domains are found in batches, and cells whose information is held at once.
MANY, BLOCK = 50_000, 4_096
#: Pseudo-counts of a loading, and the least share that its spread is taken at.
PSEUDO, LEAST_SHARE = 0.2, 0.03
#: Rounds of half own, half neighbours that make proportions of a place.
ROUNDS = 2


def usage(proportions: Sequence[Floats]) -> Floats:
    """Return the mean proportion of every factor in every section, (S, K)."""
    return np.array([p.mean(axis=0) for p in proportions])


def presence(proportions: Sequence[Floats]) -> NDArray[np.bool_]:
    """Return whether every section has every factor, (S, K)."""
    strong = np.array([np.quantile(p, STRONGEST, axis=0) for p in proportions])
    return np.asarray(strong > PRESENT * strong.max(axis=0))


def of_places(data: Joined, proportions: Sequence[Floats], rounds: int = ROUNDS) -> list[Floats]:
    """Return proportions of the place of every cell: half own, half neighbours, repeatedly.

    Parameters
    ----------
    data : Joined
    proportions : (n, K) per section
    rounds : int
    """
    out = []
    for cells, p in zip(data.sections, proportions, strict=True):
        alone = np.asarray(cells.near.sum(axis=1)).ravel() == 0
        smooth = p
        for _ in range(rounds):
            around = np.where(alone[:, None], smooth, cells.near @ smooth)
            smooth = 0.5 * smooth + 0.5 * around
        out.append(smooth)
    return out


def groups(points: Sequence[Floats], k: int, seed: int) -> list[NDArray[np.int16]]:
    """Return ``k`` groups of cells by proportions, the largest first, per section."""
    z = np.vstack(points)
    method = MiniBatchKMeans if len(z) > MANY else KMeans
    with warnings.catch_warnings():
        # Fewer distinct cells than groups is no fault of the data.
        warnings.simplefilter("ignore")
        found = method(min(k, len(z)), n_init=10, random_state=seed).fit_predict(z)
    order = np.argsort(-np.bincount(found, minlength=k), kind="stable")
    rank = np.empty(k, dtype=np.int16)
    rank[order] = np.arange(k, dtype=np.int16)
    return np.split(rank[found], np.cumsum([len(p) for p in points])[:-1])


def spread_of(data: Joined, state: State) -> list[NDArray[np.float32]]:
    """Return the standard deviation of every proportion, (n, K) per section.

    From the observed information of the loadings, carried over to proportions by
    J = (I - p 1') / depth. Programs and scales are taken as known, and what neighbours lend is
    not taken for information: with it, intervals were too narrow in simulations.
    """
    return [_spread(data, state, s) for s in range(len(data.sections))]


def _spread(data: Joined, state: State, s: int) -> NDArray[np.float32]:
    cells, t = data.sections[s], state.loadings[s]
    v, size = state.effective(s, cells), state.shapes[cells.genes]
    p = shares(t)
    out = np.zeros(t.shape, dtype=np.float32)
    eye = np.eye(t.shape[1])
    for first in range(0, cells.n, BLOCK):
        rows = slice(first, first + BLOCK)
        part = cells.counts[rows]
        info = np.zeros((part.shape[0], t.shape[1], t.shape[1]))
        information(part.indptr, part.indices, part.data, t[rows], v, size, info)
        depth = np.maximum(t[rows].sum(axis=1), LEAST)
        # A few pseudo-counts keep factors that a cell lacks from infinite spread.
        prior = PSEUDO / np.maximum(t[rows], LEAST_SHARE * depth[:, None]) ** 2
        info += prior[:, :, None] * eye
        jacobian = (eye - p[rows][:, :, None]) / depth[:, None, None]
        covariance = jacobian @ np.linalg.inv(info) @ jacobian.transpose(0, 2, 1)
        variance = np.diagonal(covariance, axis1=1, axis2=2)
        out[rows] = np.sqrt(np.maximum(variance, 0.0))
    return out


def denoised(
    state: State, proportions: Floats, genes: NDArray[np.int64] | None = None, per: float = 1e4
) -> Floats:
    """Return expected counts per ``per`` counts of the union, (n, genes), scales taken out."""
    programs = state.programs if genes is None else state.programs[:, genes]
    return np.asarray(per * proportions @ programs)
