"""Levels of genes in domains: what a region adds to the cells of a type.

The expected counts of a cell in domain d are those of its factors times f_dg, the level of gene g
there. Shares of factors do not show such a region; its genes do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.models.inspire.em import LEAST, Floats, State
from backend.models.inspire.fields import VERY_MANY, Field, frequencies, settle
from backend.models.inspire.inputs import Cells, Joined

#: Passes, those of many cells, and pseudo-counts of a level.
PASSES, FEW, HOLD = 20, 6, 50.0


def with_levels(
    data: Joined, state: State, near: csr_matrix, kinds: csr_matrix, field: Field, trust: float
) -> Field:
    """Return a field whose domains have levels of genes too.

    Parameters
    ----------
    data : Joined
    state : State
    near, kinds
        See ``fields.tie``.
    field : Field
        Where it starts.
    trust : float
        What a count says of a level beside what the model makes of it, 0 to 1: counts of a cell
        vary together in ways that no factor holds.
    """
    ends = np.cumsum([c.n for c in data.sections])[:-1]
    for _ in range(PASSES if data.n <= VERY_MANY else FEW):
        levels = levels_of(data, state, np.split(field.likely, ends))
        said = [_said(data, state, s, levels, trust) for s in range(len(data.sections))]
        said_of_kinds = frequencies(kinds, field.likely)
        field = settle(near, replace(field, said=said_of_kinds + np.vstack(said)))
    return field


def levels_of(data: Joined, state: State, likely: Sequence[Floats]) -> Floats:
    """Return counts over expected counts of every gene in every domain, (k, G)."""
    k, genes = likely[0].shape[1], len(data.genes)
    counts, expected = np.full((k, genes), HOLD), np.full((k, genes), HOLD)
    for s, (cells, own) in enumerate(zip(data.sections, likely, strict=True)):
        counts[:, cells.genes] += np.asarray((cells.counts.T @ own).T)
        expected[:, cells.genes] += (own.T @ state.loadings[s]) @ state.effective(s, cells).T
    return counts / expected


def _said(data: Joined, state: State, s: int, levels: Floats, trust: float) -> Floats:
    """Return the log-likelihood of the cells of a section by levels alone, (n, k)."""
    cells, t = data.sections[s], state.loadings[s]
    v = state.effective(s, cells)
    weight = trust * _weights(state, s, cells, v)
    own = levels[:, cells.genes]
    score = np.asarray(cells.counts @ (np.log(own) * weight).T)
    return np.asarray(score - t @ (v.T @ ((own - 1.0) * weight).T))


def _weights(state: State, s: int, cells: Cells, v: Floats) -> NDArray[np.float64]:
    """Return what a count of every gene says beside one of Poisson's, (p,): r / (r + rate)."""
    rate = v @ state.loadings[s].mean(axis=0)
    r = state.shapes[cells.genes]
    return np.asarray(r / np.maximum(r + rate, LEAST))
