"""Measured values of one section, gene by gene; the panel of a section is its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.store import flat
from backend.store.kept import Kept
from backend.store.packed import write_packed
from backend.store.place import Place
from backend.store.transpose import ByCell, ByGene, by_cell, by_gene

#: Bytes of cell-major copies that one atlas keeps, all sections together.
CELLS_KEPT = 64 << 20


def kept_cells(most: int = CELLS_KEPT) -> Kept[ByCell]:
    """Return an empty store of cell-major copies, to be shared by the sections of an atlas."""
    return Kept(most, lambda cells: cells.n_bytes)


class Expression:
    """Counts of a section as stored: one ascending run of rows per gene.

    Parameters
    ----------
    folder : Path or RemotePath
        The section's folder of the store.
    n_cells : int
    fast : bool
        Memory-map what can be mapped.
    kept : Kept, optional
        Where the cell-major copy is kept; ``cell`` and ``matrix`` make it on demand.
    """

    def __init__(
        self, folder: Place, n_cells: int, fast: bool = True, kept: Kept[ByCell] | None = None
    ) -> None:
        header = flat.read_header(folder)["attributes"]
        self.unit: str = header["unit"]
        self._scale = float(header["scale"])
        self.n_cells = n_cells
        self.genes: NDArray[np.int32] = np.asarray(flat.read(folder / "genes", fast)[:])
        self._indptr: NDArray[np.int64] = np.asarray(flat.read(folder / "indptr", fast)[:])
        self._rows = flat.read(folder / "rows", fast)
        self._values = flat.read(folder / "values", fast)
        self._kept = kept if kept is not None else kept_cells()
        self._key = str(folder)

    def has(self, gene: int) -> bool:
        """Whether the panel of this section holds a gene of the atlas."""
        return self._place(gene) is not None

    def _place(self, gene: int) -> int | None:
        """Return the place of a gene in the panel, which is ascending."""
        place = int(np.searchsorted(self.genes, gene))
        return place if place < len(self.genes) and self.genes[place] == gene else None

    @property
    def nnz(self) -> int:
        """Number of stored values."""
        return int(self._indptr[-1])

    def column(self, gene: int) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        """Return the rows with a value above zero, ascending, and those values.

        Parameters
        ----------
        gene : int
            Place in the atlas's genes; a gene outside the panel has no rows.
        """
        place = self._place(gene)
        if place is None:
            return np.empty(0, np.uint32), np.empty(0, np.float32)
        part = slice(int(self._indptr[place]), int(self._indptr[place + 1]))
        return np.asarray(self._rows[part]), self._scaled(self._values[part])

    def cell(self, row: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the genes (places in the atlas) that a cell has, and their values."""
        cells = self._cells()
        part = slice(int(cells.indptr[row]), int(cells.indptr[row + 1]))
        return self.genes[cells.genes[part]], self._scaled(cells.values[part])

    def matrix(self, rows: slice | NDArray[np.integer[Any]] | None = None) -> csr_matrix:
        """Return values of all cells, or of some, (n, panel) csr_matrix of float32.

        Parameters
        ----------
        rows : slice or array of rows, optional
        """
        cells = self._cells()
        shape = (self.n_cells, len(self.genes))
        stored = csr_matrix((cells.values, cells.genes, cells.indptr), shape=shape)
        part = stored if rows is None else stored[rows]
        values = self._scaled(part.data)
        return csr_matrix((values, part.indices, part.indptr), shape=part.shape)

    def _cells(self) -> ByCell:
        """Return the cell-major copy, which takes 3 bytes a value for counts below 256."""
        return self._kept.get(self._key, self._transposed)

    def _transposed(self) -> ByCell:
        genes = ByGene(self._indptr, self._rows[:], self._values[:], self._scale)
        return by_cell(genes, self.n_cells)

    def _scaled(self, values: NDArray[Any]) -> NDArray[np.float32]:
        if self._scale == 1.0:
            return np.asarray(values, dtype=np.float32)
        return (np.asarray(values) * np.float64(self._scale)).astype(np.float32)


def write_expression(
    folder: Path,
    counts: csr_matrix,
    genes: NDArray[np.int32],
    unit: str,
    order: NDArray[np.integer[Any]] | None = None,
) -> None:
    """Write the counts of a section.

    Besides the counts, at most 8 bytes per value lie in memory.

    Parameters
    ----------
    folder : Path
        Must not exist.
    counts : (n, panel) csr_matrix
    genes : (panel,) int32
        Place of each column in the atlas's genes.
    unit : str
    order : (n,) int, optional
        Row of ``counts`` that becomes row i; as they are where None.
    """
    columns = np.argsort(genes, kind="stable")
    rows = np.arange(counts.shape[0]) if order is None else order
    table = by_gene(counts, rows, columns)
    zarr.create_group(str(folder), attributes={"unit": unit, "scale": table.scale})
    flat.write(folder / "genes", genes[columns].astype(np.int32))
    flat.write(folder / "indptr", table.indptr)
    write_packed(folder / "rows", table.rows)
    write_packed(folder / "values", table.values)
