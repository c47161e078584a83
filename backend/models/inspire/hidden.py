"""Genes hidden from sections and imputed: by factors, FuseMap's factor analysis, and neighbours.

Where sections are of several data sets, a gene is hidden in all sections of one, so that it is
imputed across technologies; else in one section.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.models.common.agreement import gene_r
from backend.models.common.baselines import knn_values
from backend.models.common.prep import normalised
from backend.models.inspire.baselines import components, shared_log
from backend.models.inspire.em import Floats, Settings, State, fit
from backend.models.inspire.inputs import Joined, join
from backend.models.inspire.start import analysed

#: Share of the genes that another data set has too which is hidden, fewest, and fewest left.
SHARE, LEAST, LEFT = 0.2, 3, 10
#: Neighbours of the plain method, and factors of the factor analysis.
NEIGHBOURS, ANALYSIS = 50, 8
#: Methods, the model first.
METHODS = ("r", "knn_r", "fusemap_r")


@dataclass(frozen=True, slots=True)
class Hidden:
    """Sections without their hidden genes.

    Parameters
    ----------
    full, fewer : list of SectionData
        With and without the hidden genes.
    genes : (m,) int64 per section
        Places of the hidden genes in the union.
    groups : tuple of str
        What hides genes together: the data set of every section, or the section.
    left : Joined
    """

    full: Sequence[SectionData]
    fewer: list[SectionData]
    genes: list[NDArray[np.int64]]
    groups: tuple[str, ...]
    left: Joined


def hidden_genes(
    sections: Sequence[SectionData], data: Joined, state: State, settings: Settings, seed: int
) -> dict[str, Any]:
    """Return how well genes are imputed that were hidden: r over cells, log-normalised.

    A fifth of the genes that another data set (or section, see the module) has too is hidden;
    factors are fitted to the rest and say what should be there. Beside them the mean of the 50
    nearest cells of other data sets in principal components of the genes that all still show, and
    FuseMap's core: one missing-gene factor analysis of 8 factors (its trained form mixes several,
    see ``train fusemap``).

    Returns
    -------
    dict
        "genes" tested, "across" ("data sets" or "sections"), the means "r", "knn_r" and
        "fusemap_r", "by_gene" {gene: [r, knn_r, fusemap_r]}, "by_group" {name: the same means and
        "genes"}; empty where there is too little to hide.
    """
    hidden = _hide(sections, data, seed)
    if not any(len(h) for h in hidden.genes):
        return {}
    guesses = (_factors(hidden, data, state, settings), _neighbours(hidden, data, seed),
               _analysis(hidden))  # fmt: skip
    by_gene: dict[str, list[list[float]]] = {}
    by_group: dict[str, list[list[float]]] = {}
    for s, genes in enumerate(hidden.genes):
        real = _values(sections[s], data, genes)
        r = np.stack([gene_r(guess[s], real) for guess in guesses], axis=1).tolist()
        for g, values in zip(genes, r, strict=True):
            by_gene.setdefault(data.genes[g], []).append(values)
            by_group.setdefault(hidden.groups[s], []).append(values)
    table = np.array([values for own in by_gene.values() for values in own])
    across = "data sets" if len(set(hidden.groups)) < len(sections) else "sections"
    return {
        "genes": len(by_gene), "across": across, **_means(table),
        "by_gene": {g: np.mean(own, axis=0).tolist() for g, own in by_gene.items()},
        "by_group": {n: {"genes": _count(hidden, n), **_means(np.array(own))}
                     for n, own in by_group.items()},
    }  # fmt: skip


def _count(hidden: Hidden, group: str) -> int:
    """Return how many genes a group hides in any of its sections."""
    own = [g for g, name in zip(hidden.genes, hidden.groups, strict=True) if name == group]
    return len(np.unique(np.concatenate(own)))


def _means(table: Floats) -> dict[str, float]:
    return dict(zip(METHODS, table.mean(axis=0).tolist(), strict=True))


def _hide(sections: Sequence[SectionData], data: Joined, seed: int) -> Hidden:
    rng = np.random.default_rng([seed, 31])
    sets = [s.dataset or s.id for s in sections]
    groups = tuple(sets if len(set(sets)) > 1 else [s.id for s in sections])
    measured = data.measured
    drawn: dict[str, NDArray[np.int64]] = {}
    for name in dict.fromkeys(groups):
        own = np.array([g == name for g in groups])
        lost = np.unique(np.concatenate([np.zeros(0, np.int64), *drawn.values()]))
        both = measured[own].any(axis=0) & measured[~own].any(axis=0)
        # What one data set has lost stays in the others, so that something tells of it.
        elsewhere = np.setdiff1d(np.flatnonzero(both), lost)
        count = int(SHARE * both.sum())
        enough = LEAST <= count <= len(elsewhere) and both.sum() - count >= LEFT
        drawn[name] = np.sort(rng.choice(elsewhere, count if enough else 0, replace=False))
    genes = [drawn[g][measured[s, drawn[g]]] for s, g in enumerate(groups)]
    fewer = [_without(s, data, h) for s, h in zip(sections, genes, strict=True)]
    return Hidden(sections, fewer, genes, groups, join(fewer, data.genes))


def _columns(section: SectionData, data: Joined) -> dict[int, int]:
    """Return the column of every gene of the union that a section has."""
    place = {g.upper(): i for i, g in enumerate(data.genes)}
    return {place[g.upper()]: j for j, g in enumerate(section.genes) if g.upper() in place}


def _without(section: SectionData, data: Joined, hidden: NDArray[np.int64]) -> SectionData:
    gone = set(hidden.tolist())
    keep = [j for g, j in sorted(_columns(section, data).items()) if g not in gone]
    return replace(
        section, counts=csr_matrix(section.counts[:, keep]),
        genes=tuple(section.genes[j] for j in keep),
    )  # fmt: skip


def _values(section: SectionData, data: Joined, genes: NDArray[np.int64]) -> Floats:
    """Return log-normalised values of some genes, (n, m)."""
    column = _columns(section, data)
    logs = csr_matrix(normalised(section.counts, True))
    return np.asarray(logs[:, [column[int(g)] for g in genes]].toarray(), dtype=np.float64)


def _factors(hidden: Hidden, data: Joined, state: State, settings: Settings) -> list[Floats]:
    # The state has seen the hidden genes: start programs from what proportions alone say.
    begin = _forgetful(state, hidden.genes)
    fresh = fit(hidden.left, begin, settings, RunContext())
    return [
        np.log1p(_per_cell(section) * p @ fresh.programs[:, genes])
        for section, p, genes in zip(hidden.full, fresh.proportions(), hidden.genes, strict=True)
    ]


def _forgetful(state: State, hidden: Sequence[NDArray[np.int64]]) -> State:
    """Return a state whose programs are flat for genes that any section hides."""
    gone = np.unique(np.concatenate(hidden))
    programs = state.programs.copy()
    programs[:, gone] = programs[:, gone].mean(axis=0)
    scales = state.scales.copy()
    scales[:, gone] = 1.0
    return replace(state, loadings=tuple(t.copy() for t in state.loadings), scales=scales,
                   programs=programs / programs.sum(axis=1, keepdims=True))  # fmt: skip


def _per_cell(section: SectionData) -> float:
    totals = np.asarray(section.counts.sum(axis=1)).ravel()
    return float(np.median(totals[totals > 0]))


def _analysis(hidden: Hidden) -> list[Floats]:
    """Return what the missing-gene factor analysis of what is left says."""
    latent, embedding = analysed(hidden.fewer, hidden.left, ANALYSIS, RunContext())
    return [z @ embedding[genes].T for z, genes in zip(latent, hidden.genes, strict=True)]


def _neighbours(hidden: Hidden, data: Joined, seed: int) -> list[Floats]:
    """Return the mean of nearest cells of other groups that still have a gene."""
    z = components(shared_log(hidden.fewer)[0], seed)
    out = []
    for s, genes in enumerate(hidden.genes):
        guess, weight = np.zeros((len(z[s]), len(genes))), np.zeros(len(genes))
        for o, other in enumerate(hidden.fewer):
            known = _columns(other, data)
            have = np.array([j for j, g in enumerate(genes) if int(g) in known], dtype=np.int64)
            if hidden.groups[o] == hidden.groups[s] or not len(have):
                continue
            values = _values(hidden.full[o], data, genes[have])
            guess[:, have] += knn_values(z[o], values, z[s], NEIGHBOURS)
            weight[have] += 1
        out.append(guess / np.maximum(weight, 1))
    return out
