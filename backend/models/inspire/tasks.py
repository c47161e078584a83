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
from backend.models.inspire.baselines import embeddings
from backend.models.inspire.borrowing import choose_borrow
from backend.models.inspire.card import CARD, HOW_TO_READ
from backend.models.inspire.checks import refuse_faults
from backend.models.inspire.count import Choice, choose_count, stability
from backend.models.inspire.domains import find_domains, labels_of
from backend.models.inspire.em import Floats, Settings, State, fit
from backend.models.inspire.genes import choose_genes, programs_of_all
from backend.models.inspire.heldout import compositions, hidden_genes
from backend.models.inspire.inputs import Joined, join
from backend.models.inspire.measures import better, measure, measure_labels
from backend.models.inspire.model import Fitted
from backend.models.inspire.programs import coherence, diversity, overlaps, top_genes
from backend.models.inspire.readout import groups, of_places, presence, spread_of, usage
from backend.models.inspire.search import Found, sample, search, subset
from backend.models.inspire.stochastic import MANY, fit_large

#: Passes of the last fit.
LAST = 60
#: Cells above which figures are taken of a sample.
FIGURED = 6_000
MOST_FACTORS = 40
#: Colours of factors and domains, tellable apart without red and green.
COLOURS = (
    "#3377be", "#f07b26", "#157a63", "#c94f7c", "#7a5bb5", "#b8860b", "#5ab4e5", "#8c4a2f",
    "#6b8e23", "#d4a0c7", "#2f4f6f", "#e8b04a", "#4d9f8e", "#a33b3b", "#9aa5e0", "#777777",
    "#c2d66b", "#5c3566", "#e58f7b", "#1f9ab8",
)  # fmt: skip


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


@dataclass(frozen=True, slots=True)
class Run:
    """All that a run found."""

    data: Joined
    state: State
    whole: Joined
    whole_state: State
    found: Found
    choice: Choice | None
    settings: Settings
    stability: Floats
    fitted: Fitted
    figures: dict[str, Any]
    baseline_labels: dict[str, list[NDArray[np.int16]]]


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
    figures, labels = _figures(few, small, little, truth, short, params, ctx.seed)
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
        "gene_sets": _sets(wide, whole, gene_sets, names), "seconds": clock.laps,
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
    domains = labels_of(find_domains(found.data, found.state, k, seed))
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
    figures = {**found.figures, **_tables(sections, found, names, domains, k)}
    figures["warnings"] = _warnings(figures, found)
    figures["how_to_read"] = HOW_TO_READ
    provenance = Provenance(
        CARD.name, CARD.version, asdict(params), seed, tuple(s.id for s in sections)
    )
    return TaskResult(tuple(columns), tuple(matrices), (), figures, provenance)


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


def _figures(
    few: Sequence[SectionData], small: Joined, little: State,
    truth: Sequence[NDArray[np.int64]] | None, short: Settings, params: SectionsParams, seed: int,
) -> tuple[dict[str, Any], dict[str, list[NDArray[np.int16]]]]:  # fmt: skip
    """Return measures of the model and of plain methods, and domains of the latter."""
    proportions = little.proportions()
    places = of_places(small, proportions)
    model = {"cells": measure(proportions, truth, seed), "places": measure(places, truth, seed)}
    if truth is not None:
        # At the true number, as for plain methods.
        codes = np.concatenate(truth)
        kinds = max(2, len(np.unique(codes[codes >= 0])))
        own = labels_of(find_domains(small, little, kinds, seed))
        model["domains"] = measure_labels(own, truth)
    figures: dict[str, Any] = {"model": model, "baselines": {}, "held_out": {}, "hidden_genes": {}}
    labels: dict[str, list[NDArray[np.int16]]] = {}
    figures["better_baselines"] = []
    if params.checks:
        plain = embeddings(few, small, little.k, seed)
        figures["baselines"] = {n: measure(z, truth, seed) for n, z in plain.items()}
        best = {key: max((m.get(key) or -1.0 for m in model.values()), default=-1.0)
                for key in ("ari", "nmi", "silhouette")}  # fmt: skip
        figures["better_baselines"] = better(best, figures["baselines"])
        figures["held_out"] = compositions(few, small, little, short, seed)
        figures["hidden_genes"] = hidden_genes(few, small, little, short, seed)
        k = params.domains or little.k
        labels = {n: groups(z, k, seed) for n, z in plain.items()}
    figures["programs"] = {"diversity": diversity(little.programs), **_coherence(small, little)}
    return figures, labels


def _coherence(small: Joined, state: State) -> dict[str, float]:
    """Return coherence over the genes that all sections have, where there are enough."""
    from scipy.sparse import vstack

    shared = np.flatnonzero(small.measured.all(axis=0))
    if len(shared) < 20:
        return {}
    parts = [c.counts[:, np.searchsorted(c.genes, shared)] for c in small.sections
             if np.all(np.diff(c.genes) > 0)]  # fmt: skip
    if len(parts) < len(small.sections):
        return {}
    return {"coherence": coherence(state.programs[:, shared], vstack(parts))}


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


def _counts(data: Joined) -> Floats:
    total = np.zeros(len(data.genes))
    for cells in data.sections:
        total[cells.genes] += np.asarray(cells.counts.sum(axis=0), dtype=np.float64).ravel()
    return total


def _sets(
    state: State, data: Joined, sets: Mapping[str, Sequence[str]] | None, names: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    if not sets:
        return {}
    rows = overlaps(state.programs, data.genes, _counts(data), sets)
    return {name: [asdict(r) for r in own[:20]] for name, own in zip(names, rows, strict=True)}


def _tables(
    sections: Sequence[SectionData], found: Run, names: Sequence[str],
    domains: Sequence[NDArray[np.int16]], k: int,
) -> dict[str, Any]:  # fmt: skip
    """Return what is said of every factor, section and domain."""
    proportions = found.state.proportions()
    used, there = usage(proportions), presence(proportions)
    genes = top_genes(found.whole_state.programs, found.whole.genes, _counts(found.whole))
    all_p, all_d = np.vstack(proportions), np.concatenate(domains)
    size = np.bincount(all_d, minlength=k)
    sums = np.stack([np.bincount(all_d, p, k) for p in all_p.T], axis=1)
    by_domain = sums / np.maximum(size, 1)[:, None]
    most = float(np.quantile(all_p, 0.995))
    factors = [
        {
            "name": name, "colour": COLOURS[j % len(COLOURS)], "share": float(used[:, j].mean()),
            "usage": used[:, j].tolist(), "present": there[:, j].tolist(),
            "is_shared": bool(there[:, j].all()), "stability": float(found.stability[j]),
            "is_stable": bool(found.stability[j] > 0.8), "by_domain": by_domain[:, j].tolist(),
            "most": float(np.quantile(all_p[:, j], 0.995)), **genes[j],
        }
        for j, name in enumerate(names)
    ]  # fmt: skip
    listed = [
        {
            "id": s.id, "title": s.title, "cells": s.n_cells, "genes": len(s.genes),
            "dataset": s.dataset, "technology": s.technology,
            "domains": (np.bincount(d, minlength=k) / max(len(d), 1)).tolist(),
            "scales": _scales(found, i),
        }
        for i, (s, d) in enumerate(zip(sections, domains, strict=True))
    ]  # fmt: skip
    with np.errstate(invalid="ignore"):
        between = np.nan_to_num(np.corrcoef(all_p.T))
    kinds = [{"name": f"Domain {i + 1}", "colour": COLOURS[i % len(COLOURS)], "cells": int(size[i])}
             for i in range(k)]  # fmt: skip
    return {
        "factors": factors,
        "sections": listed,
        "domains": kinds,
        "range": [0.0, most],
        "r_between": between.round(3).tolist(),
    }


def _scales(found: Run, s: int, most: int = 5) -> list[dict[str, Any]]:
    """Return the genes that a section shows most beyond, or below, its programs."""
    cells = found.data.sections[s]
    logs = np.log2(found.state.scales[s, cells.genes])
    order = np.argsort(-np.abs(logs), kind="stable")[:most]
    return [{"gene": found.data.genes[cells.genes[j]], "log2_scale": float(logs[j])} for j in order]


def _warnings(figures: Mapping[str, Any], found: Run) -> list[str]:
    """Return sentences that a person should read before the maps."""
    out = []
    weak = [f["name"] for f in figures["factors"] if not f["is_stable"]]
    if weak:
        out.append(
            f"Factors {', '.join(weak)} do not come again in half of the counts; they are drawn "
            "faded, and fewer factors may be safer."
        )
    own = [f["name"] for f in figures["factors"] if not f["is_shared"]]
    if own:
        out.append(
            f"Factors {', '.join(own)} are absent from some sections; without replicates this may "
            "be handling rather than biology."
        )
    if figures["noise"]["overdispersed"]:
        out.append(
            f"Counts vary more than Poisson's (shape {figures['noise']['shape']:.1f}); the fit "
            "allows for it."
        )
    for b in figures["better_baselines"]:
        out.append(
            f"'{b['baseline']}' is better here by {b['measure']}: {b['baseline_figure']:.3f} "
            f"against {b['model_figure']:.3f}."
        )
    held = figures["held_out"]
    for name in held:
        if name != "factors" and held[name] > held["factors"]:
            out.append(
                f"'{name}' predicts held-out counts better: {held[name]:.4f} against "
                f"{held['factors']:.4f} nats per count."
            )
    hidden = figures["hidden_genes"]
    if hidden and hidden["knn_r"] > hidden["r"]:
        out.append(
            f"Nearest neighbours impute hidden genes better (r {hidden['knn_r']:.3f} against "
            f"{hidden['r']:.3f})."
        )
    return out
