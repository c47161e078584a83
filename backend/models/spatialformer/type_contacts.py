"""Contacts of two types: cells that touch, cells that are compared with them, and surroundings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags_array
from scipy.spatial import cKDTree

from backend.core.errors import TooFewCells
from backend.models.spatialformer.pairs import HARD, RADIUS, cell_graph

#: Side of the blocks in which contacting cells are exchanged, micrometres.
BLOCK = 150.0
#: Cells of the own type within this are the surroundings that a profile is compared with, and how
#: many more cells without any deviation are counted among them.
AROUND, SHRINK = 75.0, 2.0
#: Contacting cells of each type, and contacts, without which nothing is tested.
LEAST_TOUCHING, LEAST_CONTACTS = 30, 100


@dataclass(frozen=True, slots=True)
class Contacts:
    """Cells of two types that touch, in one or several sections or regions.

    a, all_a, b : (n_a,), (m_a,), (n_b,) int64
        Rows of cells of type A that touch one of type B, of all of type A, and of all of type B.
    near, control : (n_a, n_b) csr_matrix of float32
        Cells at most 30 um apart; cells 80-150 um apart.
    around_a, around_b : (n_a, m_a), (n_b, n_b) csr_matrix of float64
        Weights of the surroundings: cells of the own type within 75 um.
    block : (n_a,) int64
        Block of each contacting cell of A.
    """

    a: NDArray[np.int64]
    all_a: NDArray[np.int64]
    b: NDArray[np.int64]
    near: csr_matrix
    control: csr_matrix
    around_a: csr_matrix
    around_b: csr_matrix
    block: NDArray[np.int64]

    @property
    def count(self) -> int:
        """Number of contacts."""
        return int(self.near.nnz)

    def margin(self) -> csr_matrix:
        """Return M, (n_a, n_b): the mean of the cells that touch less that of cells 80-150 µm away.

        Every contacting cell counts once, whatever the number of its contacts: with sums the few
        cells that touch many would make most of the variance. Rows without a control are zero.
        """
        able = np.diff(self.control.indptr) > 0
        left = _mean_of(self.near) - _mean_of(self.control)
        return csr_matrix(diags_array(able.astype(np.float64)) @ left)


def _mean_of(graph: csr_matrix) -> csr_matrix:
    """Return a graph whose rows sum to 1 where they have any."""
    degree = np.maximum(np.diff(graph.indptr), 1).astype(np.float64)
    return csr_matrix(diags_array(1 / degree) @ graph)


def find_contacts(
    xy: NDArray[np.float32],
    is_a: NDArray[np.bool_],
    is_b: NDArray[np.bool_],
    radius: float = RADIUS,
    ring: tuple[float, float] = HARD,
) -> Contacts:
    """Return the contacts of two types in one section; controls lie ``ring`` um apart.

    Raises
    ------
    TooFewCells
        Saying how many contacts there are and how many are needed.
    """
    b = np.flatnonzero(is_b)
    own = cell_graph(xy, radius)[np.flatnonzero(is_a)][:, b]
    touching = np.diff(own.indptr) > 0
    all_a = np.flatnonzero(is_a)
    a = all_a[touching]
    near = csr_matrix(own[touching])
    partners = len(np.unique(near.indices))
    if min(len(a), partners) < LEAST_TOUCHING or near.nnz < LEAST_CONTACTS:
        raise TooFewCells(
            f"The two types have {near.nnz:,} contacts within {radius:g} µm, between {len(a):,} "
            f"and {partners:,} cells.",
            f"{LEAST_CONTACTS} contacts between at least {LEAST_TOUCHING} cells of each type are "
            "needed; choose a larger region, coarser types or a larger radius.",
        )
    control = csr_matrix(_ring(xy, a, ring)[:, b])
    around = cell_graph(xy, AROUND)
    return Contacts(
        a, all_a, b, near, control, _surroundings(around[a][:, all_a]),
        _surroundings(around[b][:, b]), _blocks(xy[a], BLOCK),
    )  # fmt: skip


def _surroundings(graph: csr_matrix) -> csr_matrix:
    """Return weights of neighbours; a few absent ones without deviation are counted among them."""
    degree = np.diff(graph.indptr).astype(np.float64)
    return csr_matrix(diags_array(1 / (degree + SHRINK)) @ graph)


def _blocks(xy: NDArray[np.float32], side: float) -> NDArray[np.int64]:
    """Return the square of each cell."""
    square = np.floor((xy - xy.min(axis=0)) / side).astype(np.int64)
    return np.unique(square, axis=0, return_inverse=True)[1].ravel()


def _ring(
    xy: NDArray[np.float32], rows: NDArray[np.int64], ring: tuple[float, float]
) -> csr_matrix:
    """Return the cells within a ring around each of ``rows``."""
    places = np.asarray(xy, dtype=np.float64)
    found = cKDTree(places[rows]).sparse_distance_matrix(
        cKDTree(places), ring[1], output_type="ndarray"
    )
    found = found[found["v"] >= ring[0]]
    ones = np.ones(len(found), np.float32)
    return csr_matrix((ones, (found["i"], found["j"])), shape=(len(rows), len(places)))
