"""The plain baselines of imputation on the same hidden genes: neighbours, and ridge regression.

Both see the sections of other data sets that share most genes with the target, and take the mean
over them of what each predicts from the genes that the two share (standardised, log1p scale).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.core.job import RunContext
from backend.models.common.baselines import knn_values, principal_components
from backend.models.fusemap.bridges import Plan, correlation
from backend.models.fusemap.trial import Sample

#: Cells that a baseline looks at, per target and source section, and sources per target.
TARGET_CELLS, SOURCE_CELLS, SOURCES = 1_000, 2_000, 3
#: Genes that a baseline predicts from, at most.
WIDEST = 400
#: Ridge on the coefficients of standardised genes.
PENALTY = 100.0
NEIGHBOURS, COMPONENTS = 50, 20

Table = NDArray[np.float64]
#: From shared genes of source and target, and wanted genes of the source, to those of the target.
Predictor = Callable[[Table, Table, Table], Table]


def by_neighbours(source: Table, target: Table, wanted: Table) -> Table:
    """Return the mean over the 50 nearest source cells in 20 components of both."""
    scores = principal_components(np.concatenate([source, target]), COMPONENTS)
    n = len(source)
    return knn_values(scores[:n], wanted, scores[n:], k=min(NEIGHBOURS, n))


def by_ridge(source: Table, target: Table, wanted: Table) -> Table:
    """Return ridge regression of the wanted genes on the shared ones."""
    left = source.T @ source + PENALTY * np.eye(source.shape[1])
    return np.asarray(target @ np.linalg.solve(left, source.T @ wanted))


BASELINES: dict[str, Predictor] = {
    "kNN-50 in 20 components of shared genes": by_neighbours,
    "ridge from shared genes": by_ridge,
}


def baseline_r(
    samples: Sequence[Sample], plan: Plan, folds: Sequence[int], n_genes: int, ctx: RunContext
) -> NDArray[np.float64]:
    """Return r of every baseline on the hidden genes, (baselines, s, g), nan where not tested."""
    out = np.full((len(BASELINES), len(samples), n_genes), np.nan)
    for t, target in enumerate(samples):
        ctx.step(t / len(samples), "Checking genes against plain baselines")
        for fold in folds:
            hidden = plan.hidden(t, fold)
            genes = target.plain.genes[hidden[target.plain.genes]]
            if not len(genes):
                continue
            guess, votes = _guess(samples, plan, t, hidden, genes)
            truth = target.standard(genes)[:TARGET_CELLS]
            for b in range(len(BASELINES)):
                out[b, t, genes[votes > 0]] = correlation(guess[b], truth)[votes > 0]
    return out


def _guess(
    samples: Sequence[Sample],
    plan: Plan,
    t: int,
    hidden: NDArray[np.bool_],
    genes: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sum over sources of what each baseline predicts, (b, n, h), and the number of sources."""
    target = samples[t]
    rows = target.drawn[:TARGET_CELLS]
    out = np.zeros((len(BASELINES), len(rows), len(genes)))
    votes = np.zeros(len(genes), dtype=np.int64)
    for source in _sources(samples, plan, t, hidden):
        shared = np.intersect1d(source.plain.genes, target.plain.genes)
        shared = shared[~hidden[shared]][:WIDEST]
        has = np.isin(genes, source.plain.genes)
        near = source.drawn[:SOURCE_CELLS]
        tables = _values(source, near, shared), _values(target, rows, shared)
        wanted = _values(source, near, genes[has])
        for b, predict in enumerate(BASELINES.values()):
            out[b][:, has] += predict(*tables, wanted)
        votes += has
    return out, votes


def _sources(
    samples: Sequence[Sample], plan: Plan, t: int, hidden: NDArray[np.bool_]
) -> list[Sample]:
    """Sections of other data sets that share most genes with the target and have hidden ones."""
    seen = samples[t].plain.genes
    seen = seen[~hidden[seen]]
    shared = {
        s: len(np.intersect1d(sample.plain.genes, seen))
        for s, sample in enumerate(samples)
        if plan.unit[s] != plan.unit[t] and hidden[sample.plain.genes].any()
    }
    order = sorted((s for s in shared if shared[s] >= 2), key=lambda s: -shared[s])
    return [samples[s] for s in order[:SOURCES]]


def _values(
    sample: Sample, rows: NDArray[np.int64], genes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Standardised genes of a few cells."""
    p = sample.plain
    columns = np.searchsorted(p.genes, genes)
    x = np.asarray(p.x[rows][:, columns].todense(), dtype=np.float64)
    return np.asarray((x - p.mean[columns]) / p.sd[columns])
