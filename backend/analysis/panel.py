"""A gene panel: chosen, scored on held-out cells beside other ways, each gene accounted for.

Source: FuseMap (He et al. 2024), selection of targeted gene panels from modules of the gene
embedding. Deviations: the score is of held-out sections (theirs was of the training cells);
genes are weighed by what they say about the label and how reliably they are seen, not by their
variance alone, which stays as the way "modules"; greedy and marker-based panels are compared too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.analysis.panel_choose import (
    TITLES,
    WAYS,
    Evidence,
    Start,
    evidence,
    modules,
    unit_rows,
)
from backend.analysis.panel_curve import SIZES, Labels, PanelParams, held_out_curve, verdict
from backend.analysis.panel_score import Sample, folds
from backend.core.errors import BadRequest, TooFewCells
from backend.core.job import RunContext


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
    curve = held_out_curve(folds(samples), start, labels, sizes, params, ctx.part(0, 0.95))
    ctx.step(0.95, "Choosing the panel")
    found = evidence(samples, labels.main, labels.main in labels.places, params.seed)
    chosen = WAYS[params.way](found, start)
    return {
        "genes": _gene_rows(chosen, found, start, genes, samples, params),
        "modules": _module_rows(module, unit, genes, chosen),
        "curve": curve,
        "sizes": sizes,
        "verdicts": [verdict(curve, name, params) for name in (labels.main, *labels.others)],
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
