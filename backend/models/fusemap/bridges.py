"""Genes hidden from a data set that another one measures: how k is chosen and trust is earned.

A bridge gene of a data set is one that another data set measures too. Hiding it in every section
of the data set, fitting again and comparing its scores with what was measured shows how well the
gene would have been imputed. With one data set only, sections take the place of data sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.job import RunContext
from backend.models.common.baselines import knn_values, principal_components
from backend.models.fusemap.factors import FactorFit, balance_weights, fit, posterior
from backend.models.fusemap.space import Reference

#: Parts that bridge genes are hidden in; a fifth of them at a time.
HIDING_FOLDS = 5
#: Iterations of a fit that is only there to be checked.
QUICK_ITERATIONS = 50
#: Numbers of factors to choose among.
CANDIDATES = (6, 8, 10, 12, 16)
#: Cells that the baseline looks at, per target and source section, and sources per target.
TARGET_CELLS, SOURCE_CELLS, SOURCES = 1_000, 2_000, 3
#: Genes that the baseline's components are taken of, at most.
WIDEST_PCA = 400


@dataclass(frozen=True, slots=True)
class Hidden:
    """Held-out genes, one row per (section, gene): Pearson r and the sd of the score."""

    section: NDArray[np.int64]
    gene: NDArray[np.int64]
    r: NDArray[np.float64]
    score_sd: NDArray[np.float64]
    unit: NDArray[np.int64]

    def mean_r(self) -> float:
        """Return the mean over units of the mean r of their hidden genes; nan without any."""
        means = [self.r[self.unit == u].mean() for u in np.unique(self.unit)]
        return float(np.mean(means)) if means else float("nan")


def hiding_plan(
    references: Sequence[Reference], n_genes: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the unit of every section (s,), and the fold of every gene in every unit (u, g).

    The fold is -1 where the unit does not measure the gene or no other unit does. A gene's folds
    differ between units as far as there are folds, so that something is left to learn it from.
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
    return unit, np.where(bridge, fold, -1)


def hide_and_score(
    references: Sequence[Reference],
    n_genes: int,
    k: int,
    folds: Sequence[int],
    seed: int,
    ctx: RunContext,
) -> Hidden:
    """Return how well hidden bridge genes are imputed by a fit that never saw them.

    Parameters
    ----------
    references : sequence of Reference
    n_genes : int
    k : int
    folds : sequence of int
        Which parts to hide in turn.
    seed : int
        Of the plan.
    ctx : RunContext
    """
    unit, plan = hiding_plan(references, n_genes, seed)
    weights = balance_weights(
        [r.prepared.n_cells for r in references], [r.dataset for r in references]
    )
    fitted = references[0].fitted
    rows: list[tuple[NDArray[Any], ...]] = []
    for i, fold in enumerate(folds):
        hidden = [(plan[u] == fold)[fitted] for u in unit]
        moments = [r.moments.without(h) for r, h in zip(references, hidden, strict=True)]
        part = ctx.part(i / len(folds), (i + 1) / len(folds))
        state = fit(moments, len(fitted), weights, FactorFit(k, QUICK_ITERATIONS), part)
        for s, (r, h) in enumerate(zip(references, hidden, strict=True)):
            genes, r_held, sd = _score(r, h, state.embedding, state.noise[s])
            rows.append((np.full(len(genes), s), genes, r_held, sd, np.full(len(genes), unit[s])))
    columns = [np.concatenate(column) for column in zip(*rows, strict=True)]
    section, gene, held, sd, units = columns
    return Hidden(section.astype(np.int64), gene.astype(np.int64), held, sd, units.astype(np.int64))


def _score(
    reference: Reference, hidden: NDArray[np.bool_], embedding: torch.Tensor, noise: torch.Tensor
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Genes hidden in a section, r of score and measurement, and sd of the score."""
    out = hidden[reference.moments.genes.cpu().numpy()]
    seen = torch.from_numpy(np.flatnonzero(~out)).to(embedding.device)
    rows = embedding[reference.moments.genes]
    reader = torch.zeros_like(rows)
    reader[seen] = posterior(rows[seen], noise).reader
    zz, yz = reference.moments.of(reader)
    e = rows[torch.from_numpy(np.flatnonzero(out)).to(embedding.device)]
    cross = (yz[torch.from_numpy(np.flatnonzero(out)).to(yz.device)] * e).sum(dim=1)
    sd = ((e @ zz) * e).sum(dim=1).clamp_min(0).sqrt()
    r = torch.where(sd > 1e-9, cross / sd.clamp_min(1e-9), torch.zeros_like(sd))
    return reference.seen[out], r.cpu().numpy(), sd.cpu().numpy()


def choose_k(
    references: Sequence[Reference], n_genes: int, seed: int, ctx: RunContext
) -> tuple[int, dict[str, float]]:
    """Return the number of factors that imputes hidden bridge genes best, and the mean r of each.

    Ten where nothing can be hidden (a single section, or no gene measured twice).
    """
    widest = max(len(r.core) for r in references)
    candidates = [k for k in CANDIDATES if k <= max(widest // 3, 2)] or [max(widest // 3, 1)]
    _, plan = hiding_plan(references, n_genes, seed)
    if (plan >= 0).sum() < 2 * HIDING_FOLDS:
        return min(10, candidates[-1]), {}
    found = {}
    for i, k in enumerate(candidates):
        part = ctx.part(i / len(candidates), (i + 1) / len(candidates))
        found[k] = hide_and_score(references, n_genes, k, range(2), seed, part).mean_r()
    best = max(found, key=lambda k: found[k])
    return best, {str(k): r for k, r in found.items()}


def baseline_r(
    references: Sequence[Reference],
    n_genes: int,
    folds: Sequence[int],
    seed: int,
    ctx: RunContext,
) -> NDArray[np.float64]:
    """Return r of the plain baseline on the same hidden genes, (s, g), nan where not tested.

    kNN-50 in the first 20 components of shared, standardised genes, the mean over source sections
    of other units.
    """
    unit, plan = hiding_plan(references, n_genes, seed)
    rng = np.random.default_rng(seed)
    cells = [_sample(r, SOURCE_CELLS, rng) for r in references]
    out = np.full((len(references), n_genes), np.nan)
    for t, target in enumerate(references):
        ctx.step(t / len(references), "Checking genes against the plain baseline")
        seen = np.zeros(n_genes, dtype=bool)
        seen[target.seen] = True
        rows = cells[t][:TARGET_CELLS]
        for fold in folds:
            hidden = (plan[unit[t]] == fold) & seen
            genes = np.flatnonzero(hidden)
            guess, votes = np.zeros((len(rows), len(genes))), np.zeros(len(genes))
            for s in _sources(references, unit, t, hidden):
                source = references[s]
                wanted = np.flatnonzero(hidden[source.prepared.genes])
                at = np.searchsorted(genes, source.prepared.genes[wanted])
                guess[:, at] += _by_neighbours(source, cells[s], target, rows, hidden, wanted)
                votes[at] += 1
            _fill_r(out[t], target, rows, guess[:, votes > 0], genes[votes > 0])
    return out


def _sample(r: Reference, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw some cells of a section, in random order."""
    return rng.permutation(r.prepared.n_cells)[:most]


def _sources(
    references: Sequence[Reference],
    unit: NDArray[np.int64],
    target: int,
    hidden: NDArray[np.bool_],
) -> list[int]:
    """Sections of other units that share most genes with the target, and measure hidden ones."""
    seen = np.setdiff1d(references[target].seen, np.flatnonzero(hidden))
    shared = {
        s: len(np.intersect1d(r.prepared.genes, seen))
        for s, r in enumerate(references)
        if unit[s] != unit[target] and hidden[r.prepared.genes].any()
    }
    order = sorted((s for s in shared if shared[s] >= 2), key=lambda s: -shared[s])
    return order[:SOURCES]


def _standardised(
    r: Reference, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Standardise a few cells and genes, dense."""
    p = r.prepared
    x = np.asarray(csr_matrix(p.x[rows][:, columns]).todense(), dtype=np.float64)
    return (x - p.mean[columns]) / p.sd[columns]


def _by_neighbours(
    source: Reference,
    source_rows: NDArray[np.int64],
    target: Reference,
    target_rows: NDArray[np.int64],
    hidden: NDArray[np.bool_],
    wanted: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Values of wanted genes of the source at the target's nearest neighbours."""
    common, a, b = np.intersect1d(source.prepared.genes, target.prepared.genes, return_indices=True)
    keep = np.flatnonzero(~hidden[common])[:WIDEST_PCA]
    both = np.concatenate(
        [
            _standardised(source, source_rows, a[keep]),
            _standardised(target, target_rows, b[keep]),
        ]
    )
    scores = principal_components(both, 20)
    n = len(source_rows)
    return knn_values(
        scores[:n], _standardised(source, source_rows, wanted), scores[n:], k=min(50, n)
    )


def _fill_r(
    out: NDArray[np.float64],
    target: Reference,
    rows: NDArray[np.int64],
    guess: NDArray[np.float64],
    genes: NDArray[np.int64],
) -> None:
    """Write r of guessed and measured values of the genes."""
    columns = np.searchsorted(target.prepared.genes, genes)
    truth = _standardised(target, rows, columns)
    a, b = guess - guess.mean(axis=0), truth - truth.mean(axis=0)
    norm = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    out[genes] = np.where(norm > 0, (a * b).sum(axis=0) / np.where(norm > 0, norm, 1), 0.0)
