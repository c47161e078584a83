"""Sections as the published procedure prepares them.

Gene names in capitals and sorted; where X holds integers only: genes with a total and a maximum
above 1, cells with a total above 5, every cell scaled to the section's median total, log1p, unit
variance without centring, clipped at 10. Other values are used as they are, as published.

Deviations
----------
- Nothing is made dense to find out whether X holds counts.
- Two columns of one gene: the first is kept, as published, and ``Published.repeated`` counts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from backend.core.errors import TooFewCells
from backend.models.fusemap.parity.graph import published_graph

LEAST_GENE, LEAST_CELL, CLIP = 1, 5, 10.0


@dataclass(frozen=True, slots=True)
class Measured:
    """A section as it comes.

    Parameters
    ----------
    counts : (n, g) csr_matrix
    genes : g symbols; case is not told apart
    xy : (n, 2) float32
    name : str
        For messages.
    """

    counts: csr_matrix
    genes: Sequence[str]
    xy: NDArray[np.float32]
    name: str = "section"


@dataclass(frozen=True, slots=True)
class Published:
    """A section as the network sees it.

    Parameters
    ----------
    x : (m, p) csr_matrix of float32
        Processed expression of the cells that were kept.
    genes : (p,) str, upper case, ascending
    cells : (m,) int64
        Rows of the section that were kept, ascending.
    graph : (m, m) csr_matrix of float32
    """

    x: csr_matrix
    genes: tuple[str, ...]
    cells: NDArray[np.int64]
    graph: csr_matrix
    repeated: int = 0

    @property
    def n_cells(self) -> int:
        """Number of cells kept."""
        return int(self.x.shape[0])


def published(section: Measured) -> Published:
    """Return ``section`` prepared.

    Raises
    ------
    TooFewCells
        If no cell, no gene or no triangle of cells is left.
    """
    names = np.array([g.upper() for g in section.genes])
    genes, first = np.unique(names, return_index=True)
    x = csr_matrix(section.counts, dtype=np.float32)[:, first]
    cells = np.arange(x.shape[0])
    if are_integers(x):
        x, columns, cells = _filtered(x)
        genes = genes[columns]
        x = _scaled(x)
    if min(x.shape) == 0:
        raise TooFewCells(
            f"No cell or gene of {section.name} is left after the published filters.",
            f"Genes need more than {LEAST_GENE} count, cells more than {LEAST_CELL}.",
        )
    graph = published_graph(np.asarray(section.xy)[cells])
    return Published(x, tuple(genes.tolist()), cells, graph, len(names) - len(first))


def are_integers(x: csr_matrix) -> bool:
    """Whether every value is a whole number, which the published procedure takes for counts."""
    return bool(np.all(x.data == np.rint(x.data)))


def processed(counts: csr_matrix) -> csr_matrix:
    """Return counts (n, g) as the network would see them, no cell or gene left out."""
    return _scaled(csr_matrix(counts, dtype=np.float32))


def union(sections: Sequence[Published]) -> tuple[str, ...]:
    """Return all genes, ascending."""
    return tuple(sorted({g for s in sections for g in s.genes}))


def _filtered(x: csr_matrix) -> tuple[csr_matrix, NDArray[np.int64], NDArray[np.int64]]:
    """Matrix without rare genes and empty cells, with the columns and rows kept."""
    total = np.asarray(x.sum(axis=0)).ravel()
    most = x.max(axis=0).toarray().ravel()
    columns = np.flatnonzero((total > LEAST_GENE) & (most > LEAST_GENE))
    kept = x[:, columns]
    rows = np.flatnonzero(np.asarray(kept.sum(axis=1)).ravel() > LEAST_CELL)
    return csr_matrix(kept[rows]), columns, rows


def _scaled(x: csr_matrix) -> csr_matrix:
    """log1p at the median total, then unit variance and clip; zeros stay zeros."""
    if x.nnz == 0:
        return x
    totals = np.asarray(x.sum(axis=1), dtype=np.float64).ravel()
    filled = np.where(totals > 0, totals, 1.0)
    y = csr_matrix(diags(np.median(totals[totals > 0]) / filled) @ x, dtype=np.float64)
    y.data = np.log1p(y.data)
    n = y.shape[0]
    mean = np.asarray(y.mean(axis=0)).ravel()
    square = np.asarray(y.multiply(y).mean(axis=0)).ravel()
    sd = np.sqrt(np.maximum(square - mean**2, 0) * n / max(n - 1, 1))
    y = csr_matrix(y @ diags(1.0 / np.where(sd > 0, sd, 1.0)), dtype=np.float32)
    y.data = np.minimum(y.data, CLIP)
    return y
