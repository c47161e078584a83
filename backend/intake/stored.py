"""Counts as a file holds them, read some rows at a time; nothing dense but a small block."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix, vstack

#: Values, stored or dense, that are read at once.
BLOCK = 4_000_000
#: Rows of a file per wanted row up to which those between are passed over as they are read.
SCATTERED = 4


class Judged(NamedTuple):
    """What the values of a matrix are like; ``least`` is the smallest finite one, at most 0."""

    not_finite: int
    negative: int
    least: float
    are_whole: bool

    @property
    def are_counts(self) -> bool:
        """Whether all values are whole numbers from zero up."""
        return self.are_whole and not (self.not_finite or self.negative)


class StoredCounts:
    """A matrix of cells x genes in an open h5ad file: dense, by cell (csr) or by gene (csc).

    A matrix stored by gene, or one whose section is scattered over the file, is read once as a
    whole, sparse, and kept; all others are read by runs of rows.

    Parameters
    ----------
    node : h5py Dataset or Group, or csr_matrix
        As anndata writes it, of whatever version.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._whole: csr_matrix | None = None
        self._indptr: NDArray[np.int64] | None = None
        if isinstance(node, csr_matrix):
            self._whole = node
        elif isinstance(node, h5py.Group):
            if _encoding(node) == "csc_matrix":
                self._whole = _by_cell(node)
            else:
                self._indptr = np.asarray(node["indptr"][:], np.int64)
        self.shape: tuple[int, int] = _shape(node)

    @cached_property
    def judged(self) -> Judged:
        """What all values are like; reads them once, block by block."""
        found = Judged(0, 0, 0.0, True)
        for _, block in self.blocks():
            data = block.data[np.isfinite(block.data)]
            found = Judged(
                found.not_finite + len(block.data) - len(data),
                found.negative + int(np.count_nonzero(data < 0)),
                min(found.least, float(data.min(initial=0.0))),
                found.are_whole and bool((data == np.rint(data)).all()),
            )
        return found

    def blocks(self, first: int = 0, last: int | None = None) -> Iterator[tuple[int, csr_matrix]]:
        """Yield (first row, rows) of runs of rows, together all of ``first`` .. ``last - 1``."""
        end = self.shape[0] if last is None else last
        while first < end:
            stop = self._block_end(first, end)
            yield first, self._run(first, stop)
            first = stop

    def rows(self, rows: NDArray[np.int64]) -> csr_matrix:
        """Return rows of the matrix, (m, g) csr_matrix of float32.

        Parameters
        ----------
        rows : (m,) int64
            Ascending.
        """
        if not len(rows):
            return csr_matrix((0, self.shape[1]), dtype=np.float32)
        first, last = int(rows[0]), int(rows[-1]) + 1
        if self._whole is None and last - first > SCATTERED * len(rows):
            self._whole = csr_matrix(vstack([part for _, part in self.blocks()], format="csr"))
        if self._whole is not None:
            return self._whole[rows]
        parts = []
        for start, block in self.blocks(first, last):
            edges = np.searchsorted(rows, [start, start + block.shape[0]])
            parts.append(block[rows[edges[0] : edges[1]] - start])
        return csr_matrix(vstack(parts, format="csr"))

    def _block_end(self, first: int, end: int) -> int:
        if self._indptr is None:
            return min(end, first + max(1, BLOCK // max(self.shape[1], 1)))
        stop = int(np.searchsorted(self._indptr, self._indptr[first] + BLOCK, side="right")) - 1
        return min(end, max(first + 1, stop))

    def _run(self, first: int, stop: int) -> csr_matrix:
        if self._whole is not None:
            return self._whole[first:stop]
        if self._indptr is None:
            return csr_matrix(np.asarray(self._node[first:stop], dtype=np.float32))
        edges = self._indptr[first : stop + 1]
        part = slice(int(edges[0]), int(edges[-1]))
        content = self._node["data"][part].astype(np.float32), self._node["indices"][part]
        found = csr_matrix((*content, edges - edges[0]), shape=(stop - first, self.shape[1]))
        found.sum_duplicates()
        return found


def _by_cell(node: h5py.Group) -> csr_matrix:
    content = [node[name][:] for name in ("data", "indices", "indptr")]
    found = csc_matrix(tuple(content), shape=_shape(node)).tocsr().astype(np.float32)
    found.sum_duplicates()
    return csr_matrix(found)


def _encoding(node: h5py.Group) -> str:
    attributes = node.attrs
    text = attributes.get("encoding-type", attributes.get("h5sparse_format", "csr"))
    text = text.decode() if isinstance(text, bytes) else str(text)
    return f"{text.removesuffix('_matrix')}_matrix"


def _shape(node: Any) -> tuple[int, int]:
    if isinstance(node, h5py.Group):
        attributes = node.attrs
        rows, columns = attributes.get("shape", attributes.get("h5sparse_shape"))
        return int(rows), int(columns)
    shape = tuple(int(n) for n in node.shape)
    return (shape[0], shape[1]) if len(shape) == 2 else (shape[0] if shape else 0, 0)
