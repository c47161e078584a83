"""INSPIRE's default mode on real sections beside its baselines.

Nothing is chosen by the labels or by the figures: the number of factors is that of the prototype
where it has one and else chosen by the run, everything else by the run. Baselines cluster the
labelled cells of all sections together at the true number; domains are found at that number in the
sections that have labels. ``bar`` is what domains must not be below by more than .02.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from backend.core.data import SectionData
from backend.models.common.baselines import shared_columns
from backend.models.inspire.align import chain, expression_score, type_score
from backend.models.inspire.baselines import HARMONY, POOLED, SMOOTHED, embeddings
from backend.models.inspire.count import matched
from backend.models.inspire.domains import find_domains, labels_of
from backend.models.inspire.em import State
from backend.models.inspire.heldout import compositions
from backend.models.inspire.inputs import Joined
from backend.models.inspire.measures import measure
from backend.models.inspire.programs import coherence, diversity
from backend.models.inspire.readout import of_places
from backend.models.inspire.report import domains_beside
from tests.benchmarks.inspire_fit import Fit, Row, cosine, kept
from tests.benchmarks.inspire_sets import SETS, read_set

Floats = NDArray[np.float64]
#: Passes of a fit to thinned counts.
PASSES = 40
SHOWN = ("ari", "ari_pooled", "nmi", "silhouette", "mixing", "by_section")


def from_real(folder: Path, name: str, seeds: int, keep: Path | None) -> list[Row]:
    """Return a row per method of one set, the model first, and a row per stack of sections."""
    chosen, sections = SETS[name], read_set(folder, name)
    fits: list[Fit] = []
    for seed in range(seeds):
        # The number is chosen once: programs of different numbers have no partners.
        factors = fits[0].state.k if fits else chosen.factors
        path = keep / f"{name.replace(' ', '_')}_{seed}.npz" if keep else None
        fits.append(kept(sections, factors, chosen.hold, seed, path))
    first = fits[0]
    truth = codes_of(sections, chosen.truth) if chosen.truth else None
    found = _methods(sections, first, truth)
    for letters in chosen.stacks:
        found += _stack(sections, first, letters)
    rows: list[Row] = [{"set": name, **row} for row in found]
    rows[0] |= {"factors": first.state.k, "borrow": first.settings.borrow, "shape": first.shape,
                "processor s of a fit": first.seconds, **_held(sections, first, seeds),
                **_stability([f.state for f in fits]), **_programs(first)}  # fmt: skip
    return rows


def _methods(
    sections: Sequence[SectionData], first: Fit, truth: list[NDArray[np.int64]] | None
) -> list[Row]:
    cells = first.state.proportions()
    points = {"factors of cells": cells, "factors of places": of_places(first.data, cells)}
    plain = embeddings(sections, first.data, first.state.k, 0)
    points |= plain
    points |= {f"{n}, then places": of_places(first.data, z) for n, z in plain.items()}
    rows: list[Row] = []
    for method, z in points.items():
        found = measure(z, truth, 0)
        rows.append({"method": method, **{k: found[k] for k in SHOWN if k in found}})
    mixing = {r["method"]: r["mixing"] for r in rows}
    rows[0]["mixing less Harmony's"] = mixing["factors of cells"] - mixing.get(HARMONY, np.nan)
    if truth is not None:
        own = domains_beside(first.data, first.state, truth, 0)
        bar = max(r["ari"] for r in rows if r["method"] in plain)
        rows.insert(1, {"method": "domains", "how": own["how"], "bar": bar,
                        **{k: own[k] for k in SHOWN if k in own}})  # fmt: skip
    return rows


def _held(sections: Sequence[SectionData], found: Fit, seeds: int) -> Row:
    """Return nats per held-out count of factors and NMF, mean over thinnings, and wins."""
    settings = replace(found.settings, iterations=PASSES)
    scores = [compositions(sections, found.data, found.state, settings, s) for s in range(seeds)]
    out: Row = {f"held out, {m}": float(np.mean([s[m] for s in scores])) for m in scores[0]}
    wins = sum(s["factors"] > max(s[POOLED], s[SMOOTHED]) for s in scores)
    return {**out, "thinnings won": f"{wins} of {seeds}"}


def _stability(states: Sequence[State]) -> Row:
    """Return matched cosine of programs, and r of proportions, mean over pairs of seeds."""
    cosines, rs = [], []
    for a, b in combinations(states, 2):
        if a.k != b.k:
            continue
        partner, r = matched(np.vstack(a.proportions()), np.vstack(b.proportions()))
        rs.append(r.mean())
        cosines.append(cosine(a.programs, b.programs[partner]).mean())
    if not rs:
        return {}
    return {"programs cosine": float(np.mean(cosines)), "proportions r": float(np.mean(rs))}


def _programs(found: Fit) -> Row:
    """Return diversity of programs, and coherence over the genes that all sections have."""
    shared = np.flatnonzero(found.data.measured.all(axis=0))
    counts = []
    for cells in found.data.sections:
        column = {int(g): j for j, g in enumerate(cells.genes)}
        counts.append(csr_matrix(cells.counts[:, [column[int(g)] for g in shared]]))
    return {"diversity": diversity(found.state.programs),
            "coherence": coherence(found.state.programs[:, shared], vstack(counts))}  # fmt: skip


def _stack(sections: Sequence[SectionData], found: Fit, letters: str) -> list[Row]:
    """Return how well each section of a stack lies on the one before, and as it was."""
    ids = [i for i, s in enumerate(sections) if s.id.startswith(letters)]
    own = [sections[i] for i in ids]
    places = of_places(found.data, found.state.proportions())
    data = Joined(tuple(found.data.sections[i] for i in ids), found.data.genes)
    state = State(tuple(found.state.loadings[i] for i in ids), found.state.programs,
                  found.state.scales[ids], found.state.shapes)  # fmt: skip
    domains = labels_of(find_domains(data, state, found.state.k, 0).likely)
    laid = chain([s.xy for s in own], [places[i] for i in ids])
    moved = [step.rigid.move(s.xy) for step, s in zip(laid, own, strict=True)]
    scores: list[Mapping[str, float]] = []
    for s in range(1, len(own)):
        still = own[s].xy - own[s].xy.mean(axis=0) + moved[s - 1].mean(axis=0)
        scores.append(_scores(own, domains, moved, s, moved[s])
                      | {f"{k}, unmoved": v for k, v in
                         _scores(own, domains, moved, s, still).items()})  # fmt: skip
    means = {k: float(np.mean([x[k] for x in scores])) for k in scores[0]}
    return [{"method": f"stack {letters}", "sections": len(own), **means}]


def _scores(
    own: Sequence[SectionData], domains: Sequence[NDArray[np.int16]], moved: Sequence[Floats],
    s: int, xy: NDArray[Any],
) -> dict[str, float]:  # fmt: skip
    i, j = shared_columns(own[s].genes, own[s - 1].genes)
    a, b = csr_matrix(own[s].counts[:, i]), csr_matrix(own[s - 1].counts[:, j])
    return {"expression r": expression_score(xy, a, moved[s - 1], b),
            "domain near": type_score(xy, domains[s], moved[s - 1], domains[s - 1])}  # fmt: skip


def codes_of(sections: Sequence[SectionData], label: str) -> list[NDArray[np.int64]]:
    """Return the codes of a label by name over all sections, -1 where a cell has none."""
    names: dict[str, int] = {}
    out = []
    for s in sections:
        own = s.labels.get(label)
        if own is None:
            out.append(np.full(s.n_cells, -1, dtype=np.int64))
            continue
        table = np.array([*(names.setdefault(c.name, len(names)) for c in own.categories), -1])
        out.append(np.where(own.codes >= 0, table[own.codes], -1).astype(np.int64))
    return out
