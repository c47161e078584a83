"""Rank-value tokens: the genes of a cell from the most to the least expressed, as ids.

A value is divided by its gene's median over the corpus (of non-zero values), so that a gene which
is high everywhere does not lead every cell. Scaling a cell to a total changes no rank and is left
out. Counts of a panel are small integers with many ties: equal values are ordered by vocabulary id,
so that tokens never depend on a sorting routine or on the order of columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.models.spatialformer.transformer.vocabulary import CLS, META, PAD, SEP

Ids = NDArray[np.int64]
#: Tokens before the genes of a cell: CLS and the meta tokens.
LEAD = 1 + len(META)


@dataclass(frozen=True, slots=True)
class Ranked:
    """Genes of many cells in order of rank, one after the other.

    starts : (n + 1,) int64
    ids : (nnz,) int64
        Vocabulary ids.
    """

    starts: Ids
    ids: Ids

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.starts) - 1

    @property
    def lengths(self) -> Ids:
        """Genes of each cell, (n,)."""
        return np.diff(self.starts)

    def of(self, cell: int) -> Ids:
        """Return the genes of a cell, highest first."""
        return self.ids[self.starts[cell] : self.starts[cell + 1]]


@dataclass(frozen=True, slots=True)
class Sequences:
    """Token ids of a batch, padded behind.

    tokens : (b, t) int64
    types : (b, t) int64
        1 for the first cell from CLS to its SEP, 2 for the second with its SEP, 0 for padding.
    cut : int
        Cells that had more genes than fit; the lowest ranks were left out.
    """

    tokens: Ids
    types: Ids
    cut: int = 0


def corpus_medians(
    sections: Sequence[tuple[csr_matrix, Ids]], n_tokens: int
) -> NDArray[np.float32]:
    """Return the median of the non-zero values of each token's gene over all sections.

    Parameters
    ----------
    sections : sequence of ((n, g) csr_matrix, (g,) int64)
        Counts, and the vocabulary id of each column (-1 where it has none).
    n_tokens : int

    Returns
    -------
    (n_tokens,) float32
        1 where a gene was never seen.
    """
    ids = np.concatenate([columns[counts.indices] for counts, columns in sections])
    values = np.concatenate([np.asarray(c.data, dtype=np.float32) for c, _ in sections])
    keep = (ids >= 0) & (values > 0)
    ids, values = ids[keep], values[keep]
    order = np.lexsort((values, ids))
    ids, values = ids[order], values[order]
    gene, first, count = np.unique(ids, return_index=True, return_counts=True)
    medians = np.ones(n_tokens, np.float32)
    medians[gene] = 0.5 * (values[first + (count - 1) // 2] + values[first + count // 2])
    return medians


def ranked(counts: csr_matrix, columns: Ids, medians: NDArray[np.float32]) -> Ranked:
    """Return the known genes of each cell from high to low; ties by vocabulary id.

    Parameters
    ----------
    counts : (n, g) csr_matrix
        Zero and negative values are left out.
    columns : (g,) int64
        Vocabulary id of each column, -1 where unknown.
    medians : (n_tokens,) float32
    """
    x = csr_matrix(counts)
    rows = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
    ids = columns[x.indices]
    keep = (ids >= 0) & (x.data > 0)
    rows, ids = rows[keep], ids[keep]
    value = x.data[keep].astype(np.float32) / medians[ids]
    order = np.lexsort((ids, -value, rows))
    starts = np.searchsorted(rows[order], np.arange(x.shape[0] + 1))
    return Ranked(starts.astype(np.int64), ids[order])


def genes_each(longest: int) -> int:
    """Return how many genes each cell of a pair has room for."""
    return (longest - 2 * LEAD - 1) // 2


def longest_for(genes: int) -> int:
    """Return how many tokens a pair of cells of that many genes has."""
    return 2 * genes + 2 * LEAD + 1


def single_input(
    cells: Sequence[Ids], meta: Sequence[Ids], longest: int, role: int = 1
) -> Sequences:
    """Return [CLS] meta genes [SEP] of each cell; as the second of a pair without CLS.

    Parameters
    ----------
    cells : sequence of (k,) int64
        Genes in order of rank.
    meta : sequence of (4,) int64
    longest : int
        Tokens, at most; the lowest ranks of a longer cell are left out, as ``cut`` says.
    role : int
        1 for a first (or only) cell, 2 for the second of a pair.
    """
    lead = LEAD if role == 1 else LEAD - 1
    room = longest - lead - 1
    width = lead + 1 + min(room, max((len(c) for c in cells), default=0))
    tokens = np.full((len(cells), width), PAD, np.int64)
    types = np.zeros((len(cells), width), np.int64)
    for row, (genes, about) in enumerate(zip(cells, meta, strict=True)):
        line = _line(genes[:room], about, role)
        tokens[row, : len(line)] = line
        types[row, : len(line)] = role
    return Sequences(tokens, types, sum(len(c) > room for c in cells))


def pair_input(
    first: Sequence[Ids],
    second: Sequence[Ids],
    meta_first: Sequence[Ids],
    meta_second: Sequence[Ids],
    longest: int,
) -> Sequences:
    """Return [CLS] meta genesA [SEP] meta genesB [SEP] of each pair of cells.

    Notes
    -----
    Each cell gets half of ``longest``, and what the other leaves of its half. The published code
    assumes 250 tokens per cell and cuts the pair at 500, so that a long first cell could push out
    the second one.
    """
    rows, cut = [], 0
    room = 2 * genes_each(longest)
    for a, b, ma, mb in zip(first, second, meta_first, meta_second, strict=True):
        of_a = min(len(a), max(room // 2, room - len(b)))
        of_b = min(len(b), room - of_a)
        cut += (of_a < len(a)) + (of_b < len(b))
        rows.append((_line(a[:of_a], ma, 1), _line(b[:of_b], mb, 2)))
    width = max(len(a) + len(b) for a, b in rows)
    tokens = np.full((len(rows), width), PAD, np.int64)
    types = np.zeros((len(rows), width), np.int64)
    for i, (a, b) in enumerate(rows):
        tokens[i, : len(a) + len(b)] = np.concatenate([a, b])
        types[i, : len(a)] = 1
        types[i, len(a) : len(a) + len(b)] = 2
    return Sequences(tokens, types, cut)


def _line(genes: Ids, meta: Ids, role: int) -> Ids:
    """Return the tokens of one cell."""
    lead = [CLS, *meta] if role == 1 else list(meta)
    return np.concatenate([np.array(lead, np.int64), genes, np.array([SEP], np.int64)])
