"""Held-out counts: factors beside NMF on equal terms, and genes hidden from a section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.models.common.agreement import gene_r
from backend.models.common.baselines import knn_values
from backend.models.common.prep import normalised
from backend.models.inspire.baselines import POOLED, SMOOTHED, components, nmf, shared_log, smoothed
from backend.models.inspire.count import HELD_OUT, sections_of, thinned
from backend.models.inspire.em import Floats, Settings, State, fit
from backend.models.inspire.inputs import Joined, join

#: Genes hidden from each section for the test of imputation, and neighbours of the plain method.
HIDDEN_SHARE, LEAST_HIDDEN, NEIGHBOURS = 0.2, 3, 50
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


def hidden_genes(
    sections: Sequence[SectionData], data: Joined, state: State, settings: Settings, seed: int
) -> dict[str, object]:
    """Return how well genes are imputed that a section does not show: r over cells, log-normalised.

    From each section a fifth of the genes that another section has too is hidden; factors are
    fitted to the rest and say what it should show. Beside it the mean of the 50 nearest cells of
    other sections in principal components of the genes that all still show.

    Returns
    -------
    dict
        "genes" tested, "r" and "knn_r" means over them, "by_gene" {gene: [r, knn_r]}; empty where
        there is too little to hide.
    """
    hidden = _to_hide(data, seed)
    if not any(len(h) for h in hidden):
        return {}
    fewer = [_without(s, data, h) for s, h in zip(sections, hidden, strict=True)]
    left = join(fewer, data.genes)
    begin = replace(state, loadings=tuple(t.copy() for t in state.loadings))
    # The state has seen the hidden genes: start programs from what proportions alone say.
    fresh = fit(left, _forgetful(left, begin, hidden), settings, RunContext())
    truth = [csr_matrix(normalised(s.counts, True)) for s in sections]
    by_gene: dict[str, list[tuple[float, float]]] = {}
    logs, _ = shared_log(fewer)
    z = components(logs, seed)
    for s, genes in enumerate(hidden):
        if not len(genes):
            continue
        column = {int(g): j for j, g in enumerate(_columns(sections[s], data))}
        real = truth[s][:, [column[int(g)] for g in genes]].toarray()
        p = fresh.proportions()[s]
        ours = gene_r(np.log1p(_per_cell(sections[s]) * p @ fresh.programs[:, genes]), real)
        plain = gene_r(_nearest(sections, data, truth, z, s, genes), real)
        for g, a, b in zip(genes, ours, plain, strict=True):
            by_gene.setdefault(data.genes[g], []).append((float(a), float(b)))
    means = {g: np.mean(rows, axis=0).tolist() for g, rows in by_gene.items()}
    table = np.array([row for rows in by_gene.values() for row in rows])
    r, knn = table.mean(axis=0)
    return {"genes": len(means), "r": float(r), "knn_r": float(knn), "by_gene": means}


def _to_hide(data: Joined, seed: int) -> list[NDArray[np.int64]]:
    rng = np.random.default_rng([seed, 31])
    measured = data.measured
    out = []
    for s in range(len(data.sections)):
        elsewhere = np.flatnonzero(measured[s] & (np.delete(measured, s, axis=0).any(axis=0)))
        count = int(HIDDEN_SHARE * len(elsewhere))
        count = count if count >= LEAST_HIDDEN and len(elsewhere) - count >= 10 else 0
        out.append(np.sort(rng.choice(elsewhere, count, replace=False)).astype(np.int64))
    return out


def _columns(section: SectionData, data: Joined) -> list[int]:
    place = {g.upper(): i for i, g in enumerate(data.genes)}
    return [place.get(g.upper(), -1) for g in section.genes]


def _without(section: SectionData, data: Joined, hidden: NDArray[np.int64]) -> SectionData:
    gone = set(hidden.tolist())
    keep = [j for j, g in enumerate(_columns(section, data)) if g >= 0 and g not in gone]
    return replace(
        section, counts=csr_matrix(section.counts[:, keep]),
        genes=tuple(section.genes[j] for j in keep),
    )  # fmt: skip


def _forgetful(left: Joined, state: State, hidden: Sequence[NDArray[np.int64]]) -> State:
    """Return a state whose programs are flat for genes that any section hides."""
    gone = np.unique(np.concatenate(hidden))
    programs = state.programs.copy()
    programs[:, gone] = programs[:, gone].mean(axis=0)
    scales = state.scales.copy()
    scales[:, gone] = 1.0
    return replace(state, programs=programs / programs.sum(axis=1, keepdims=True), scales=scales)


def _per_cell(section: SectionData) -> float:
    totals = np.asarray(section.counts.sum(axis=1)).ravel()
    return float(np.median(totals[totals > 0]))


def _nearest(
    sections: Sequence[SectionData], data: Joined, truth: Sequence[csr_matrix],
    z: Sequence[Floats], s: int, genes: NDArray[np.int64],
) -> Floats:  # fmt: skip
    """Return the mean of nearest cells of other sections that have a gene, (n, genes)."""
    out = np.zeros((len(z[s]), len(genes)))
    weight = np.zeros(len(genes))
    for o in range(len(sections)):
        column: Mapping[int, int] = {g: j for j, g in enumerate(_columns(sections[o], data))}
        have = np.array([j for j, g in enumerate(genes) if int(g) in column], dtype=np.int64)
        if o == s or not len(have):
            continue
        values = truth[o][:, [column[int(genes[j])] for j in have]].toarray().astype(np.float64)
        out[:, have] += knn_values(z[o], values, z[s], NEIGHBOURS)
        weight[have] += 1
    return out / np.maximum(weight, 1)
