"""Genes hidden from a data set that another one measures: how choices are made and trust earned.

A bridge gene of a data set is one that another data set measures too. Hiding it in every section
of the data set, fitting again and comparing its scores with what was measured shows how well the
gene would have been imputed. With one data set only, sections take the place of data sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionData
from backend.core.errors import NoSharedGenes
from backend.models.fusemap.references import Reference
from backend.models.fusemap.space import Space, map_cells
from backend.models.fusemap.trial import Sample, without

#: Parts that bridge genes are hidden in; a fifth of them at a time.
HIDING_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """Which genes are hidden when.

    unit : (s,) data set of every section
    fold : (u, g) when a gene is hidden in a data set, -1 where it never is
    """

    unit: NDArray[np.int64]
    fold: NDArray[np.int64]

    @property
    def is_empty(self) -> bool:
        """Whether there is too little to hide."""
        return bool((self.fold >= 0).sum() < 2 * HIDING_FOLDS)

    def hidden(self, section: int, fold: int) -> NDArray[np.bool_]:
        """Return which genes of the union are hidden in a section, (g,)."""
        return np.asarray(self.fold[self.unit[section]] == fold)


@dataclass(frozen=True, slots=True)
class Guess:
    """Hidden genes of one section as a fit that never saw them scores them.

    section : place of the section;  genes : (h,) places in the union
    score, truth : (d, h) of the drawn cells, both standardised (the truth on the log1p scale)
    misfit, detected : (d,) of the drawn cells: misfit on seen genes, and how many were detected
    """

    section: int
    genes: NDArray[np.int64]
    score: NDArray[np.float64]
    truth: NDArray[np.float64]
    misfit: NDArray[np.float64]
    detected: NDArray[np.float64]


def hiding_plan(references: Sequence[Reference], n_genes: int, seed: int) -> Plan:
    """Return a plan in which every bridge gene is hidden once in every data set.

    A gene's folds differ between data sets as far as there are folds, so that something is left to
    learn it from.
    """
    names = [r.dataset for r in references]
    if len(set(names)) < 2:
        names = [r.id for r in references]
    labels, unit = np.unique(names, return_inverse=True)
    measured = np.zeros((len(labels), n_genes), dtype=bool)
    for r, u in zip(references, unit, strict=True):
        measured[u, r.seen] = True
    rng = np.random.default_rng(seed)
    first = rng.permutation(n_genes) % HIDING_FOLDS
    fold = (first + np.cumsum(measured, axis=0) - 1) % HIDING_FOLDS
    bridge = measured & (measured.sum(axis=0) > 1)
    return Plan(unit, np.where(bridge, fold, -1))


def hide(references: Sequence[Reference], plan: Plan, fold: int) -> list[Reference]:
    """Return the sections without the genes that one fold hides from them."""
    return [without(r, plan.hidden(s, fold)) for s, r in enumerate(references)]


def guesses(
    space: Space, seen: Sequence[Reference], samples: Sequence[Sample], plan: Plan, fold: int
) -> Iterator[Guess]:
    """Yield the hidden genes of every section as ``space``, fitted to ``seen``, scores them."""
    known = space.known
    for s, (r, sample) in enumerate(zip(seen, samples, strict=True)):
        hidden = plan.hidden(s, fold)[sample.plain.genes]
        genes = sample.plain.genes[hidden]
        genes = genes[known[genes]]
        if not len(genes):
            continue
        try:
            mapped = map_cells(space, r.prepared, r.graph, space.noise[r.id])
        except NoSharedGenes:
            continue
        drawn = sample.drawn
        score = mapped.z[drawn] @ space.embedding[genes].T
        detected = r.prepared.x.getnnz(axis=1)[drawn].astype(np.float64)
        yield Guess(s, genes, score, sample.standard(genes), mapped.misfit[drawn], detected)


def correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Pearson's r of the columns of two tables, 0 where one is constant."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    norm = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return np.where(norm > 1e-12, (a * b).sum(axis=0) / np.where(norm > 1e-12, norm, 1.0), 0.0)


def mean_by_unit(found: Sequence[tuple[int, NDArray[np.float64]]]) -> float:
    """Return the mean over data sets of the mean of their values; nan without any."""
    units = {u for u, _ in found}
    means = [np.concatenate([v for w, v in found if w == u]).mean() for u in units]
    return float(np.mean(means)) if means else float("nan")


def bridge_counts(sections: Sequence[SectionData]) -> dict[str, int]:
    """Return how many genes of every data set another data set measures too."""
    panels: dict[str, set[str]] = {}
    for s in sections:
        panels.setdefault(s.dataset or s.id, set()).update(g.upper() for g in s.genes)
    return {
        name: sum(any(g in other for n, other in panels.items() if n != name) for g in panel)
        for name, panel in panels.items()
    }
