"""Weigh the signs of novelty by leaving classes out: spaces and classifier are fitted without one.

The cells of that class are then what cells of an unknown type will be, and the weights are those
under which they stand out best from the held-out cells of the classes that are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.special import expit

from backend.core.job import RunContext
from backend.models.common.factors import FactorFit
from backend.models.common.prep import Prepared, gene_statistics
from backend.models.fusemap.evidence import gather, joined, stacked
from backend.models.fusemap.head_data import Folds, HeadData, View, far_view, near_view
from backend.models.fusemap.heads import Cells, Reading, own_half, smoother
from backend.models.fusemap.novelty import (
    SIGNS,
    USUAL,
    Known,
    Novelty,
    signs_of,
    squeezed,
)
from backend.models.fusemap.reader import Scale
from backend.models.fusemap.references import Reference, with_graphs
from backend.models.fusemap.space import Space, fit_space, map_cells

Table = NDArray[np.float64]

#: Cells of a class to leave it out, and of it in a fold to judge by.
LEAST_CELLS, LEAST_IN_FOLD = 20, 8
#: Iterations of the fits without a class, pairs of cells that are compared, and how fast weights
#: are drawn to the usual ones.
ITERATIONS, PAIRS, HELD = 40, 400, 1e-3


@dataclass(frozen=True, slots=True)
class Part:
    """Labelled cells of one section: expression with the section's statistics, neighbours."""

    id: str
    dataset: str
    prepared: Prepared
    near: csr_matrix
    kin: csr_matrix


@dataclass(frozen=True, slots=True)
class Refit:
    """What it takes to fit without a class.

    parts : the sections of the head's cells, in order
    factors : of its own space, and of the map
    classes : left out at most, the largest
    """

    parts: Sequence[Part]
    n_genes: int
    factors: tuple[int, int]
    classes: int


@dataclass(frozen=True, slots=True)
class Task:
    """Held-out cells: squeezed signs of those that are new, and of those that are not."""

    new: Table
    known: Table


def learnt_weights(
    data: HeadData, folds: Folds, views: Mapping[Reading, View], refit: Refit
) -> dict[Reading, tuple[float, ...]]:
    """Return the weights of the signs for each reading; none where no class can be left out."""
    count = np.bincount(data.classes, minlength=data.n_classes)
    largest = [int(c) for c in np.argsort(-count, kind="stable") if count[c] >= LEAST_CELLS]
    if (count > 0).sum() <= 2:
        return {}
    tasks: dict[Reading, list[Task]] = {}
    for c in largest[: refit.classes]:
        is_new = data.classes == c
        seen = replace(data, cells=_cells(data, refit, ~is_new))
        for reading, view in _views(seen, views, ~is_new).items():
            tasks.setdefault(reading, []).extend(_tasks(seen, folds, view, is_new))
    return {reading: weights_of(own) for reading, own in tasks.items() if own}


def _views(
    seen: HeadData, views: Mapping[Reading, View], kept: NDArray[np.bool_]
) -> dict[Reading, View]:
    """Return what each reading looks at in the spaces without a class."""
    scale = Scale.of(seen.cells.own[kept])
    return {
        reading: near_view(seen, view.niche_weight, scale)
        if reading == "near"
        else far_view(seen, view.niche_weight)
        for reading, view in views.items()
    }


def _tasks(data: HeadData, folds: Folds, view: View, is_new: NDArray[np.bool_]) -> Iterator[Task]:
    """Yield the cells of both halves of the folds, read without the class that is new."""
    mean, half = smoother(data.cells, data.of_places), data.of_places
    features = own_half(view.standard, half), own_half(data.cells.common, half)
    for fold in (0, 1):
        out = folds.of % 2 == fold
        learn = ~out & ~is_new
        if (out & is_new).sum() < LEAST_IN_FOLD or len(np.unique(data.classes[learn])) < 2:
            continue
        reader = view.fit(data, learn)
        at = np.flatnonzero(learn)
        known = Known.of(features, mean, at, data.classes, data.n_classes)
        linear = reader.linear(view.standard)
        signs = signs_of(linear, features, known, data.cells.unexplained, mean)
        fair = out & ~is_new & np.isin(data.classes, data.classes[learn])
        usual = Novelty.learnt(USUAL, signs[fair])
        strange, plain = (
            squeezed(signs[rows], usual.usual, usual.spread) for rows in (out & is_new, fair)
        )
        yield Task(strange, plain)


def _cells(data: HeadData, refit: Refit, kept: NDArray[np.bool_]) -> Cells:
    """Return all cells as they look in spaces that were fitted to some of them."""
    ends = np.cumsum([p.prepared.n_cells for p in refit.parts])[:-1]
    references = _references(refit, np.split(kept, ends))
    own, common = (
        fit_space(references, refit.n_genes, FactorFit(k, ITERATIONS), RunContext())
        for k in refit.factors
    )
    return stacked([_seen(part, own, common, data.of_places) for part in refit.parts])


def _references(refit: Refit, kept: Sequence[NDArray[np.bool_]]) -> list[Reference]:
    """Return the kept cells of the parts, ready to be fitted; parts left empty are passed over."""
    chosen = [(p, np.flatnonzero(k)) for p, k in zip(refit.parts, kept, strict=True) if k.any()]
    prepared = [_rows(p.prepared, rows) for p, rows in chosen]
    names = [(p.id, p.dataset) for p, _ in chosen]
    graphs = [csr_matrix(p.near[rows][:, rows]) for p, rows in chosen]
    return with_graphs(names, prepared, graphs, refit.n_genes)


def _rows(prepared: Prepared, rows: NDArray[np.int64]) -> Prepared:
    """Return some cells with statistics of their own."""
    x = csr_matrix(prepared.x[rows])
    mean, sd = gene_statistics(x)
    return Prepared(x, prepared.genes, mean, np.where(sd > 0, sd, 1.0))


def _seen(part: Part, own: Space, common: Space, of_places: bool) -> Cells:
    """Return the cells of a part as a query would look."""
    mapped = map_cells(common, part.prepared, part.near)
    place = joined(map_cells(own, part.prepared, part.near))
    evidence = gather(part.prepared, common, mapped, part.near, kin=part.kin)
    cells = evidence.cells(place, of_places)
    return replace(cells, common=Scale.of(cells.common).apply(cells.common))


def weights_of(tasks: Sequence[Task]) -> tuple[float, ...]:
    """Return weights, none negative, under which new cells stand above known ones most often.

    Notes
    -----
    The logistic loss of pairs of a new and a known cell, a smooth 1 - AUROC, over all tasks alike.
    Their sum is that of ``USUAL``, so that novelties are of one size.
    """
    usual = np.array(USUAL)
    away = [_pairs(task, np.random.default_rng(i)) for i, task in enumerate(tasks)]

    def loss(w: Table) -> tuple[float, Table]:
        value, slope = HELD * float(((w - usual) ** 2).sum()), 2 * HELD * (w - usual)
        for d in away:
            value += float(np.logaddexp(0, -d @ w).mean()) / len(away)
            slope = slope - (d * expit(-d @ w)[:, None]).mean(axis=0) / len(away)
        return value, slope

    found = minimize(loss, usual, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(SIGNS)).x
    total = float(found.sum())
    return tuple((found * usual.sum() / total).tolist()) if total > 0 else USUAL


def _pairs(task: Task, rng: np.random.Generator) -> Table:
    """Draw differences of signs between a new and a known cell."""
    new = task.new[rng.integers(0, len(task.new), PAIRS)]
    return np.asarray(new - task.known[rng.integers(0, len(task.known), PAIRS)])
