"""The imputation table: what turns a cell's z into the value of any gene, on the log1p scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from backend.models.common.prep import Prepared
from backend.models.fusemap.foretold import foretold_r
from backend.models.fusemap.references import Reference
from backend.models.fusemap.space import Mapped, Space
from backend.models.fusemap.trust import Trust


def levels_of(
    plain: Sequence[Prepared], datasets: Sequence[str], n_genes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of every gene on the log1p scale, (g,) each.

    Pooled over the sections that measure a gene, every data set with the same weight; 0 where none
    does.
    """
    mean, sd, weight = np.zeros(n_genes), np.zeros(n_genes), np.zeros(n_genes)
    for p, name in zip(plain, datasets, strict=True):
        share = 1.0 / list(datasets).count(name)
        mean[p.genes] += share * p.mean
        sd[p.genes] += share * p.sd
        weight[p.genes] += share
    safe = np.where(weight > 0, weight, 1.0)
    return mean / safe, sd / safe


def gene_table(
    space: Space, levels: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the imputation table: embedding (g, k) and offset (g,), float32.

    Notes
    -----
    imputed = max(0, offset + z . embedding): log1p of counts per median depth, as far as the
    section's z was multiplied by its slope.
    """
    mean, sd = levels
    return (sd[:, None] * space.embedding).astype(np.float32), mean.astype(np.float32)


def with_predictions(
    trust: Trust,
    references: Sequence[Reference],
    space: Space,
    mapped: Sequence[Mapped],
    levels: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> Trust:
    """Return ``trust`` with every gene's predicted r and spread filled in."""
    table = trust.genes.copy()
    if np.isfinite(trust.predicted):
        spread, lacking = _score_sd(references, space, mapped)
        names = [r.dataset for r in references]
        expected = foretold_r(trust.held_out, names, space.embedding, spread, trust.predicted)
        lacking |= ~lacking.any(axis=0)  # a gene that all measure: as in any of them
        table[:, 2] = (expected * lacking).sum(axis=0) / lacking.sum(axis=0)
    table[:, 5] = levels[1]
    return replace(trust, genes=table)


def _score_sd(
    references: Sequence[Reference], space: Space, mapped: Sequence[Mapped]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Spread of every gene's score in every section, (s, g), and which sections lack it."""
    spread, lacking = [], np.ones((len(references), len(space.embedding)), dtype=bool)
    for s, (r, m) in enumerate(zip(references, mapped, strict=True)):
        second = m.z.T @ m.z / len(m.z)
        square = ((space.embedding @ second) * space.embedding).sum(axis=1)
        spread.append(np.sqrt(np.maximum(square, 0)))
        lacking[s, r.prepared.genes] = False
    return np.stack(spread), lacking
