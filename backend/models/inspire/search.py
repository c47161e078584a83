"""Searching for a good start: more factors than asked for, pruned; the likeliest of a few.

A start that has merged two planted factors stays there: expectation maximisation does not split.
Starts with a few factors too many rarely miss one, and what is spare is found by the likelihood
that is lost without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.models.inspire.em import SHAPES, Settings, State, fit, likelihood_of, shapes_of, shares
from backend.models.inspire.inputs import Cells, Joined
from backend.models.inspire.start import analysis, clusters, start_from

#: Factors beyond those asked for, and seeds of k-means, that are tried.
SPARE = (0, 3)
SEEDS = 2
#: Cells of all sections together that a search looks at.
CELLS = 4_000
#: Passes of a start, after each factor that is dropped, and to weigh one; cells it is weighed on.
FIRST, AFTER, WEIGH = 40, 12, 3
#: Passes by which starts come to rest before they are compared.
SETTLE = 15
WEIGHED = 1_200
#: Shape of the noise of a typical gene below which counts are overdispersed.
NOISY_BELOW = 20.0


@dataclass(frozen=True, slots=True)
class Found:
    """The start that was chosen, whether counts are overdispersed, and how likely starts were."""

    state: State
    overdispersed: bool
    shape: float
    likelihoods: tuple[float, ...]


def search(
    sections: Sequence[SectionData], data: Joined, k: int, settings: Settings, seed: int,
    ctx: RunContext, tries: int = SEEDS, noise: bool | None = None,
) -> Found:  # fmt: skip
    """Return the likeliest of a few pruned starts, for all cells of ``data``.

    Parameters
    ----------
    sections : sequence of SectionData
        The same sections, for the factor analysis.
    data : Joined
    k : int
    settings : Settings
        ``overdispersed`` is found here, from the shape of the noise.
    seed : int
    tries : int
        Seeds of k-means.
    noise : bool, optional
        Whether counts are overdispersed, where it is known.
    """
    latent = analysis(sections, data, k + 4, ctx.part(0.0, 0.2))
    rows = sample(data, seed)
    small = subset(data, rows)
    seen = [z[r] for z, r in zip(latent, rows, strict=True)]
    spare = SPARE if k + SPARE[-1] < small.n // 10 else (0,)
    options = [(seed + i, extra) for i in range(tries) for extra in spare]
    found: list[State] = []
    for i, (own_seed, extra) in enumerate(options):
        part = ctx.part(0.2 + 0.8 * i / len(options), 0.2 + 0.8 * (i + 1) / len(options))
        begin = start_from(small, clusters(seen, k + extra, own_seed), k + extra)
        if noise is None:
            noise, _ = is_overdispersed(small, begin, settings)
        own = replace(settings, overdispersed=noise, iterations=FIRST)
        pruned = prune(small, fit(small, begin, own, RunContext()), k, own)
        found.append(fit(small, pruned, replace(own, iterations=SETTLE), RunContext()))
        part.step(1.0, f"Tried start {i + 1} of {len(options)}")
    likely = [likelihood_of(small, state) for state in found]
    best = found[int(np.argmax(likely))]
    shape = float(np.median(best.shapes))
    return Found(spread_to(data, best, rows), bool(noise), shape, tuple(likely))


def is_overdispersed(data: Joined, begin: State, settings: Settings) -> tuple[bool, float]:
    """Return whether counts have more noise than Poisson's after a short fit, and its shape."""
    state = fit(data, begin, replace(settings, overdispersed=False, iterations=FIRST), RunContext())
    shape = float(np.median(shapes_of(data, state)))
    return shape < NOISY_BELOW, shape


def prune(data: Joined, state: State, k: int, settings: Settings) -> State:
    """Return a state of ``k`` factors: that whose loss costs least is dropped, one by one."""
    weigh = replace(settings, iterations=WEIGH, borrow=0.0, overdispersed=False)
    after = replace(settings, iterations=AFTER)
    rows = sample(data, 0, WEIGHED)
    few = subset(data, rows)
    while state.k > k:
        seen = replace(
            state, loadings=tuple(t[r] for t, r in zip(state.loadings, rows, strict=True))
        )
        lost = []
        for factor in range(state.k):
            rest = without(seen, factor)
            left = fit(few, rest, weigh, RunContext(), rest.k)
            # Poisson's likelihood would keep a factor for the noise that it explains.
            lost.append(likelihood_of(few, left) if settings.overdispersed else left.likelihood)
        rest = without(state, int(np.argmax(lost)))
        state = fit(data, rest, after, RunContext())
    return state


def without(state: State, factor: int) -> State:
    """Return a state without one factor, whose share the others take over."""
    keep = [j for j in range(state.k) if j != factor]
    loadings = []
    for t in state.loadings:
        rest = t[:, keep]
        rest = rest + 0.02 * rest.mean(axis=1, keepdims=True) + 1e-6
        loadings.append(shares(rest) * t.sum(axis=1, keepdims=True))
    return replace(state, loadings=tuple(loadings), programs=state.programs[keep])


def sample(data: Joined, seed: int, most: int = CELLS) -> list[NDArray[np.int64]]:
    """Return the cells of every section to look at, in order; all where they are few."""
    if data.n <= most:
        return [np.arange(s.n) for s in data.sections]
    rng = np.random.default_rng([seed, 17])
    out = []
    for cells in data.sections:
        count = max(min(cells.n, 200), round(most * cells.n / data.n))
        out.append(np.sort(rng.choice(cells.n, min(count, cells.n), replace=False)))
    return out


def subset(data: Joined, rows: Sequence[NDArray[np.int64]]) -> Joined:
    """Return some cells of every section; neighbours that are left out lend nothing."""
    return Joined(
        tuple(_rows(cells, r) for cells, r in zip(data.sections, rows, strict=True)), data.genes
    )


def _rows(cells: Cells, rows: NDArray[np.int64]) -> Cells:
    if len(rows) == cells.n:
        return cells
    near = cells.near[rows][:, rows]
    return replace(cells, near=near, depth=cells.depth[rows]).with_counts(cells.counts[rows])


def blocks(data: Joined, counts: list[int], seed: int) -> list[NDArray[np.int64]]:
    """Return, of every section, cells that are near one of them."""
    rng = np.random.default_rng([seed, 57])
    rows = []
    for cells, count in zip(data.sections, counts, strict=True):
        inside = np.zeros(cells.n, dtype=np.bool_)
        inside[rng.integers(cells.n)] = True
        while inside.sum() < count:
            grown = inside | (cells.near.T @ inside > 0) | (cells.near @ inside > 0)
            if grown.sum() == inside.sum():
                grown[rng.integers(cells.n)] = True
            inside = grown
        rows.append(np.flatnonzero(inside)[: 2 * count])
    return rows


def spread_to(data: Joined, state: State, rows: Sequence[NDArray[np.int64]]) -> State:
    """Return a state for all cells: those that were not looked at start at the section's mean."""
    loadings = []
    for cells, t, r in zip(data.sections, state.loadings, rows, strict=True):
        p = np.tile(shares(t).mean(axis=0), (cells.n, 1))
        p[r] = shares(t)
        in_panel = np.maximum(p @ state.programs[:, cells.genes].sum(axis=1), 1e-6)
        loadings.append(p * (np.maximum(cells.depth, 0.5) / in_panel)[:, None])
    return replace(state, loadings=tuple(loadings))


def poisson(state: State) -> State:
    """Return a state without overdispersion."""
    return replace(state, shapes=np.full_like(state.shapes, SHAPES[1]))
