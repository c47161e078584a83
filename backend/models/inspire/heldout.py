"""Held-out counts: factors beside NMF on equal terms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.models.inspire.baselines import POOLED, SMOOTHED, nmf, shared_log, smoothed
from backend.models.inspire.count import HELD_OUT, sections_of, thinned
from backend.models.inspire.em import Floats, Settings, State, fit
from backend.models.inspire.inputs import Joined

#: Weight of the mean profile in a composition, so that no gene is impossible.
FLOOR = 0.01


def compositions(
    sections: Sequence[SectionData], data: Joined, state: State, settings: Settings, seed: int
) -> dict[str, float]:
    """Return nats per held-out count above the mean profile of a section, by method.

    A fifth of all counts is held out by binomial thinning; every method predicts the composition
    of a cell over the genes that all sections have, which asks nothing of its depth. Compositions
    of all methods are mixed with 1 % of the section's profile.

    Returns
    -------
    dict
        "factors" and the two NMF baselines; higher is better.
    """
    shown, hidden = thinned(data, HELD_OUT, seed)
    fewer = sections_of(sections, shown)
    logs, names = shared_log(fewer)
    if len(names) < 3:
        return {}
    place = {g.upper(): i for i, g in enumerate(data.genes)}
    genes = np.array([place[n] for n in names], dtype=np.int64)
    own = fit(shown, state, settings, RunContext())
    found: dict[str, list[Floats]] = {"factors": _of_factors(shown, own, genes)}
    k = min(state.k, len(names) - 1)
    for name, values in ((POOLED, logs), (SMOOTHED, smoothed(shown, logs))):
        loadings, parts = nmf(values, k, seed)
        found[name] = [np.expm1(np.minimum(w @ parts, 20.0)) for w in loadings]
    return {name: _score(shown, hidden, genes, values) for name, values in found.items()}


def _of_factors(data: Joined, state: State, genes: NDArray[np.int64]) -> list[Floats]:
    return [
        t @ (state.programs[:, genes] * state.scales[s, genes])
        for s, t in enumerate(state.loadings)
    ]


def _score(
    shown: Joined, hidden: Joined, genes: NDArray[np.int64], rates: Sequence[Floats]
) -> float:
    total, count = 0.0, 0.0
    for cells, out, rate in zip(shown.sections, hidden.sections, rates, strict=True):
        column = np.full(len(shown.genes), -1, dtype=np.int64)
        column[genes] = np.arange(len(genes))
        own = column[cells.genes]
        profile = np.zeros(len(genes))
        sums = np.asarray(cells.counts.sum(axis=0), dtype=np.float64).ravel()
        profile[own[own >= 0]] = sums[own >= 0] + 0.5
        profile /= profile.sum()
        size = np.maximum(rate.sum(axis=1, keepdims=True), 1e-12)
        q = (1 - FLOOR) * np.maximum(rate, 0.0) / size + FLOOR * profile
        coo = out.counts.tocoo()
        g = own[coo.col]
        use = g >= 0
        total += float((coo.data[use] * np.log(q[coo.row[use], g[use]] / profile[g[use]])).sum())
        count += float(coo.data[use].sum())
    return total / max(count, 1.0)
