"""A gene panel: chosen, scored on held-out cells beside other ways, each gene accounted for.

Source: FuseMap (He et al. 2024), selection of targeted gene panels from modules of the gene
embedding. Deviations: the score is of held-out sections (theirs was of the training cells);
genes are weighed by what they say about the label and how reliably they are seen, not by their
variance alone, which stays as the way "modules"; greedy and marker-based panels are compared too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.analysis.panel_choose import (
    TITLES,
    WAYS,
    Evidence,
    Start,
    evidence,
    modules,
    random_panel,
    unit_rows,
)
from backend.analysis.panel_score import Fold, Sample, Score, folds, score
from backend.core.errors import BadRequest, TooFewCells
from backend.core.job import RunContext

#: Sizes of the curve, as published but for the closer spacing.
SIZES = (10, 20, 40, 80, 150)
#: Two ways within this accuracy of one another are called even.
EVEN = 0.005


@dataclass(frozen=True, slots=True)
class PanelParams:
    """What panel is wanted.

    Parameters
    ----------
    genes : int
        Genes of the panel.
    way : str
        How it is chosen, one of ``WAYS``.
    include, exclude : tuple of str
        Genes that must be in, or must not.
    draws : int
        Random panels per size.
    seed : int
    """

    genes: int = 60
    way: str = "embedding"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    draws: int = 20
    seed: int = 0

    def checked(self) -> PanelParams:
        """Return the same.

        Raises
        ------
        BadRequest
            Naming every value that cannot be used.
        """
        wrong = []
        if not 2 <= self.genes <= 1000:
            wrong.append(f"genes is {self.genes}, expected 2 to 1000")
        if self.way not in WAYS:
            wrong.append(f"way is '{self.way}', expected {', '.join(WAYS)}")
        if not 1 <= self.draws <= 1000:
            wrong.append(f"draws is {self.draws}, expected 1 to 1000")
        if len(self.include) > self.genes:
            wrong.append(f"{len(self.include)} genes must be in a panel of {self.genes}")
        both = {g.upper() for g in self.include} & {g.upper() for g in self.exclude}
        if both:
            wrong.append(f"{', '.join(sorted(both)[:5])} must be both in and out")
        if wrong:
            raise BadRequest(f"No panel can be chosen so: {'; '.join(wrong)}.")
        return self


class Labels(NamedTuple):
    """The label to tell apart, others to score too, and which of them are places."""

    main: str
    others: tuple[str, ...]
    places: frozenset[str]


def choose_panel(
    samples: Sequence[Sample],
    genes: Sequence[str],
    embedding: NDArray[np.floating[Any]],
    labels: Labels,
    params: PanelParams,
    ctx: RunContext | None = None,
) -> dict[str, Any]:
    """Return a panel with its table of genes and the held-out curve of every way of choosing.

    Parameters
    ----------
    samples : sequence of Sample
        Sections with the same candidate genes.
    genes : sequence of str
        Symbols of the m candidates.
    embedding : (m, d) float
    labels : Labels
    params : PanelParams
    ctx : RunContext, optional

    Raises
    ------
    BadRequest, TooFewCells
    """
    params, ctx = params.checked(), ctx or RunContext()
    _require_cells(samples, labels.main)
    unit = unit_rows(embedding)
    module = modules(unit, params.seed)
    forced = _places(genes, params.include)
    sizes = sorted({n for n in (*SIZES, params.genes) if n <= len(genes)})
    start = Start(min(params.genes, len(genes)), forced, unit, module)
    curve = _curve(folds(samples), start, labels, sizes, params, ctx.part(0, 0.95))
    ctx.step(0.95, "Choosing the panel")
    found = evidence(samples, labels.main, labels.main in labels.places, params.seed)
    chosen = WAYS[params.way](found, start)
    return {
        "genes": _gene_rows(chosen, found, start, genes, samples, params),
        "modules": _module_rows(module, unit, genes, chosen),
        "curve": curve,
        "sizes": sizes,
        "verdicts": [_verdict(curve, name, params) for name in (labels.main, *labels.others)],
        "ways": {name: TITLES[name] for name in (*WAYS, "random")},
        "held_out": _held_out_words(samples),
        "n_candidates": len(genes),
        "params": asdict(params),
    }


def _require_cells(samples: Sequence[Sample], label: str) -> None:
    n = sum(int((s.codes[label] >= 0).sum()) for s in samples)
    if n < 100:
        raise TooFewCells(
            f"Only {n} cells have a {label} label; a panel needs 100.", "Name more sections."
        )


def _places(genes: Sequence[str], names: Sequence[str]) -> NDArray[np.int64]:
    """Return where named genes stand among the candidates.

    Raises
    ------
    BadRequest
        Naming all that are not candidates.
    """
    at = {gene.upper(): i for i, gene in enumerate(genes)}
    missing = [name for name in names if name.upper() not in at]
    if missing:
        raise BadRequest(
            f"{', '.join(missing[:8])} cannot be forced into the panel.",
            "They are not measured in all these sections, or have no embedding.",
        )
    return np.array([at[name.upper()] for name in names], np.int64)


def _curve(
    parts: Sequence[Fold],
    start: Start,
    labels: Labels,
    sizes: Sequence[int],
    params: PanelParams,
    ctx: RunContext,
) -> list[dict[str, Any]]:
    """Return the held-out score of each label, way and size, and of all candidates together."""
    held: dict[tuple[str, str, int, int], list[Score]] = {}
    for k, fold in enumerate(parts):
        part = ctx.part(k / len(parts), (k + 1) / len(parts))
        _score_fold(fold, start, labels, sizes, params, part, held)
    names = (labels.main, *labels.others)
    ways = [*WAYS, "random", "all"]
    return [
        _entry(label, way, n, [held[key] for key in held if key[:3] == (label, way, n)])
        for label in names
        for way in ways
        for n in ([len(start.unit)] if way == "all" else sizes)
    ]


def _score_fold(
    fold: Fold,
    start: Start,
    labels: Labels,
    sizes: Sequence[int],
    params: PanelParams,
    ctx: RunContext,
    held: dict[tuple[str, str, int, int], list[Score]],
) -> None:
    """Choose panels on the training part of one fold, score them on the rest, add to ``held``."""
    found = evidence(fold.train, labels.main, labels.main in labels.places, params.seed)
    m = len(start.unit)
    longest = Start(max(sizes), start.forced, start.unit, start.module)
    # Every way adds genes one by one, so that a small panel is the head of a large one.
    orders = {(way, 0): choose(found, longest) for way, choose in WAYS.items()}
    orders |= {
        ("random", draw): random_panel(longest, m, params.seed * 1000 + draw)
        for draw in range(params.draws)
    }
    names = (labels.main, *labels.others)
    todo = [(way, draw, n) for (way, draw) in orders for n in sizes] + [("all", 0, m)]
    for done, (way, draw, n) in enumerate(todo):
        ctx.step(done / len(todo), f"Scoring panels of {n} genes")
        panel = np.arange(m) if way == "all" else np.sort(orders[way, draw][:n])
        for label in names:
            is_place = label in labels.places
            got = score(fold, label, panel, is_place, params.seed)
            held.setdefault((label, way, n, draw), []).append(got)


def _entry(label: str, way: str, n: int, draws: Sequence[Sequence[Score]]) -> dict[str, Any]:
    """Return mean over folds by cells scored, and spread over random panels."""
    means = [_over_folds(scores) for scores in draws]
    accuracy, f1 = np.array(means).T
    return {
        "label": label,
        "way": way,
        "n": n,
        "accuracy": _or_none(accuracy.mean()),
        "macro_f1": _or_none(f1.mean()),
        "sd": _or_none(accuracy.std(ddof=1)) if len(means) > 1 else None,
        "draws": len(means),
    }


def _over_folds(scores: Sequence[Score]) -> tuple[float, float]:
    some = [s for s in scores if s.n_cells]
    if not some:
        return float("nan"), float("nan")
    weight = [s.n_cells for s in some]
    return (
        float(np.average([s.accuracy for s in some], weights=weight)),
        float(np.average([s.macro_f1 for s in some], weights=weight)),
    )


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _verdict(curve: Sequence[Mapping[str, Any]], label: str, params: PanelParams) -> dict[str, Any]:
    """Return, for one label, how the chosen way compares at the size nearest to the wanted one."""
    rows = [r for r in curve if r["label"] == label and r["accuracy"] is not None]
    own = [r for r in rows if r["way"] == params.way]
    if not own:
        return {"label": label, "text": f"No held-out cell has a {label} label to score."}
    here = min(own, key=lambda r: abs(r["n"] - params.genes))
    rivals = [r for r in rows if r["n"] == here["n"] and r["way"] not in (params.way, "all")]
    ahead = [r for r in rivals if r["accuracy"] > here["accuracy"] + EVEN]
    even = [r for r in rivals if abs(r["accuracy"] - here["accuracy"]) <= EVEN]
    ahead.sort(key=lambda r: -r["accuracy"])
    return {
        "label": label,
        "n": here["n"],
        "accuracy": here["accuracy"],
        "ahead": [r["way"] for r in ahead],
        "even": [r["way"] for r in even],
        "text": _verdict_words(here, ahead, even),
    }


def _verdict_words(
    here: Mapping[str, Any], ahead: Sequence[Mapping[str, Any]], even: Sequence[Mapping[str, Any]]
) -> str:
    text = f"{here['label']}, {here['n']} genes: {here['accuracy']:.3f} of held-out cells right."
    if ahead:
        named = ", ".join(f"{TITLES[r['way']].lower()} ({r['accuracy']:.3f})" for r in ahead)
        return f"{text} Better here: {named}."
    if even:
        named = ", ".join(f"{TITLES[r['way']].lower()} ({r['accuracy']:.3f})" for r in even)
        return f"{text} Even with {named}; ahead of the others."
    return f"{text} Ahead of every other way."


def _held_out_words(samples: Sequence[Sample]) -> str:
    if len(samples) == 1:
        return "quarters of the one section, each held out in turn"
    return f"{len(samples)} sections, each held out in turn"


def _gene_rows(
    chosen: Sequence[int],
    found: Evidence,
    start: Start,
    genes: Sequence[str],
    samples: Sequence[Sample],
    params: PanelParams,
) -> list[dict[str, Any]]:
    seen = np.mean([s.counts.getnnz(axis=0) / s.counts.shape[0] for s in samples], axis=0)
    forced = set(map(int, start.forced))
    rows = []
    for k, g in enumerate(chosen):
        before = list(chosen[:k])
        close = start.unit[before] @ start.unit[g] if before else np.zeros(0)
        nearest = before[int(close.argmax())] if before else None
        rows.append(
            {
                "gene": genes[g],
                "rank": k + 1,
                "module": int(start.module[g]) + 1,
                "share": float(found.share[g]),
                "detection": float(seen[g]),
                "highest_in": int(found.best[g]),
                "forced": g in forced,
                "nearest": None if nearest is None else genes[nearest],
                "similarity": None if nearest is None else float(close.max()),
            }
        )
    return rows


def _module_rows(
    module: NDArray[np.int64],
    unit: NDArray[np.float64],
    genes: Sequence[str],
    chosen: Sequence[int],
) -> list[dict[str, Any]]:
    """Return each module by the genes nearest to its middle."""
    rows = []
    for k in range(int(module.max()) + 1):
        own = np.flatnonzero(module == k)
        middle = unit[own].mean(axis=0)
        first = own[np.argsort(-(unit[own] @ middle), kind="stable")[:3]]
        rows.append(
            {
                "module": k + 1,
                "hubs": [genes[g] for g in first],
                "n_genes": len(own),
                "n_chosen": int(np.isin(own, chosen).sum()),
            }
        )
    return rows
