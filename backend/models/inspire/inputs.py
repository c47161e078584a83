"""Sections as counts over one union of genes, with the neighbours of every cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from backend.core.data import SectionData
from backend.models.common.prep import gene_index, union_of_genes

#: Neighbours of a cell in its section.
NEIGHBOURS = 6
#: Micrometres between spots of an array, at least, and the spread of distances to the nearest, as
#: a part of their median, below which places are an array.
PITCH, EVEN = 40.0, 0.1


@dataclass(frozen=True, slots=True)
class Cells:
    """One section as the model sees it.

    Parameters
    ----------
    id : str
    counts : (n, p) csr_matrix of float32
        Raw counts of the genes that are in use, sorted within rows.
    genes : (p,) int64
        Places of the columns in the union.
    near : (n, n) csr_matrix of float64
        Rows sum to 1 over the neighbours of a cell; empty rows where it has none.
    depth : (n,) float64
        Counts of every cell over the genes in use.
    is_spots : bool
        Whether these are spots of an array, each of many cells.
    """

    id: str
    counts: csr_matrix
    genes: NDArray[np.int64]
    near: csr_matrix
    depth: NDArray[np.float64]
    is_spots: bool = False

    @property
    def n(self) -> int:
        """Number of cells."""
        return int(self.counts.shape[0])

    def with_counts(self, counts: csr_matrix) -> Cells:
        """Return the same cells with other counts."""
        counts = sorted_rows(counts)
        return replace(self, counts=counts, depth=totals(counts))


@dataclass(frozen=True, slots=True)
class Joined:
    """Sections over a union of ``genes``."""

    sections: tuple[Cells, ...]
    genes: tuple[str, ...]

    @property
    def n(self) -> int:
        """Number of cells of all sections."""
        return sum(s.n for s in self.sections)

    @property
    def measured(self) -> NDArray[np.bool_]:
        """Which section measures which gene, (sections, genes)."""
        out = np.zeros((len(self.sections), len(self.genes)), dtype=np.bool_)
        for row, section in zip(out, self.sections, strict=True):
            row[section.genes] = True
        return out

    def with_counts(self, counts: Sequence[csr_matrix]) -> Joined:
        """Return the same sections with other counts of the same genes."""
        pairs = zip(self.sections, counts, strict=True)
        return Joined(tuple(s.with_counts(c) for s, c in pairs), self.genes)


def join(sections: Sequence[SectionData], kept: Sequence[str] | None = None) -> Joined:
    """Return sections over the union of their genes.

    Parameters
    ----------
    sections : sequence of SectionData
        Of raw counts, see ``checks``.
    kept : sequence of str, optional
        Genes to use; all where None. Case is not told apart.
    """
    genes = tuple(kept) if kept is not None else union_of_genes(sections)
    index = gene_index(genes)
    return Joined(tuple(_cells(s, index) for s in sections), genes)


def _cells(section: SectionData, index: dict[str, int]) -> Cells:
    place = np.array([index.get(g.upper(), -1) for g in section.genes], dtype=np.int64)
    columns = np.flatnonzero(place >= 0)
    columns = columns[np.unique(place[columns], return_index=True)[1]]
    counts = sorted_rows(csr_matrix(section.counts[:, columns], dtype=np.float32))
    near, spots = neighbours(section.xy), are_spots(section.xy)
    return Cells(section.id, counts, place[columns], near, totals(counts), spots)


def sorted_rows(counts: csr_matrix) -> csr_matrix:
    """Return a CSR matrix without stored zeros, its columns in order."""
    out = csr_matrix(counts, dtype=np.float32, copy=True)
    out.eliminate_zeros()
    out.sort_indices()
    return out


def totals(counts: csr_matrix) -> NDArray[np.float64]:
    """Return the sum of every row, (n,) float64."""
    return np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()


def are_spots(xy: NDArray[np.floating]) -> bool:
    """Return whether places are those of an array whose spots hold many cells.

    That is, whether nearest neighbours are all about as far, and ``PITCH`` or more: cells lie at
    distances that vary by a third or more of their median, and bins of cell size are nearer.
    """
    points = xy[np.isfinite(xy).all(axis=1)].astype(np.float64)
    if len(points) < 3:
        return False
    nearest = cKDTree(points).query(points, 2)[0][:, 1]
    median = float(np.median(nearest))
    spread = float(np.median(np.abs(nearest - median)))
    return median >= PITCH and spread < EVEN * median


def neighbours(xy: NDArray[np.floating], k: int = NEIGHBOURS) -> csr_matrix:
    """Return the mean over the ``k`` nearest cells as a sparse (n, n) matrix.

    Cells without coordinates have no neighbours.
    """
    n = len(xy)
    placed = np.flatnonzero(np.isfinite(xy).all(axis=1))
    k = min(k, len(placed) - 1)
    if k < 1:
        return csr_matrix((n, n), dtype=np.float64)
    points = xy[placed].astype(np.float64)
    _, near = cKDTree(points).query(points, k + 1)
    # A cell is its own nearest but where another lies at the same place.
    own = near == np.arange(len(placed))[:, None]
    own[~own.any(axis=1), -1] = True
    others = near[~own].reshape(len(placed), k)
    rows = np.repeat(placed, k)
    values = np.full(len(rows), 1.0 / k)
    return csr_matrix((values, (rows, placed[others.ravel()])), shape=(n, n))
