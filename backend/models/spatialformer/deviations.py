"""Expression of a type as deviations, kept sparse: what a gene of a cell is beyond its type.

Half the standardised log expression (bounded by 4), half the standardised detection: whether a gene
is seen at all says more of small counts than how much, and does not change with a cell's size.
Cells without a gene share one value per gene, so only the others are stored, and dense blocks of a
few genes are made when they are needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix

from backend.core.errors import TooFewCells
from backend.models.common.prep import gene_statistics

#: Share of the cells of a type that must show a gene, and the bound of a standardised value.
LEAST_SHOWN, MOST = 0.05, 4.0
#: Genes of a type at most, the most often shown; pairs of more would not fit a page or a memory.
MOST_GENES = 2000
#: Genes of a dense block.
GENES = 256


@dataclass(frozen=True, slots=True)
class Deviations:
    """Deviations of some cells, ``base + above`` by gene.

    genes : (g,) int64
        Columns that are shown by enough cells.
    base : (g,) float64
        Of a cell that does not show the gene.
    above : (n, g) csc_matrix
        What showing it adds.
    step : (g,) float64
        Mean of that among the cells that show it: how far removal lowers a typical one.
    around : (n, m) csr_matrix, others : (m, g) csc_matrix
        Surroundings, whose weighted mean is taken off every deviation.
    """

    genes: NDArray[np.int64]
    base: NDArray[np.float64]
    above: csc_matrix
    step: NDArray[np.float64]
    around: csr_matrix
    others: csc_matrix

    def blocks(self) -> list[slice]:
        """Return the genes in blocks."""
        return [slice(i, i + GENES) for i in range(0, len(self.genes), GENES)]

    def dense(self, block: slice) -> NDArray[np.float64]:
        """Return deviations from the surroundings, (n, genes of the block)."""
        weight = np.asarray(self.around.sum(axis=1)).ravel()
        near = np.asarray((self.around @ self.others[:, block]).todense())
        own = np.asarray(self.above[:, block].todense())
        return np.asarray(own - near + (1 - weight)[:, None] * self.base[block])


def deviations(
    values: csr_matrix, rows: NDArray[np.int64], of: NDArray[np.int64], around: csr_matrix
) -> Deviations:
    """Return the deviations of cells of a type from that type and from their surroundings.

    Parameters
    ----------
    values : (n, g) csr_matrix
        Log-normalised expression.
    rows : (k,) int64
        Cells that are asked for.
    of : (m,) int64
        All cells of the type.
    around : (k, m) csr_matrix
        Weights of the surroundings; rows sum to less than 1.

    Raises
    ------
    TooFewCells
        If no gene is shown by enough cells.
    """
    own = csr_matrix(values[of])
    share = np.bincount(own.indices, minlength=own.shape[1]) / max(len(of), 1)
    mean, sd = gene_statistics(own)
    genes = np.flatnonzero((share >= LEAST_SHOWN) & (sd > 1e-6))
    if not len(genes):
        raise TooFewCells(
            f"No gene is shown by {LEAST_SHOWN:.0%} of the {len(of):,} cells of a type.",
            "Choose a coarser type, or a section with more counts per cell.",
        )
    genes = np.sort(genes[np.argsort(-share[genes], kind="stable")[:MOST_GENES]])
    mean, sd, share = mean[genes], sd[genes], share[genes]
    # A gene that nearly every cell shows would be all detection, of a few cells.
    seen = np.maximum(np.sqrt(share * (1 - share)), 0.05)
    least = np.clip(-mean / sd, -MOST, MOST)
    above = _above(own[:, genes], mean, sd, least, 1 / seen)
    step = np.asarray(above.sum(axis=0)).ravel() / np.maximum(share * len(of), 1)
    asked = _above(csr_matrix(values[rows])[:, genes], mean, sd, least, 1 / seen)
    return Deviations(genes, 0.5 * (least - share / seen), asked, step, around, above)


def _above(
    values: csr_matrix,
    mean: NDArray[np.float64],
    sd: NDArray[np.float64],
    least: NDArray[np.float64],
    detection: NDArray[np.float64],
) -> csc_matrix:
    """Return what showing a gene adds to the deviation of a cell that does not."""
    out = csr_matrix(values, dtype=np.float64, copy=True)
    g = out.indices
    scaled = np.clip((out.data - mean[g]) / sd[g], -MOST, MOST)
    out.data = 0.5 * (scaled - least[g] + detection[g])
    return csc_matrix(out)
