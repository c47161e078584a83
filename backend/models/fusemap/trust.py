"""Trust in imputation, earned on hidden genes: per gene, per section, per cell.

Every bridge gene is hidden once from every data set that measures it, a fifth of them at a time; a
fit that never saw them scores them. Figures per gene stand beside the plain baselines on the same
genes. The slope of a section says how far scores overshoot there; z of its cells is multiplied by
it, which changes no correlation and keeps imputation linear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from backend.core.job import RunContext
from backend.core.trust import COLUMNS
from backend.models.fusemap.bridges import HIDING_FOLDS, Guess, correlation
from backend.models.fusemap.choose import Choice
from backend.models.fusemap.conformal import CellTrust, Residuals, calibrate
from backend.models.fusemap.fits import HiddenFits
from backend.models.fusemap.plain import BASELINES, baseline_r
from backend.models.fusemap.trial import Sample

#: Hidden genes that a section needs for a slope of its own.
LEAST_GENES = 5


@dataclass(frozen=True, slots=True)
class Trust:
    """What hidden genes taught.

    held_out : per section and gene (n, 5): section, gene, r, Spearman's, sd of the score
    genes : (g, COLUMNS) float32, see ``backend.core.trust``; predicted_r and spread not yet filled
    slopes : section id to slope; ``slope`` is for other sections
    predicted : slope of r on the sd of scores
    cells : certainty of cells, or None
    figures : for the card
    """

    held_out: NDArray[np.float64]
    genes: NDArray[np.float32]
    slopes: dict[str, float] = field(default_factory=dict)
    slope: float = 1.0
    predicted: float = float("nan")
    cells: CellTrust | None = None
    figures: dict[str, Any] = field(default_factory=dict)


def untested(n_genes: int) -> Trust:
    """Return what is known where nothing was hidden."""
    return Trust(np.zeros((0, 5)), np.full((n_genes, COLUMNS), np.nan, dtype=np.float32))


def earn_trust(fits: HiddenFits, choice: Choice, folds: int, ctx: RunContext) -> Trust:
    """Return how well hidden genes were imputed, beside plain baselines.

    Parameters
    ----------
    fits : HiddenFits
    choice : Choice
    folds : int
        How many fifths of the bridge genes are hidden in turn, 1 to 5.
    ctx : RunContext
    """
    samples, plan, n_genes = fits.samples, fits.plan, fits.n_genes
    if plan.is_empty or len(samples) < 2:
        return untested(n_genes)
    rows: list[NDArray[np.float64]] = []
    residuals: list[Residuals] = []
    products: dict[int, list[tuple[float, float, int]]] = {}
    folds = min(folds, HIDING_FOLDS)
    for fold in range(folds):
        part = ctx.part(0.7 * fold / folds, 0.7 * (fold + 1) / folds)
        found = fits.guesses(choice.factors, fold, part, choice.refine, choice.pull)
        for g in found:
            rows.append(_figures(g))
            cross, square = float((g.score * g.truth).sum()), float((g.score**2).sum())
            products.setdefault(g.section, []).append((cross, square, len(g.genes)))
        residuals += [_residuals(g, fold, _slope(products[g.section])) for g in found]
        fits.forget(fold)
    if not rows:
        return untested(n_genes)
    base = baseline_r(samples, plan, range(folds), n_genes, ctx.part(0.7, 1.0))
    return _summary(samples, np.concatenate(rows), base, products, residuals, n_genes, ctx.seed)


def _figures(g: Guess) -> NDArray[np.float64]:
    """Section, gene, r, Spearman's and sd of the score of every hidden gene, (h, 5)."""
    ranks = correlation(rankdata(g.score, axis=0), rankdata(g.truth, axis=0))
    section = np.full(len(g.genes), g.section)
    columns = section, g.genes, correlation(g.score, g.truth), ranks, g.score.std(axis=0)
    return np.stack(columns, axis=1)


def _slope(products: Sequence[tuple[float, float, int]]) -> float:
    """Least-squares slope through the origin, in 0..2."""
    cross, square = (sum(p[i] for p in products) for i in range(2))
    return float(np.clip(cross / max(square, 1e-12), 0, 2))


def _residuals(g: Guess, fold: int, slope: float) -> Residuals:
    """Errors of hidden genes in standard deviations of the gene in its section.

    How far the level of a gene differs between technologies is not part of it.
    """
    return Residuals(g.section, fold, g.misfit, g.detected, np.abs(g.truth - slope * g.score))


def _summary(
    samples: Sequence[Sample],
    held: NDArray[np.float64],
    base: NDArray[np.float64],
    products: dict[int, list[tuple[float, float, int]]],
    residuals: Sequence[Residuals],
    n_genes: int,
    seed: int,
) -> Trust:
    """Gather the figures per gene, per section and over all."""
    section, gene = held[:, 0].astype(np.int64), held[:, 1].astype(np.int64)
    own = base[:, section, gene]
    tested = np.asarray(np.isfinite(own).all(axis=0))
    table = untested(n_genes).genes
    table[:, 0] = mean_by_gene(gene, held[:, 2], n_genes)
    table[:, 3] = mean_by_gene(gene, held[:, 3], n_genes)
    each = np.stack([mean_by_gene(gene[tested], b[tested], n_genes) for b in own])
    known = np.isfinite(each).all(axis=0)
    table[known, 1] = each[:, known].max(axis=0)
    table[known, 4] = each[:, known].argmax(axis=0)
    table[:, 6] = np.bincount(gene, minlength=n_genes)
    everywhere = [x for s in products.values() for x in s]
    overall = _slope(everywhere)
    slopes = {
        samples[s].id: _slope(p) if sum(x[2] for x in p) >= LEAST_GENES else overall
        for s, p in products.items()
    }
    sd, r = held[:, 4], held[:, 2]
    cells = calibrate(residuals, seed)
    return Trust(
        held, table, slopes, overall, float(sd @ r / max(float(sd @ sd), 1e-12)), cells,
        _card_figures(samples, held, own, tested, slopes, cells),
    )  # fmt: skip


def _card_figures(
    samples: Sequence[Sample],
    held: NDArray[np.float64],
    own: NDArray[np.float64],
    tested: NDArray[np.bool_],
    slopes: dict[str, float],
    cells: CellTrust | None,
) -> dict[str, Any]:
    """Figures for the card, over pairs of section and gene."""
    means = [float(b[tested].mean()) if tested.any() else float("nan") for b in own]
    best = int(np.nanargmax(means)) if tested.any() else 0
    return {
        "held_out_gene_r": float(held[:, 2].mean()),
        "held_out_gene_spearman": float(held[:, 3].mean()),
        "baseline_gene_r": means[best] if tested.any() else None,
        "baseline": list(BASELINES)[best],
        "baselines": {n: m for n, m in zip(BASELINES, means, strict=True) if np.isfinite(m)},
        "held_out_genes": len(np.unique(held[:, 1])),
        "held_out_pairs": len(held),
        "by_section": {
            samples[s].id: {
                "genes": int((held[:, 0] == s).sum()),
                "r": float(held[held[:, 0] == s, 2].mean()),
                "spearman": float(held[held[:, 0] == s, 3].mean()),
                "slope": slopes[samples[s].id],
            }
            for s in np.unique(held[:, 0]).astype(int)
        },
        "cells": None
        if cells is None
        else {
            "interval": "90 %, split conformal by strata of misfit and depth",
            "coverage_on_fresh_genes": cells.coverage if np.isfinite(cells.coverage) else None,
            "half_widths_in_sd": cells.widths.tolist(),
            "rank_correlation_with_error": cells.rank_correlation,
        },
    }


def mean_by_gene(
    genes: NDArray[np.int64], values: NDArray[np.float64], n_genes: int
) -> NDArray[np.float64]:
    """Return the mean value per gene, nan where there is none."""
    count = np.bincount(genes, minlength=n_genes)
    total = np.bincount(genes, weights=values, minlength=n_genes)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
