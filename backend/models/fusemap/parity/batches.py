"""Minibatches as published: seed cells of every section with their neighbours.

Per section the cells are shuffled into batches of seeds O; I are the seeds and all their
neighbours. The largest section sets the number of steps; smaller ones are cycled.

    z_T(O) = A[I, O]' z_C(I)                 exact for the seeds
    X_hat(I) = relu(A[I, O] z_T(O) E)        as published: a neighbour misses most of its terms
    X_hat(O) = relu(A[I, O]' z_T(I) E)       exact: needs the neighbours of the neighbours

In the published form the graph is in effect several times too weak in training, so that z_C E is
several times too large afterwards and depends on the batch size; only correlations make sense.

Deviations
----------
- A last batch of a single cell joins the batch before it: batch normalisation needs two rows.
- With ``replay`` off, a section that has run through is shuffled anew within the epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from backend.models.fusemap.parity.settings import Settings

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Block:
    """The part of a section that one step sees.

    Parameters
    ----------
    cells : (a,) rows that are encoded
    niches : (b,) rows whose niche embedding is made, among ``cells``
    rebuilt : (c,) rows whose expression is rebuilt, among ``cells``
    gather : sparse (b, a)
        From cells to niches.
    scatter : sparse (c, b)
        From niches to rebuilt rows.
    """

    cells: Rows
    niches: Rows
    rebuilt: Rows
    gather: Tensor
    scatter: Tensor

    @property
    def rebuilt_places(self) -> Rows:
        """Places of ``rebuilt`` in ``cells``."""
        return np.searchsorted(self.cells, self.rebuilt)


def block(graph: csr_matrix, seeds: Rows, decode: str) -> Block:
    """Return the block of ascending ``seeds`` in a symmetric graph (n, n) with self loops."""
    near = _neighbours(graph, seeds)
    if decode == "minibatch":
        forth = _between(graph, seeds, near)
        return Block(near, seeds, near, as_sparse(forth), as_sparse(csr_matrix(forth.T)))
    far = _neighbours(graph, near)
    gather, scatter = _between(graph, near, far), _between(graph, seeds, near)
    return Block(far, near, seeds, as_sparse(gather), as_sparse(scatter))


def batches(n: int, settings: Settings, rng: torch.Generator) -> Iterator[Rows]:
    """Yield ascending seeds of one section without end: pass after pass over its ``n`` cells."""
    first = _one_pass(n, settings.batch, rng)
    yield from first
    while True:
        yield from first if settings.replay else _one_pass(n, settings.batch, rng)


def n_batches(n: int, size: int) -> int:
    """Return the number of batches of one pass over ``n`` cells."""
    return max(-(-n // size) - (n % size == 1 and n > size), 1)


def as_sparse(matrix: csr_matrix) -> Tensor:
    """Return a scipy matrix as a sparse tensor of float32."""
    entries = matrix.tocoo()
    places = torch.from_numpy(np.stack([entries.row, entries.col]).astype(np.int64))
    values = torch.from_numpy(np.asarray(entries.data, dtype=np.float32))
    return torch.sparse_coo_tensor(
        places, values, matrix.shape, check_invariants=False, is_coalesced=True
    )


def _one_pass(n: int, size: int, rng: torch.Generator) -> list[Rows]:
    order = torch.randperm(n, generator=rng).numpy()
    count = n_batches(n, size)
    cuts = [size * i for i in range(1, count)]
    return [np.sort(part) for part in np.split(order, cuts)]


def _neighbours(graph: csr_matrix, rows: Rows) -> Rows:
    """Rows and all their neighbours, ascending; self loops keep the rows themselves."""
    return np.unique(graph[rows].indices).astype(np.int64)


def _between(graph: csr_matrix, rows: Rows, columns: Rows) -> csr_matrix:
    """Block of ``graph`` with all neighbours of ``rows`` among ``columns``."""
    part = graph[rows]
    inner = np.searchsorted(columns, part.indices)
    return csr_matrix((part.data, inner, part.indptr), shape=(len(rows), len(columns)))
