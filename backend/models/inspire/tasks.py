"""The verb: find spatial factors and gene programs of many sections; place a new one by them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import Column, Matrix, Provenance, SectionData, TaskResult
from backend.core.errors import BadRequest, UnknownLayer, did_you_mean
from backend.core.job import RunContext
from backend.core.layers import Category, LayerKey
from backend.models.common.checkpoint import Checkpoint
from backend.models.inspire.baselines import SMOOTH_PCA, components, shared_log, smoothed
from backend.models.inspire.borrowing import choose_borrow
from backend.models.inspire.card import CARD, HOW_TO_READ
from backend.models.inspire.checks import refuse_faults
from backend.models.inspire.count import Choice, choose_count, stability
from backend.models.inspire.domains import find_domains, labels_of
from backend.models.inspire.em import Settings, State, fit
from backend.models.inspire.genes import choose_genes, programs_of_all
from backend.models.inspire.inputs import Joined, join
from backend.models.inspire.model import Fitted
from backend.models.inspire.readout import of_places, spread_of, usage
from backend.models.inspire.report import (
    COLOURS,
    Run,
    figures_of,
    overlaps_of,
    tables_of,
    warnings_of,
)
from backend.models.inspire.search import sample, search, subset
from backend.models.inspire.stochastic import MANY, fit_large
from backend.models.inspire.transfer import transfer

#: Passes of the last fit.
LAST = 60
#: Cells above which figures are taken of a sample.
FIGURED = 6_000
MOST_FACTORS = 40


@dataclass(frozen=True, slots=True)
class SectionsParams:
    """What to run.

    Parameters
    ----------
    factors : int
        Number of factors; chosen where 0.
    domains : int
        Number of domains; as many as factors where 0.
    hold : float
        Pseudo-counts by which scales of genes in sections are held to 1: 5 for sections of one
        animal, 50 for different donors, whose biology strong scales would take away.
    truth : str
        Label of the sections that factors are compared with; none where empty.
    checks : bool
        Whether baselines, held-out counts and hidden genes are computed.
    radius : float
        Distance within which every cell must have a neighbour; not checked where 0.
    """

    factors: int = 0
    domains: int = 0
    hold: float = 5.0
    truth: str = ""
    checks: bool = True
    radius: float = 0.0


def integrate_sections(
    sections: Sequence[SectionData],
    params: SectionsParams,
    checkpoint: Checkpoint | None,
    ctx: RunContext,
    gene_sets: Mapping[str, Sequence[str]] | None = None,
) -> TaskResult:
    """Return factors, domains and programs of sections; see ``backend.runs.factors``.

    Parameters
    ----------
    sections : sequence of SectionData
        Two or more, of raw counts; panels may differ.
    params : SectionsParams
    checkpoint : None
        Factors are fitted to the sections; ``model.place`` puts a section into a trained model.
    ctx : RunContext
    gene_sets : mapping of name to genes, optional
        Held against the programs.

    Raises
    ------
    BadFile, BadRequest, UnknownLayer, Diverged, Cancelled
    """
    if checkpoint is not None:
        raise BadRequest("Factors are fitted to the sections.", "Use place for a trained model.")
    return result_of(sections, params, run(sections, params, ctx, gene_sets), ctx.seed)


def run(
    sections: Sequence[SectionData],
    params: SectionsParams,
    ctx: RunContext,
    gene_sets: Mapping[str, Sequence[str]] | None = None,
) -> Run:
    """Return everything that one run finds; see ``integrate_sections``."""
    _check(sections, params)
    clock = _Clock()
    data = join(sections, choose_genes(sections))
    settings = Settings(hold=params.hold)
    choice = None
    k = params.factors
    if not k:
        choice = _choice(sections, data, settings, ctx.part(0.0, 0.25))
        k = choice.factors
    clock.lap("count")
    found = search(sections, data, k, settings, ctx.seed, ctx.part(0.25, 0.5))
    clock.lap("start")
    settings = replace(settings, overdispersed=found.overdispersed, iterations=LAST)
    borrow, borrow_gains = choose_borrow(data, found.state, settings, ctx.seed)
    settings = replace(settings, borrow=borrow)
    state = _ordered(_last(data, found.state, settings, ctx))
    clock.lap("fit")
    small, rows = _few(data, ctx.seed)

    little = replace(state, loadings=_at(state.loadings, rows))
    few = [_rows(s, r) for s, r in zip(sections, rows, strict=True)]
    short = replace(settings, iterations=40)
    stable = stability(few, small, little, short, ctx.seed)
    clock.lap("stability")
    whole, wide = programs_of_all(sections, data, state, settings)
    clock.lap("all genes")
    ctx.step(0.85, "Holding plain methods against the factors")
    truth = _truth(sections, rows, params.truth)
    figures, labels = figures_of(
        few, small, little, truth, short, ctx.seed, params.checks, params.domains
    )
    # Domains of plain methods are shown where all cells were looked at.
    labels = labels if small.n == data.n else {}
    clock.lap("baselines")
    names = factor_names(k)
    figures |= {
        "mode": "default", "cells": data.n,
        "genes": len(whole.genes), "fitted_genes": len(data.genes),
        "count": choice.as_json() if choice else None,
        "noise": {"overdispersed": found.overdispersed, "shape": found.shape},
        "borrow": {"chosen": borrow, "gains": {f"{b:g}": g for b, g in borrow_gains.items()}},
        "starts": {"tried": len(found.likelihoods), "likelihoods": list(found.likelihoods)},
        "gene_sets": overlaps_of(wide, whole, gene_sets, names), "seconds": clock.laps,
    }  # fmt: skip
    about = {"seed": ctx.seed, "parameters": asdict(params), "metrics": figures["held_out"]}
    share = usage(state.proportions()).mean(axis=0)
    fitted = Fitted(data.genes, state.programs, state.shapes, share, names, settings.borrow, about)
    return Run(data, state, whole, wide, found, choice, settings, stable, fitted, figures, labels)


def factor_names(k: int) -> tuple[str, ...]:
    """Return the names of ``k`` factors: 1, 2, ... of equal width, so that they sort."""
    return tuple(f"{i + 1:0{len(str(k))}d}" for i in range(k))


def result_of(
    sections: Sequence[SectionData], params: SectionsParams, found: Run, seed: int
) -> TaskResult:
    """Return a run as columns and matrices per section, and figures."""
    names = factor_names(found.state.k)
    proportions = found.state.proportions()
    spreads = spread_of(found.data, found.state)
    k = params.domains or found.state.k
    fields = find_domains(found.data, found.state, k, seed)
    domains = labels_of(fields.likely)
    columns: list[Column] = []
    matrices: list[Matrix] = []
    kinds = tuple(Category(f"Domain {i + 1}", COLOURS[i % len(COLOURS)]) for i in range(k))
    for s, section in enumerate(sections):
        columns += [
            Column(section.id, LayerKey("factor", name), proportions[s][:, j].astype(np.float32),
                   unit="share of counts")
            for j, name in enumerate(names)
        ]  # fmt: skip
        columns.append(Column(section.id, LayerKey("label", "domain"), domains[s], kinds))
        columns.append(
            Column(section.id, LayerKey("score", "uncertainty"), spreads[s].mean(axis=1),
                   unit="mean sd of shares")
        )  # fmt: skip
        for name, labels in found.baseline_labels.items():
            columns.append(
                Column(section.id, LayerKey("label", f"baseline {name}"), labels[s], kinds)
            )
        matrices += [
            Matrix(section.id, "proportions", proportions[s].astype(np.float32), names),
            Matrix(section.id, "spread", spreads[s], names),
        ]
    matrices.append(Matrix("", "programs", found.whole_state.programs.T.astype(np.float32), names))
    figures = {**found.figures, **tables_of(sections, found, names, domains, k)}
    figures["found_domains"] = fields.as_json()
    if params.truth:
        carried, figures["transfer"] = _transferred(sections, params, found, seed)
        columns += carried
    figures["warnings"] = warnings_of(figures, found)
    figures["how_to_read"] = HOW_TO_READ
    provenance = Provenance(
        CARD.name, CARD.version, asdict(params), seed, tuple(s.id for s in sections)
    )
    return TaskResult(tuple(columns), tuple(matrices), (), figures, provenance)


def _transferred(
    sections: Sequence[SectionData], params: SectionsParams, found: Run, seed: int
) -> tuple[list[Column], dict[str, Any]]:
    """Return the label of every cell, with its confidence, and how well that was tested."""
    whole = [np.arange(s.n_cells) for s in sections]
    truth = _truth(sections, whole, params.truth)
    assert truth is not None
    shares = found.state.proportions()
    spaces = {"cells": shares, "places": of_places(found.data, shares)}
    plain = {}
    if params.checks and found.data.n <= FIGURED:
        logs, names = shared_log(sections)
        plain = {SMOOTH_PCA: components(smoothed(found.data, logs), seed)} if len(names) > 2 else {}
    made = transfer(spaces, truth, plain, seed)
    kinds = _classes(sections, params.truth)
    columns = []
    for section, codes, sure in zip(sections, made.codes, made.confidence, strict=True):
        name = f"{params.truth} transferred"
        key = LayerKey("label", name)
        columns.append(Column(section.id, key, codes.astype(np.int16), kinds))
        columns.append(
            Column(section.id, LayerKey("confidence", name), sure, unit="share of votes")
        )
    return columns, {"label": params.truth, **made.as_json()}


def _classes(sections: Sequence[SectionData], label: str) -> tuple[Category, ...]:
    """Return the classes of a label over all sections, in the order of ``_truth``'s codes."""
    known: dict[str, Category] = {}
    for section in sections:
        for category in section.labels[label].categories if label in section.labels else ():
            known.setdefault(category.name, category)
    return tuple(known.values())


class _Clock:
    """Seconds between laps."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self._last = round(now - self._last, 3), now


def _check(sections: Sequence[SectionData], params: SectionsParams) -> None:
    wrong = []
    if params.factors and not 2 <= params.factors <= MOST_FACTORS:
        wrong.append(
            f"{params.factors} factors; give 2 to {MOST_FACTORS}, or 0 to have them chosen"
        )
    if params.domains and not 2 <= params.domains <= MOST_FACTORS:
        wrong.append(
            f"{params.domains} domains; give 2 to {MOST_FACTORS}, or 0 for as many as factors"
        )
    if params.hold <= 0:
        wrong.append(f"scales held by {params.hold:g} counts; give a number above zero, such as 5")
    if wrong:
        raise BadRequest("This cannot be run.", *wrong)
    refuse_faults(sections, params.radius or None)
    if params.truth and not any(params.truth in s.labels for s in sections):
        known = sorted({name for s in sections for name in s.labels})
        raise UnknownLayer(f"No section has a label '{params.truth[:60]}'.",
                           *filter(None, [did_you_mean(params.truth, known)]))  # fmt: skip


def _choice(
    sections: Sequence[SectionData], data: Joined, settings: Settings, ctx: RunContext
) -> Choice:
    ctx.step(0.0, "Choosing the number of factors")
    rows = sample(data, ctx.seed, FIGURED // 2)
    few = [_rows(s, r) for s, r in zip(sections, rows, strict=True)]
    return choose_count(few, subset(data, rows), replace(settings, iterations=40), ctx)


def _last(data: Joined, begin: State, settings: Settings, ctx: RunContext) -> State:
    part = ctx.part(0.5, 0.8)
    if data.n > MANY:
        return fit_large(data, begin, settings, ctx.seed, part)
    return fit(data, begin, settings, part)


def _ordered(state: State) -> State:
    """Return the factors by their mean share, the largest first."""
    order = np.argsort(-usage(state.proportions()).mean(axis=0), kind="stable")
    loadings = tuple(np.ascontiguousarray(t[:, order]) for t in state.loadings)
    return replace(state, loadings=loadings, programs=state.programs[order])


def _few(data: Joined, seed: int) -> tuple[Joined, list[NDArray[np.int64]]]:
    rows = sample(data, seed + 5, FIGURED)
    return subset(data, rows), rows


def _at(values: Sequence[Any], rows: Sequence[NDArray[np.int64]]) -> tuple[Any, ...]:
    return tuple(v[r] for v, r in zip(values, rows, strict=True))


def _rows(section: SectionData, rows: NDArray[np.int64]) -> SectionData:
    if len(rows) == section.n_cells:
        return section
    return replace(section, xy=section.xy[rows], counts=section.counts[rows], labels={}, numbers={},
                   names=section.names[rows], modalities=(), embedding=None)  # fmt: skip


def _truth(
    sections: Sequence[SectionData], rows: Sequence[NDArray[np.int64]], label: str
) -> list[NDArray[np.int64]] | None:
    """Return the codes of a label by name over all sections, -1 where a cell has none."""
    if not label:
        return None
    names: dict[str, int] = {}
    out = []
    for section, r in zip(sections, rows, strict=True):
        own = section.labels.get(label)
        if own is None:
            out.append(np.full(len(r), -1, dtype=np.int64))
            continue
        table = np.array([*(names.setdefault(c.name, len(names)) for c in own.categories), -1])
        out.append(np.where(own.codes[r] >= 0, table[own.codes[r]], -1).astype(np.int64))
    return out
