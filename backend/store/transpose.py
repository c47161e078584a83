"""From cells to genes and back: two passes over the values, and no copies in between."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

#: Steps that values are tried to be whole multiples of.
_SCALES = (1.0, 0.1, 0.01, 0.001)
_BLOCK = 1 << 20


class ByGene(NamedTuple):
    """Values gene by gene: those of gene g are ``indptr[g] : indptr[g + 1]``, rows ascending.

    ``values`` are to be multiplied by ``scale``.
    """

    indptr: NDArray[np.int64]
    rows: NDArray[np.uint32]
    values: NDArray[Any]
    scale: float


class ByCell(NamedTuple):
    """Values cell by cell; ``genes`` are places in the panel, ascending in a cell."""

    indptr: NDArray[np.int64]
    genes: NDArray[Any]
    values: NDArray[Any]

    @property
    def n_bytes(self) -> int:
        """Bytes of the three arrays."""
        return self.indptr.nbytes + self.genes.nbytes + self.values.nbytes


def by_gene(
    counts: csr_matrix, order: NDArray[np.integer[Any]], columns: NDArray[np.integer[Any]]
) -> ByGene:
    """Return a matrix of cells x genes gene by gene, without its zeros.

    Parameters
    ----------
    counts : (n, g) csr_matrix
        Not changed, not copied.
    order : (n,) int
        Row of ``counts`` that becomes row i.
    columns : (g,) int
        Column of ``counts`` that becomes gene i.
    """
    if not counts.has_canonical_format:
        counts = counts.copy()
        counts.sum_duplicates()
    place = np.empty(len(columns), np.int64)
    place[columns] = np.arange(len(columns))
    kind, scale = packing(counts.data)
    indptr = np.zeros(len(columns) + 1, np.int64)
    np.cumsum(_tally(counts.indices, counts.data, place), out=indptr[1:])
    rows = np.empty(int(indptr[-1]), np.uint32)
    values = np.empty(int(indptr[-1]), kind)
    _fill_genes(
        counts.indptr, counts.indices, counts.data, order, place, indptr[:-1].copy(), rows, values,
        scale, kind.kind == "u",
    )  # fmt: skip
    return ByGene(indptr, rows, values, scale)


def by_cell(genes: ByGene, n_cells: int) -> ByCell:
    """Return values cell by cell.

    Parameters
    ----------
    genes : ByGene
    n_cells : int
    """
    indptr = np.zeros(n_cells + 1, np.int64)
    np.cumsum(np.bincount(genes.rows, minlength=n_cells), out=indptr[1:])
    kind = np.uint16 if len(genes.indptr) <= 1 << 16 else np.uint32
    places = np.empty(len(genes.rows), kind)
    values = np.empty(len(genes.rows), genes.values.dtype)
    _fill_cells(genes.indptr, genes.rows, genes.values, indptr[:-1].copy(), places, values)
    return ByCell(indptr, places, values)


def packing(values: NDArray[Any]) -> tuple[np.dtype[Any], float]:
    """Return the smallest type that holds values exactly, and the scale to multiply by.

    Values with at most three decimals become whole numbers; others stay float32.
    """
    if not len(values):
        return np.dtype(np.uint8), 1.0
    if not values.min() >= 0:
        return np.dtype(np.float32), 1.0
    most = float(values.max())
    for scale in _SCALES:
        steps = np.rint(most / scale)
        if steps > 65_535:
            break
        if all(
            _are_multiples(values[i : i + _BLOCK], scale) for i in range(0, len(values), _BLOCK)
        ):
            return np.dtype(np.uint8 if steps <= 255 else np.uint16), scale
    return np.dtype(np.float32), 1.0


def _are_multiples(values: NDArray[Any], scale: float) -> bool:
    steps = np.rint(values.astype(np.float64) / scale)
    return np.array_equal((steps * scale).astype(np.float32), values.astype(np.float32))


@numba.njit(cache=True, nogil=True)
def _tally(indices: Any, data: Any, place: Any) -> Any:
    count = np.zeros(len(place), np.int64)
    for i in range(len(indices)):
        if data[i] != 0:
            count[place[indices[i]]] += 1
    return count


@numba.njit(cache=True, nogil=True)
def _fill_genes(
    indptr: Any,
    indices: Any,
    data: Any,
    order: Any,
    place: Any,
    free: Any,
    rows: Any,
    values: Any,
    scale: float,
    whole: bool,
) -> None:
    for row in range(len(order)):
        source = order[row]
        for i in range(indptr[source], indptr[source + 1]):
            if data[i] == 0:
                continue
            gene = place[indices[i]]
            rows[free[gene]] = row
            values[free[gene]] = np.rint(np.float64(data[i]) / scale) if whole else data[i]
            free[gene] += 1


@numba.njit(cache=True, nogil=True)
def _fill_cells(
    indptr: Any, rows: Any, values: Any, free: Any, genes: Any, cell_values: Any
) -> None:
    for gene in range(len(indptr) - 1):
        for i in range(indptr[gene], indptr[gene + 1]):
            at = free[rows[i]]
            genes[at] = gene
            cell_values[at] = values[i]
            free[rows[i]] += 1
