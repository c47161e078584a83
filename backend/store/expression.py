"""Measured values of one section, gene by gene; the panel of a section is its own."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
import zarr.codecs
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix

from backend.store import flat
from backend.store.schema import EXPRESSION_CHUNK, EXPRESSION_SHARD

#: Steps that values are tried to be whole multiples of.
_SCALES = (1.0, 0.1, 0.01, 0.001)


class Expression:
    """Counts of a section as stored: one ascending run of rows per gene.

    Parameters
    ----------
    folder : Path
        The section's folder of the store.
    n_cells : int
    fast : bool
        Memory-map what can be mapped.
    """

    def __init__(self, folder: Path, n_cells: int, fast: bool = True) -> None:
        header = flat.read_header(folder)["attributes"]
        self.unit: str = header["unit"]
        self._scale = float(header["scale"])
        self.n_cells = n_cells
        self.genes: NDArray[np.int32] = np.asarray(flat.read(folder / "genes", fast)[:])
        self._indptr: NDArray[np.int64] = np.asarray(flat.read(folder / "indptr", fast)[:])
        self._rows = flat.read(folder / "rows", fast)
        self._values = flat.read(folder / "values", fast)

    @cached_property
    def _place(self) -> dict[int, int]:
        return {int(g): i for i, g in enumerate(self.genes)}

    def has(self, gene: int) -> bool:
        """Whether the panel of this section holds a gene of the atlas."""
        return gene in self._place

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
        place = self._place.get(gene)
        if place is None:
            return np.empty(0, np.uint32), np.empty(0, np.float32)
        part = slice(int(self._indptr[place]), int(self._indptr[place + 1]))
        return np.asarray(self._rows[part]), self._scaled(self._values[part])

    def cell(self, row: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the genes (places in the atlas) that a cell has, and their values."""
        matrix = self._by_cell
        part = slice(matrix.indptr[row], matrix.indptr[row + 1])
        return self.genes[matrix.indices[part]], matrix.data[part].astype(np.float32)

    def matrix(self) -> csr_matrix:
        """Return all values, (n, panel) csr_matrix of float32."""
        return self._by_cell.astype(np.float32)

    @cached_property
    def _by_cell(self) -> csr_matrix:
        """The cell-major copy, made on first use and kept."""
        shape = (self.n_cells, len(self.genes))
        rows = np.asarray(self._rows[:]).astype(np.int32)
        values = self._scaled(self._values[:])
        return csc_matrix((values, rows, self._indptr), shape=shape).tocsr()

    def _scaled(self, values: NDArray[Any]) -> NDArray[np.float32]:
        if self._scale == 1.0:
            return np.asarray(values, dtype=np.float32)
        return (np.asarray(values) * np.float64(self._scale)).astype(np.float32)


def write_expression(folder: Path, counts: csr_matrix, genes: NDArray[np.int32], unit: str) -> None:
    """Write the counts of a section.

    Parameters
    ----------
    folder : Path
        Must not exist.
    counts : (n, panel) sparse matrix
        Rows in storage order.
    genes : (panel,) int32
        Place of each column in the atlas's genes.
    unit : str
    """
    table = counts.tocsc()
    table.eliminate_zeros()
    table.sort_indices()
    values, scale = pack(np.asarray(table.data))
    zarr.create_group(str(folder), attributes={"unit": unit, "scale": scale})
    flat.write(folder / "genes", genes.astype(np.int32))
    flat.write(folder / "indptr", table.indptr.astype(np.int64))
    _write_compressed(folder / "rows", table.indices.astype(np.uint32))
    _write_compressed(folder / "values", values)


def pack(values: NDArray[Any]) -> tuple[NDArray[Any], float]:
    """Return values in the smallest type that holds them exactly, and the scale to multiply by.

    Values with at most three decimals become whole numbers; others stay float32.
    """
    if not len(values):
        return values.astype(np.uint8), 1.0
    if values.min() < 0:
        return values.astype(np.float32), 1.0
    wide = values.astype(np.float64)
    for scale in _SCALES:
        steps = np.rint(wide / scale)
        if steps.max() > 65_535:
            break
        if np.array_equal((steps * scale).astype(np.float32), values.astype(np.float32)):
            return steps.astype(np.uint8 if steps.max() <= 255 else np.uint16), scale
    return values.astype(np.float32), 1.0


def _write_compressed(folder: Path, values: NDArray[Any]) -> None:
    """Write values that are read a gene at a time: small, and a few milliseconds to read."""
    n_chunks = min(EXPRESSION_SHARD, max(1, -(-len(values) // EXPRESSION_CHUNK)))
    array = zarr.create_array(
        str(folder),
        shape=values.shape,
        dtype=values.dtype,
        chunks=(EXPRESSION_CHUNK,),
        shards=(EXPRESSION_CHUNK * n_chunks,),
        compressors=zarr.codecs.BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"),
        fill_value=0,
    )
    if len(values):
        array[:] = values
