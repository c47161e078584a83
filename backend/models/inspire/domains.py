"""Domains: places with shares of factors, and levels of genes, of their own.

A hidden Markov random field. A cell in domain d draws its factors from theta_d, and its expected
counts are those of its factors times f_dg, the level of gene g there; neighbours tend to be of one
domain (a mean field of weight ``TIES``). Found by expectation maximisation from k-means on the
proportions of places. What a tissue region adds to a cell type is in f, which no mixture of
neighbours' proportions shows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.models.inspire.em import LEAST, Floats, State, shares
from backend.models.inspire.inputs import Cells, Joined
from backend.models.inspire.readout import groups, of_places

#: Passes, weight of neighbours, pseudo-counts of levels and of shares.
PASSES, TIES, HOLD, PSEUDO = 30, 14.0, 50.0, 2.0
#: Cells above which fewer passes are done, and how many.
MANY, FEW = 100_000, 10


def find_domains(data: Joined, state: State, k: int, seed: int) -> list[Floats]:
    """Return how likely every cell is in every domain, (n, k) per section.

    Parameters
    ----------
    data : Joined
    state : State
    k : int
    seed : int
    """
    places = of_places(data, state.proportions())
    first = groups(places, k, seed)
    q = [np.eye(k)[codes] for codes in first]
    q = [_around(cells, own) for cells, own in zip(data.sections, q, strict=True)]
    for _ in range(PASSES if data.n <= MANY else FEW):
        theta, levels = _domains(data, state, q)
        q = [_posterior(data, state, s, own, theta, levels) for s, own in enumerate(q)]
    return q


def labels_of(likely: Sequence[Floats]) -> list[NDArray[np.int16]]:
    """Return the likeliest domain of every cell, the largest domain first, per section."""
    found = np.concatenate([q.argmax(axis=1) for q in likely])
    k = likely[0].shape[1]
    order = np.argsort(-np.bincount(found, minlength=k), kind="stable")
    rank = np.empty(k, dtype=np.int16)
    rank[order] = np.arange(k, dtype=np.int16)
    return np.split(rank[found], np.cumsum([len(q) for q in likely])[:-1])


def _around(cells: Cells, q: Floats) -> Floats:
    """Return half own, half neighbours, nothing impossible."""
    return np.asarray(0.5 * q + 0.5 * (cells.near @ q) + 1e-6)


def _domains(data: Joined, state: State, q: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Return shares of factors (k, K) and levels of genes (k, G) of every domain."""
    k, genes = q[0].shape[1], len(data.genes)
    theta = np.full((k, state.k), PSEUDO / state.k)
    counts, expected = np.full((k, genes), HOLD), np.full((k, genes), HOLD)
    for s, cells in enumerate(data.sections):
        own = q[s]
        theta += own.T @ shares(state.loadings[s])
        counts[:, cells.genes] += np.asarray((cells.counts.T @ own).T)
        expected[:, cells.genes] += (own.T @ state.loadings[s]) @ state.effective(s, cells).T
    return theta / theta.sum(axis=1, keepdims=True), counts / expected


def _posterior(
    data: Joined, state: State, s: int, q: Floats, theta: Floats, levels: Floats
) -> Floats:
    """Return how likely the cells of a section are in every domain, (n, k)."""
    cells, t = data.sections[s], state.loadings[s]
    v = state.effective(s, cells)
    weight = _trust(state, s, cells, v)
    own = levels[:, cells.genes]
    score = shares(t) @ np.log(theta.T)
    score += np.asarray(cells.counts @ (np.log(own) * weight).T)
    score -= t @ (v.T @ ((own - 1.0) * weight).T)
    score += TIES * np.asarray(cells.near @ q)
    score -= score.max(axis=1, keepdims=True)
    out = np.exp(score)
    return np.asarray(out / out.sum(axis=1, keepdims=True))


def _trust(state: State, s: int, cells: Cells, v: Floats) -> NDArray[np.float64]:
    """Return what a count of every gene says beside one of Poisson's, (p,): r / (r + rate)."""
    rate = v @ state.loadings[s].mean(axis=0)
    r = state.shapes[cells.genes]
    return np.asarray(r / np.maximum(r + rate, LEAST))
