"""How many factors: gain on held-out counts, and whether all factors come again in half of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.models.inspire.em import Floats, Settings, State, fit, shares
from backend.models.inspire.inputs import Joined
from backend.models.inspire.search import search
from backend.models.inspire.start import analysis, clusters, start_from

#: Numbers of factors that are tried.
GRID = (4, 6, 8, 10, 12, 15, 20)
#: Counts held out, gain that is as good as the best, r at which a factor has come again.
HELD_OUT, ENOUGH, AGAIN = 0.2, 0.001, 0.8


@dataclass(frozen=True, slots=True)
class Tried:
    """A number of factors: gain in nats per held-out count, r of each factor between halves."""

    factors: int
    gain: float
    weakest_r: float
    stable: int


@dataclass(frozen=True, slots=True)
class Choice:
    """The number that was chosen, and why."""

    factors: int
    tried: tuple[Tried, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it for figures."""
        return {"factors": self.factors, "tried": [asdict(t) for t in self.tried]}


def choose_count(
    sections: Sequence[SectionData], data: Joined, settings: Settings, ctx: RunContext,
    grid: Sequence[int] = GRID,
) -> Choice:  # fmt: skip
    """Return the largest number of factors that gains as much as any and comes again in halves.

    Where none comes again whole, the number with the most stable factors among those that gain.

    Parameters
    ----------
    sections : sequence of SectionData
    data : Joined
        The same cells; few enough to be fitted often. Every part of the counts starts from an
        analysis of its own, so that two halves agree on nothing but tissue.
    settings : Settings
    ctx : RunContext
    """
    seed = ctx.seed
    grid = [k for k in grid if k < data.n // 20] or [min(grid)]
    shown, hidden = thinned(data, HELD_OUT, seed)
    halves = thinned(data, 0.5, seed + 1)
    parts = [(part, _latent(sections, part)) for part in (shown, *halves)]
    tried: list[Tried] = []
    for i, k in enumerate(grid):
        own, *pair = [
            fit(part, start_from(part, clusters(z, k, seed + j), k), settings, RunContext())
            for j, (part, z) in enumerate(parts)
        ]
        ratio = HELD_OUT / (1 - HELD_OUT)
        r = matched_r(pair[0], pair[1])
        tried.append(
            Tried(k, gain(shown, hidden, own, ratio), float(r.min()), int((r > AGAIN).sum()))
        )
        ctx.step((i + 1) / len(grid), f"Tried {k} factors")
    return Choice(_chosen(tried), tuple(tried))


def _chosen(tried: Sequence[Tried]) -> int:
    best = max(t.gain for t in tried)
    good = [t for t in tried if t.gain >= best - ENOUGH]
    whole = [t.factors for t in good if t.weakest_r > AGAIN]
    if whole:
        return max(whole)
    all_whole = [t.factors for t in tried if t.weakest_r > AGAIN]
    most = max(good, key=lambda t: (t.stable, -t.factors))
    # Stable factors, fewer of them, are worth more than a gain that is spread over chance ones.
    return max([*all_whole, most.stable, min(t.factors for t in tried)])


def sections_of(sections: Sequence[SectionData], data: Joined) -> list[SectionData]:
    """Return sections with the counts, and the genes, that ``data`` has of them."""
    return [
        replace(s, counts=c.counts, genes=tuple(data.genes[g] for g in c.genes))
        for s, c in zip(sections, data.sections, strict=True)
    ]


def _latent(sections: Sequence[SectionData], data: Joined) -> list[NDArray[np.float64]]:
    return analysis(sections_of(sections, data), data, max(GRID), RunContext())


def thinned(data: Joined, share: float, seed: int) -> tuple[Joined, Joined]:
    """Return the data without a binomial ``share`` of all counts, and that share."""
    rng = np.random.default_rng([seed, 23])
    kept, held = [], []
    for cells in data.sections:
        whole = np.rint(cells.counts.data).astype(np.int64)
        out = rng.binomial(whole, share)
        held.append(_like(cells.counts, out))
        kept.append(_like(cells.counts, whole - out))
    return data.with_counts(kept), data.with_counts(held)


def _like(counts: csr_matrix, values: NDArray[np.int64]) -> csr_matrix:
    return csr_matrix(
        (values.astype(np.float32), counts.indices.copy(), counts.indptr.copy()), shape=counts.shape
    )


def gain(shown: Joined, hidden: Joined, state: State, ratio: float) -> float:
    """Return nats per held-out count above the null: mean profile of a section times depth.

    Parameters
    ----------
    shown, hidden : Joined
        Counts that were fitted, and those held out.
    state : State
    ratio : float
        Expected held-out counts per fitted count.
    """
    total, count = 0.0, 0.0
    for s, (cells, out) in enumerate(zip(shown.sections, hidden.sections, strict=True)):
        v, t = state.effective(s, cells), state.loadings[s]
        profile = np.asarray(cells.counts.sum(axis=0), dtype=np.float64).ravel()
        profile = profile / max(profile.sum(), 1.0)
        coo = out.counts.tocoo()
        rate = ratio * np.einsum("ik,ik->i", t[coo.row], v[coo.col]) + 1e-12
        null = ratio * cells.depth[coo.row] * profile[coo.col] + 1e-12
        total += float((coo.data * np.log(rate / null)).sum())
        total -= ratio * float(t.sum(axis=0) @ v.sum(axis=0)) - ratio * float(cells.depth.sum())
        count += float(coo.data.sum())
    return total / max(count, 1.0)


def matched(a: Floats, b: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Return which column of ``b`` is each of ``a``, one to one, and their r."""
    x, y = (m - m.mean(axis=0) for m in (a, b))
    norm = np.outer(np.linalg.norm(x, axis=0), np.linalg.norm(y, axis=0))
    r = (x.T @ y) / np.where(norm > 0, norm, np.inf)
    rows, columns = linear_sum_assignment(-r)
    order = np.argsort(rows)
    return columns[order].astype(np.int64), r[rows[order], columns[order]]


def matched_r(a: State, b: State) -> Floats:
    """Return the r of proportions of every factor of ``a`` with its partner in ``b``, (K,)."""
    p, q = (np.vstack([shares(t) for t in s.loadings]) for s in (a, b))
    return matched(p, q)[1]


def stability(
    sections: Sequence[SectionData], data: Joined, state: State, settings: Settings, seed: int
) -> Floats:
    """Return, per factor of ``state``, the smaller r with its partners in two halves of the counts.

    Parameters
    ----------
    sections, data
        The same cells.
    state : State
        Of these cells. The start of each half is searched for anew.
    """
    fits = []
    for j, half in enumerate(thinned(data, 0.5, seed + 1)):
        own = sections_of(sections, half)
        found = search(own, half, state.k, settings, seed + j, RunContext(), 1,
                       settings.overdispersed)  # fmt: skip
        fits.append(fit(half, found.state, settings, RunContext()))
    whole = np.vstack(state.proportions())
    r = [matched(whole, np.vstack(found.proportions()))[1] for found in fits]
    return np.asarray(np.minimum(*r))
