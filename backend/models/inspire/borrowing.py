"""How much a cell borrows from its neighbours: what predicts held-out counts best.

Neighbouring spots resemble one another and should borrow; neighbouring cells are often of other
types and should not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.job import RunContext
from backend.models.inspire.count import HELD_OUT
from backend.models.inspire.em import Settings, State, fit, likelihood_of
from backend.models.inspire.inputs import Joined
from backend.models.inspire.search import blocks, sample, subset

#: Pseudo-counts that are tried, in parts of the median depth; the most of two as good is taken.
TRIED = (0.0, 0.02, 0.05, 0.1, 0.15)
#: Passes of each, cells looked at, and nats per count that are as good as none.
PASSES, CELLS, AS_GOOD = 25, 4_000, 0.0006


def choose_borrow(
    data: Joined, state: State, settings: Settings, seed: int
) -> tuple[float, Mapping[float, float]]:
    """Return the pseudo-counts to borrow, and nats per held-out count of all that were tried.

    A fifth of the genes is held out and predicted from the loadings that the others give, programs
    and scales as they are. Thinned counts would not do: both parts share the noise of their gene
    in a cell, and fitting it would look like a gain. Where cells are many, sections are cut to
    blocks of neighbours.

    Parameters
    ----------
    data : Joined
    state : State
    settings : Settings
    seed : int
    """
    rows = sample(data, seed + 9, CELLS)
    if data.n > CELLS:
        rows = blocks(data, [len(r) for r in rows], seed)
    small = subset(data, rows)
    held = np.random.default_rng([seed, 59]).random(len(data.genes)) < HELD_OUT
    shown, hidden = genes_of(small, ~held), genes_of(small, held)
    begin = mean_state(shown, state)
    count = max(1.0, sum(float(c.depth.sum()) for c in hidden.sections))
    gains = {}
    for borrow in TRIED:
        own = replace(settings, borrow=borrow, iterations=PASSES, with_scales=False)
        found = fit(shown, begin, own, RunContext(), frozen=state.k)
        seen = replace(found, shapes=state.shapes)
        gains[borrow] = likelihood_of(hidden, seen) / count
    best = max(gains.values())
    return max(b for b, g in gains.items() if g >= best - AS_GOOD), gains


def genes_of(data: Joined, keep: NDArray[np.bool_]) -> Joined:
    """Return the same cells with some of the genes."""
    out = []
    for cells in data.sections:
        own = keep[cells.genes]
        fewer = replace(cells, genes=cells.genes[own])
        out.append(fewer.with_counts(csr_matrix(cells.counts[:, own])))
    return Joined(tuple(out), data.genes)


def mean_state(data: Joined, state: State) -> State:
    """Return a state in which every cell has the mean shares of its section."""
    loadings = []
    for cells, t in zip(data.sections, state.loadings, strict=True):
        # Of all cells of the section, also where a part of them is looked at.
        usage = (t / t.sum(axis=1, keepdims=True)).mean(axis=0)
        in_panel = float(usage @ state.programs[:, cells.genes].sum(axis=1))
        loadings.append(np.maximum(cells.depth, 0.5)[:, None] * (usage / max(in_panel, 1e-6)))
    return replace(state, loadings=tuple(loadings))
