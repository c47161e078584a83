"""Which genes lie together inside a cell, from the places of its transcripts.

Transcripts of a cell at most 5 um apart are joined, in three dimensions where there is a z (as the
published code has it; its text draws a circle). In each community of that graph every gene with at
least 3 copies counts, and every two such genes co-occur in the cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.spatial import cKDTree

from backend.core.errors import BadRequest
from backend.models.spatialformer.transformer.communities import louvain

#: Transcripts this near one another are joined, micrometres; copies a gene needs.
REACH, COPIES = 5.0, 3


@dataclass(frozen=True, slots=True)
class Transcripts:
    """Transcripts of a section or a field.

    Parameters
    ----------
    xyz : (m, 2 or 3) float64
        Micrometres.
    gene, cell : (m,) int64
        Column of the gene, and row of the cell or -1 outside of cells.
    """

    xyz: NDArray[np.float64]
    gene: NDArray[np.int64]
    cell: NDArray[np.int64]

    @property
    def is_flat(self) -> bool:
        """Whether there is no z, or only one."""
        return self.xyz.shape[1] < 3 or bool(np.ptp(self.xyz[:, 2]) == 0 if len(self.xyz) else True)

    @property
    def said(self) -> str:
        """Return in words what distances are taken in."""
        if self.is_flat:
            return "The transcripts have no depth: co-occurrence is in 2 dimensions (circles)."
        return "Co-occurrence is in 3 dimensions."


def counts_of(transcripts: Transcripts, n_cells: int, n_genes: int) -> csr_matrix:
    """Return transcripts per cell and gene, (n_cells, n_genes) float32."""
    own = transcripts.cell >= 0
    ends = (transcripts.cell[own], transcripts.gene[own])
    counts = coo_matrix((np.ones(int(own.sum()), np.float32), ends), shape=(n_cells, n_genes))
    return counts.tocsr()


def gene_cooccurrence(
    transcripts: Transcripts, seed: int, reach: float = REACH, copies: int = COPIES
) -> NDArray[np.int64]:
    """Return rows (cell, gene, gene) with the lower gene first, unique and sorted.

    Parameters
    ----------
    transcripts : Transcripts
        Those outside of cells are left out.
    seed : int
        Of the order in which communities are grown.
    reach : float
        Micrometres.
    copies : int

    Raises
    ------
    BadRequest
        If a place is not finite.
    """
    if not np.isfinite(transcripts.xyz).all():
        raise BadRequest("Some transcripts have no place.", "Remove them, or give their x and y.")
    own = np.flatnonzero(transcripts.cell >= 0)
    cell, gene = transcripts.cell[own], transcripts.gene[own]
    if not len(own):
        return np.zeros((0, 3), np.int64)
    graph = within_cells(transcripts.xyz[own], cell, reach)
    community = louvain(graph, np.unique(cell, return_inverse=True)[1], seed)
    return _pairs(community, cell, gene, copies)


def within_cells(xyz: NDArray[np.float64], cell: NDArray[np.int64], reach: float) -> csr_matrix:
    """Return which transcripts of the same cell are at most ``reach`` apart, (m, m).

    Notes
    -----
    One tree for all cells: the cell is one more dimension, in which cells are far apart.
    """
    _, rank = np.unique(cell, return_inverse=True)
    apart = np.column_stack([xyz, rank * (2.0 * reach)])
    ends = cKDTree(apart).query_pairs(reach, output_type="ndarray")
    rows, cols = np.r_[ends[:, 0], ends[:, 1]], np.r_[ends[:, 1], ends[:, 0]]
    graph = coo_matrix((np.ones(len(rows)), (rows, cols)), shape=(len(xyz), len(xyz))).tocsr()
    graph.sort_indices()
    return graph


def _pairs(
    community: NDArray[np.int64], cell: NDArray[np.int64], gene: NDArray[np.int64], copies: int
) -> NDArray[np.int64]:
    """Return the pairs of genes with enough copies in one community."""
    lines, first, count = np.unique(
        np.column_stack([community, gene]), axis=0, return_index=True, return_counts=True
    )
    valid = count >= copies
    group, genes, cells = lines[valid, 0], lines[valid, 1], cell[first[valid]]
    starts = np.searchsorted(group, group, "right")  # end of the own group of each line
    follow = starts - np.arange(len(group)) - 1
    left = np.repeat(np.arange(len(group)), follow)
    step = np.arange(len(left)) - np.repeat(np.cumsum(follow) - follow, follow)
    right = left + 1 + step
    return np.unique(np.column_stack([cells[left], genes[left], genes[right]]), axis=0)
