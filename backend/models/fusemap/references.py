"""Training sections as the fits see them: prepared cells, second moments, neighbours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.models.common.graphs import delaunay_graph
from backend.models.common.moments import Moments, moments_of
from backend.models.common.prep import Prepared
from backend.models.fusemap.core import core_columns

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class Reference:
    """A training section as the fits see it.

    prepared : all its genes
    core : (p,) columns of ``prepared`` that the fit sees
    moments : of the core; its genes are places in ``fitted``
    fitted : (c,) places in the union of all genes that the fit sees, the same for all sections
    """

    id: str
    dataset: str
    prepared: Prepared
    core: NDArray[np.int64]
    moments: Moments
    fitted: NDArray[np.int64]
    graph: csr_matrix

    @property
    def seen(self) -> NDArray[np.int64]:
        """Places in the union of the genes of this section that the fit sees, (p,)."""
        return self.prepared.genes[self.core]


def make_references(
    names: Sequence[tuple[str, str]],
    prepared: Sequence[Prepared],
    xy: Sequence[NDArray[np.float32]],
    n_genes: int,
    device: str = "cpu",
    samples: Sequence[NDArray[np.int64] | None] | None = None,
) -> list[Reference]:
    """Return sections ready to be fitted together; sections are worked on in parallel.

    Parameters
    ----------
    names : sequence of (section id, data set)
    prepared : sequence of Prepared
    xy : sequence of (n, 2) float32
    n_genes : int
        Size of the union.
    device : str
    samples : sequence of (m,) int64 or None
        Rows that the moments of a section are taken of; all where None.
    """
    graphs = parallel(delaunay_graph, list(xy))
    return with_graphs(names, prepared, graphs, n_genes, device, samples)


def with_graphs(
    names: Sequence[tuple[str, str]],
    prepared: Sequence[Prepared],
    graphs: Sequence[csr_matrix],
    n_genes: int,
    device: str = "cpu",
    samples: Sequence[NDArray[np.int64] | None] | None = None,
) -> list[Reference]:
    """Return the same as ``make_references`` where the neighbour graphs are at hand."""
    columns = core_columns(prepared, n_genes)
    seen = [p.genes[c] for p, c in zip(prepared, columns, strict=True)]
    fitted = np.unique(np.concatenate(seen))
    rows = samples or [None] * len(prepared)

    def moments(i: int) -> Moments:
        part = _core(prepared[i], columns[i], rows[i])
        return moments_of(part, device, np.searchsorted(fitted, part.genes))

    found = parallel(moments, range(len(prepared)))
    return [
        Reference(*names[i], prepared[i], columns[i], found[i], fitted, graphs[i])
        for i in range(len(prepared))
    ]


def _core(
    prepared: Prepared, columns: NDArray[np.int64], rows: NDArray[np.int64] | None
) -> Prepared:
    """Return the genes, and of a large section the cells, that the fit sees."""
    part = prepared if len(columns) == len(prepared.genes) else prepared.columns(columns)
    if rows is None:
        return part
    return Prepared(csr_matrix(part.x[rows]), part.genes, part.mean, part.sd)


def parallel(verb: Callable[[A], B], of: Iterable[A]) -> list[B]:
    """Return ``verb`` of everything, in order, on all cores."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(verb, of))
