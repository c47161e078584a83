"""Domains: how they are found is chosen for the sections at hand, without labels.

A cell is of one type, and a domain is a mixture of types: what makes a good set of domains is that
it foretells the counts of a cell's neighbours. Domains are hidden Markov random fields
(``fields``) from starts of several smoothness; that which foretells neighbours best is kept, and
levels of genes (``levels``) are added as far as they foretell neighbours no worse.

A spot of an array holds many cells, so that it is a place by itself and may lie in a layer of its
own width: there, domains are also groups of spots without ties to neighbours, by shares or by
their roots, and what is to be foretold are genes of the spot itself that were held out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.job import RunContext
from backend.models.inspire.borrowing import genes_of, mean_state
from backend.models.inspire.em import SHAPES, Floats, Settings, State, fit
from backend.models.inspire.fields import Field, graph_of, hellinger, kinds_of, tie
from backend.models.inspire.inputs import Joined
from backend.models.inspire.levels import with_levels
from backend.models.inspire.readout import groups, of_places
from backend.models.inspire.search import blocks, subset

#: Rounds of smoothing of the starts; parts of what counts say that levels are trusted by.
ROUNDS, TRUST = (0, 1, 2, 4, 8), (0.0, 0.2, 1.0)
#: What a set of domains may foretell less than the best, as a part of it, and still be as good.
AS_GOOD = 0.01
#: Passes by which shares are found of half of the genes; spots that are looked at.
PASSES, SPOTS = 25, 6_000
#: Pseudo-counts of a domain's profile, which are the section's.
PSEUDO = 5.0


@dataclass(frozen=True, slots=True)
class Way:
    """A way of finding domains, and what its domains foretell.

    Parameters
    ----------
    rounds : int
        Rounds of half own, half neighbours of the start.
    tied : bool
        Whether neighbours tend to be of one domain.
    trust : float
        Part of what counts say by which levels of genes are heeded.
    foretold : float
        Nats per count, of neighbours or of held-out genes.
    of_roots : bool
        Whether the start groups roots of shares, which heed small shares, or shares.
    """

    rounds: int
    tied: bool
    trust: float
    foretold: float
    of_roots: bool = True


@dataclass(frozen=True, slots=True)
class Domains:
    """Domains of every section.

    Parameters
    ----------
    likely : (n, k) float64 per section
        How likely every cell is in every domain.
    of : str
        "spots" or "cells".
    chosen : Way
    ties : float
        Weight of neighbours in nats; 0 without.
    tried : tuple of Way
    """

    likely: list[Floats]
    of: str
    chosen: Way
    ties: float
    tried: tuple[Way, ...]

    def as_json(self) -> dict[str, Any]:
        """Return how domains were found."""
        return {"of": self.of, "ties": self.ties, "chosen": asdict(self.chosen),
                "tried": [asdict(w) for w in self.tried]}  # fmt: skip


def find_domains(data: Joined, state: State, k: int, seed: int) -> Domains:
    """Return ``k`` domains that all sections share.

    Parameters
    ----------
    data : Joined
    state : State
    k : int
    seed : int
    """
    ends = np.cumsum([c.n for c in data.sections])[:-1]
    shares = state.proportions()
    spots = sum(c.n for c in data.sections if c.is_spots) > data.n / 2
    find = _of_spots if spots else _of_cells
    field, chosen, tried = find(data, state, shares, k, seed)
    likely = np.split(field.likely, ends)
    return Domains(likely, "spots" if spots else "cells", chosen, field.ties, tuple(tried))


def labels_of(likely: Sequence[Floats]) -> list[NDArray[np.int16]]:
    """Return the likeliest domain of every cell, the largest domain first, per section."""
    found = np.concatenate([q.argmax(axis=1) for q in likely])
    k = likely[0].shape[1]
    order = np.argsort(-np.bincount(found, minlength=k), kind="stable")
    rank = np.empty(k, dtype=np.int16)
    rank[order] = np.arange(k, dtype=np.int16)
    return np.split(rank[found], np.cumsum([len(q) for q in likely])[:-1])


def foretold(data: Joined, likely: Floats, of_neighbours: bool) -> float:
    """Return nats per count by which the profile of its domain foretells a cell's counts.

    Above the profile of the section; of the counts of a cell's neighbours, or of its own. Counts
    are summed by domain at once, so that no cell's are ever held.
    """
    total, count, first = 0.0, 0.0, 0
    for cells in data.sections:
        own = likely[first : first + cells.n]
        first += cells.n
        member = cells.near.T @ own if of_neighbours else own
        sums = np.asarray(cells.counts.T @ member, dtype=np.float64).T
        mean = sums.sum(axis=0) + 1e-9
        mean /= mean.sum()
        profile = sums + PSEUDO * mean
        profile /= profile.sum(axis=1, keepdims=True)
        total += float((sums * np.log(profile / mean)).sum())
        count += float(sums.sum())
    return total / max(count, 1.0)


def _of_cells(
    data: Joined, state: State, shares: Sequence[Floats], k: int, seed: int
) -> tuple[Field, Way, list[Way]]:
    near, kinds = graph_of(data), kinds_of(shares, seed)
    fields = {r: tie(near, kinds, _start(data, shares, r, k, seed), k) for r in ROUNDS}
    tried = [Way(r, True, 0.0, foretold(data, f.likely, True)) for r, f in fields.items()]
    best = max(tried, key=lambda w: w.foretold)
    heeding = {0.0: fields[best.rounds]}
    for trust in TRUST[1:]:
        heeding[trust] = with_levels(data, state, near, kinds, fields[best.rounds], trust)
        said = foretold(data, heeding[trust].likely, True)
        tried.append(replace(best, trust=trust, foretold=said))
    own = [w for w in tried if w.rounds == best.rounds]
    least = (1 - AS_GOOD) * max(w.foretold for w in own)
    chosen = max((w for w in own if w.foretold >= least), key=lambda w: w.trust)
    return heeding[chosen.trust], chosen, tried


def _of_spots(
    data: Joined, state: State, shares: Sequence[Floats], k: int, seed: int
) -> tuple[Field, Way, list[Way]]:
    tried = _foretold_by_half(data, state, k, seed)
    chosen = max(tried, key=lambda w: w.foretold)
    return _found(data, shares, chosen, k, seed), chosen, tried


def _foretold_by_half(data: Joined, state: State, k: int, seed: int) -> list[Way]:
    """Return every way for spots, with what domains by half of the genes say of the other half."""
    if data.n > SPOTS:
        rows = blocks(data, [max(200, round(SPOTS * c.n / data.n)) for c in data.sections], seed)
        cut = tuple(t[r] for t, r in zip(state.loadings, rows, strict=True))
        data, state = subset(data, rows), replace(state, loadings=cut)
    held = np.random.default_rng([seed, 61]).random(len(data.genes)) < 0.5
    ways = [Way(r, False, 0.0, 0.0, roots) for roots in (True, False) for r in ROUNDS]
    ways += [Way(r, True, 0.0, 0.0) for r in ROUNDS]
    said = np.zeros(len(ways))
    noisy = not np.all(state.shapes >= SHAPES[1])
    settings = Settings(PASSES, borrow=0.0, overdispersed=noisy, with_scales=False)
    for out in (held, ~held):
        shown, hidden = genes_of(data, ~out), genes_of(data, out)
        own = fit(shown, mean_state(shown, state), settings, RunContext(), frozen=state.k)
        shares = own.proportions()
        for j, way in enumerate(ways):
            likely = _found(shown, shares, way, k, seed).likely
            said[j] += 0.5 * foretold(hidden, likely, False)
    return [replace(way, foretold=float(v)) for way, v in zip(ways, said, strict=True)]


def _found(data: Joined, shares: Sequence[Floats], way: Way, k: int, seed: int) -> Field:
    first = _start(data, shares, way.rounds, k, seed, way.of_roots)
    if way.tied:
        return tie(graph_of(data), kinds_of(shares, seed), first, k)
    likely = np.eye(k)[first]
    return Field(likely, 0.0, np.zeros_like(likely))


def _start(
    data: Joined, shares: Sequence[Floats], rounds: int, k: int, seed: int, of_roots: bool = True
) -> NDArray[np.int64]:
    places = of_places(data, shares, rounds)
    found = groups(hellinger(places) if of_roots else places, k, seed)
    return np.concatenate(found).astype(np.int64)


def some_of(data: Joined, state: State, sections: Sequence[int]) -> tuple[Joined, State]:
    """Return some of the sections as data and state of their own."""
    kept = Joined(tuple(data.sections[s] for s in sections), data.genes)
    loadings = tuple(state.loadings[s] for s in sections)
    return kept, replace(state, loadings=loadings, scales=state.scales[list(sections)])
