"""Preparing expression: size normalisation, log1p, and implicit standardisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from backend.core.data import SectionData
from backend.core.errors import BadFile, Fault

#: A gene seen in fewer cells than this has no usable mean and spread in its section.
LEAST_CELLS_OF_A_GENE = 3
#: Share of non-zeros from which products are taken of dense blocks, and rows of a block.
DENSE_SHARE, BLOCK_ROWS = 0.05, 512


@dataclass(frozen=True, slots=True)
class Prepared:
    """Expression of one section on the log1p-normalised scale, with its gene statistics.

    Parameters
    ----------
    x : (n, p) csr_matrix of float32
        log1p of size-normalised counts, or log1p of what the section holds.
    genes : (p,) int64
        Places of the columns in the union of genes.
    mean, sd : (p,) float64
        Per gene over the cells of this section.
    """

    x: csr_matrix
    genes: NDArray[np.int64]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self.x.shape[0])

    def columns(self, keep: NDArray[np.int64]) -> Prepared:
        """Return the same with some of the genes only."""
        return Prepared(
            csr_matrix(self.x[:, keep]), self.genes[keep], self.mean[keep], self.sd[keep]
        )


def normalised(counts: csr_matrix, is_counts: bool) -> csr_matrix:
    """Return log1p of ``counts`` scaled so that every cell has the section's median total.

    Parameters
    ----------
    counts : (n, g) csr_matrix
    is_counts : bool
        Values that are no counts are not rescaled. Where one of them is negative they are taken
        to be logarithms already and are returned as they are.

    Returns
    -------
    (n, g) csr_matrix of float32
    """
    x = csr_matrix(counts, dtype=np.float32, copy=True)
    if not is_counts:
        if x.nnz == 0 or x.data.min() >= 0:
            x.data = np.log1p(x.data)
        return x
    total = np.asarray(x.sum(axis=1)).ravel()
    filled = total > 0
    if not filled.any():
        return x
    scale = np.zeros_like(total)
    scale[filled] = np.median(total[filled]) / total[filled]
    x = csr_matrix(diags(scale) @ x, dtype=np.float32)
    x.data = np.log1p(x.data)
    return x


def gene_statistics(x: csr_matrix) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation per column of a sparse matrix, both (g,) float64."""
    n = max(x.shape[0], 1)
    mean = np.asarray(x.sum(axis=0), dtype=np.float64).ravel() / n
    square = np.asarray(x.multiply(x).sum(axis=0), dtype=np.float64).ravel() / n
    return mean, np.sqrt(np.maximum(square - mean**2, 0.0))


def prepare(section: SectionData, index: dict[str, int]) -> Prepared:
    """Return ``section`` on the log1p-normalised scale, its columns placed by ``index``.

    Parameters
    ----------
    section : SectionData
    index : dict of str to int
        Place of each upper-case gene symbol in the union. Genes outside it, genes seen in fewer
        than ``LEAST_CELLS_OF_A_GENE`` cells and genes without spread are left out.

    Notes
    -----
    Cell totals are taken over the genes of the section, before any is left out.
    """
    x = normalised(section.counts, section.is_counts)
    _refuse_infinite(section, x)
    mean, sd = gene_statistics(x)
    seen = np.bincount(x.indices, minlength=x.shape[1])
    place = np.array([index.get(g.upper(), -1) for g in section.genes], dtype=np.int64)
    enough = min(LEAST_CELLS_OF_A_GENE, section.n_cells)
    keep = np.flatnonzero((place >= 0) & (sd > 1e-6) & (seen >= enough))
    keep = keep[np.unique(place[keep], return_index=True)[1]]
    return Prepared(csr_matrix(x[:, keep]), place[keep], mean[keep], sd[keep])


def mean_level(prepared: Prepared) -> NDArray[np.float64]:
    """Return the mean of every gene before the logarithm, (p,)."""
    linear = prepared.x.copy()
    linear.data = np.expm1(linear.data)
    return np.asarray(linear.mean(axis=0), dtype=np.float64).ravel()


def prepare_like(
    section: SectionData,
    index: dict[str, int],
    genes: NDArray[np.int64],
    mean: NDArray[np.float64],
    sd: NDArray[np.float64],
    level: NDArray[np.float64],
) -> Prepared:
    """Return a small section on the scale of another one, with that one's statistics.

    Parameters
    ----------
    section : SectionData
        Too small for statistics of its own.
    index : dict of str to int
        Place of each upper-case gene symbol in the union.
    genes, mean, sd, level : (p,)
        Panel, statistics and mean normalised counts of the other section.

    Notes
    -----
    Cells are scaled to the other section's mean total over the genes that both measure.
    """
    place = np.array([index.get(g.upper(), -1) for g in section.genes], dtype=np.int64)
    column = {int(g): j for j, g in enumerate(place) if g >= 0}
    both = np.array([i for i, g in enumerate(genes) if int(g) in column], dtype=np.int64)
    columns = np.array([column[int(genes[i])] for i in both], dtype=np.int64)
    counts = csr_matrix(section.counts[:, columns], dtype=np.float32)
    if section.is_counts:
        total = np.asarray(counts.sum(axis=1)).ravel()
        scale = np.where(total > 0, level[both].sum() / np.where(total > 0, total, 1), 0)
        x = csr_matrix(diags(scale) @ counts, dtype=np.float32)
        x.data = np.log1p(x.data)
    else:
        x = normalised(counts, False)
    _refuse_infinite(section, x)
    return Prepared(x, genes[both], mean[both], sd[both])


def _refuse_infinite(section: SectionData, x: csr_matrix) -> None:
    """Raise BadFile if a value of ``x`` is not finite."""
    bad = int((~np.isfinite(x.data)).sum())
    if bad:
        fault = Fault(
            f"{bad:,} values are not finite", "X", "finite counts", "Remove or repair those cells."
        )
        raise BadFile(section.title, [fault])


def union_of_genes(sections: Sequence[SectionData]) -> tuple[str, ...]:
    """Return the symbols of all sections in order of first sight; case is not told apart."""
    spelling: dict[str, str] = {}
    for section in sections:
        for gene in section.genes:
            spelling.setdefault(gene.upper(), gene)
    return tuple(spelling.values())


def gene_index(genes: Sequence[str]) -> dict[str, int]:
    """Return the place of each upper-case symbol."""
    return {gene.upper(): i for i, gene in enumerate(genes)}


def _gram(x: csr_matrix) -> NDArray[np.float64]:
    """X'X of a sparse matrix; of dense blocks of a few rows where a sparse product would crawl."""
    if x.nnz < DENSE_SHARE * x.shape[0] * x.shape[1]:
        wide = x.astype(np.float64)
        return np.asarray((wide.T @ wide).todense())
    total = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, x.shape[0], BLOCK_ROWS):
        block = np.asarray(x[start : start + BLOCK_ROWS].todense(), dtype=np.float64)
        total += block.T @ block
    return total


def weighted_product(
    x: csr_matrix,
    mean: NDArray[np.float64],
    sd: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return ((x - mean) / sd) @ weights without making the centred matrix.

    Parameters
    ----------
    x : (n, p) csr_matrix
    mean, sd : (p,) float64
    weights : (p, k) float64

    Returns
    -------
    (n, k) float64
    """
    scaled = weights / sd[:, None]
    return np.asarray(x @ scaled - mean @ scaled, dtype=np.float64)


def second_moment(
    x: csr_matrix, mean: NDArray[np.float64], sd: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the (p, p) correlation matrix of standardised genes; centring is implicit."""
    product = _gram(x) / max(x.shape[0], 1)
    own = np.asarray(x.mean(axis=0), dtype=np.float64).ravel()
    cross = np.outer(own, mean)
    centred = product - cross - cross.T + np.outer(mean, mean)
    return np.asarray(centred / np.outer(sd, sd))
