"""The r to expect of a gene where it was not measured, from hidden genes like it.

The spread of a gene's scores ranks genes by how well they are imputed; by how much differs between
data sets and kinds of gene. So r / spread of the genes that were hidden in a data set is averaged
over those whose embedding points the same way (or the opposite), and multiplied by the spread.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: How fast a gene counts less as its squared cosine falls, and what the mean of all genes counts.
WIDTH, PRIOR = 0.15, 1.0
#: A spread below this says nothing about r.
LEAST_SPREAD = 0.05
#: Genes whose likeness is worked out at a time.
BLOCK = 2_000

Table = NDArray[np.float64]


def foretold_r(
    held: Table, datasets: Sequence[str], embedding: Table, spread: Table, overall: float
) -> Table:
    """Return the r to expect of every gene in every section, (s, g), within 0..1.

    Parameters
    ----------
    held : (n, 5) float64
        Section, gene, r, Spearman's r and spread of the scores of hidden genes.
    datasets : sequence of str
        Of the sections.
    embedding : (g, k) float64
    spread : (s, g) float64
        Standard deviation of the scores of every gene in every section.
    overall : float
        r over spread, of a data set in which nothing was hidden.
    """
    names = np.array(datasets)
    out = overall * spread
    section = held[:, 0].astype(np.int64)
    for name in dict.fromkeys(datasets):
        rows = held[np.isin(section, np.flatnonzero(names == name))]
        if len(rows):
            genes, of = np.unique(rows[:, 1].astype(np.int64), return_inverse=True)
            r, sd = (np.bincount(of, rows[:, j]) / np.bincount(of) for j in (2, 4))
            ratio = r / np.maximum(sd, LEAST_SPREAD)
            out[names == name] = spread[names == name] * _like(embedding, genes, ratio)
    return np.clip(out, 0, 1)


def _like(embedding: Table, genes: NDArray[np.int64], values: Table) -> Table:
    """Return the mean of values of some genes over those like each gene, (g,)."""
    unit = embedding / np.maximum(np.linalg.norm(embedding, axis=1, keepdims=True), 1e-12)
    out = np.empty(len(unit))
    for start in range(0, len(unit), BLOCK):
        cosine = unit[start : start + BLOCK] @ unit[genes].T
        weight = np.exp((cosine**2 - 1) / WIDTH)
        total = weight @ values + PRIOR * values.mean()
        out[start : start + BLOCK] = total / (weight.sum(axis=1) + PRIOR)
    return out
