"""Stochastic expectation maximisation: programs from batches of cells, for large data.

Batches, of every section its share, update running means of expected counts with the step
(b + 5)^-.6; the cells of a batch are updated a few times first. Full passes then settle all cells.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backend.core.job import RunContext
from backend.models.inspire.em import (
    GRAPH_FROM,
    SCALES_FROM,
    Pass,
    Settings,
    State,
    fit,
    mean_profile,
    one_pass,
    shapes_of,
    update,
)
from backend.models.inspire.inputs import Joined
from backend.models.inspire.search import sample, subset

#: Cells above which batches are used.
MANY = 60_000
#: Cells of a batch over all sections, updates of a batch, passes at the end.
BATCH, LOCAL, SETTLE = 12_000, 3, 12
#: Exponent and delay of the step.
EXPONENT, DELAY = -0.6, 5.0


def fit_large(
    data: Joined, begin: State, settings: Settings, seed: int, ctx: RunContext, epochs: float = 4.0
) -> State:
    """Return the state after batches that make up ``epochs`` passes, and a few full passes.

    Raises
    ------
    Diverged, Cancelled
    """
    n_batches = max(20, round(epochs * data.n / BATCH))
    mean = mean_profile(data)
    depth = float(np.median(np.concatenate([s.depth for s in data.sections])))
    state, running = begin, None
    for b in range(n_batches):
        rows = sample(data, seed * 100_003 + b, BATCH)
        small = subset(data, rows)
        part = replace(
            state, loadings=tuple(t[r] for t, r in zip(state.loadings, rows, strict=True))
        )
        borrow = settings.borrow * depth if b >= GRAPH_FROM // 2 else 0.0
        local = replace(settings, iterations=LOCAL, overdispersed=False)
        part = fit(small, part, local, RunContext(), frozen=part.k)
        part = replace(part, scales=state.scales)
        if settings.overdispersed and b % 10 == 9:
            part = replace(part, shapes=shapes_of(small, part))
        own = [one_pass(small, part, s) for s in range(len(small.sections))]
        step = (b + DELAY) ** EXPONENT if running is not None else 1.0
        running = own if running is None else [
            _mixed(a, c, step) for a, c in zip(running, own, strict=True)
        ]  # fmt: skip
        blended = [replace(c, programs=a.programs, gene_exposure=a.gene_exposure)
                   for a, c in zip(running, own, strict=True)]  # fmt: skip
        new = update(small, part, blended, settings, mean, borrow, b >= SCALES_FROM // 2)
        for t, r, fresh in zip(state.loadings, rows, new.loadings, strict=True):
            t[r] = fresh
        state = replace(state, programs=new.programs, scales=new.scales, shapes=part.shapes)
        ctx.step(0.7 * (b + 1) / n_batches, f"Learning programs, batch {b + 1} of {n_batches}")
    settle = replace(settings, iterations=SETTLE)
    return fit(data, state, settle, ctx.part(0.7, 1.0))


def _mixed(old: Pass, new: Pass, step: float) -> Pass:
    return replace(
        new,
        programs=(1 - step) * old.programs + step * new.programs,
        gene_exposure=(1 - step) * old.gene_exposure + step * new.gene_exposure,
    )
