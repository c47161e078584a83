"""Pairs of cells of a section: neighbours, hard negatives and easy ones, drawn with a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.spatial import cKDTree

from backend.core.errors import BadRequest, TooFewCells

#: Cells this near one another are neighbours, micrometres.
RADIUS = 30.0
#: Hard negatives: the same surroundings, but no neighbours.
HARD = (80.0, 150.0)
#: Cells of a section from which pairs are drawn, at most.
ANCHORS = 6000
#: Pairs of each kind per anchor.
DRAWS = 3
#: Positive pairs without which nothing is fitted.
LEAST_PAIRS = 100
#: Anchors whose far neighbours are listed at once.
CHUNK = 1000
#: Rounds in which an easy negative that came out too near is drawn again.
ROUNDS = 8
#: Kinds of pairs.
POSITIVE, HARD_NEGATIVE, EASY_NEGATIVE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of cells of one section.

    a, b : (m,) int64
        Rows of the section; ``a`` is the anchor.
    kind : (m,) int8
        ``POSITIVE``, ``HARD_NEGATIVE`` or ``EASY_NEGATIVE``.
    """

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    kind: NDArray[np.int8]

    def count(self, kind: int) -> int:
        """Return the number of pairs of a kind."""
        return int((self.kind == kind).sum())

    def of(self, kind: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return both ends of the pairs of a kind."""
        own = self.kind == kind
        return self.a[own], self.b[own]

    def within(self, rows: NDArray[np.bool_]) -> Pairs:
        """Return the pairs with both cells among ``rows`` (n,)."""
        keep = rows[self.a] & rows[self.b]
        return Pairs(self.a[keep], self.b[keep], self.kind[keep])


def cell_graph(xy: NDArray[np.float32], radius: float = RADIUS, nearest: float = 0.0) -> csr_matrix:
    """Return which cells lie at most ``radius`` and at least ``nearest`` from one another.

    Parameters
    ----------
    xy : (n, 2) float32
        Micrometres.
    radius, nearest : float
        Micrometres.

    Returns
    -------
    (n, n) csr_matrix of float32
        Symmetric, 1 where an edge is, no self loops.
    """
    places = np.asarray(xy, dtype=np.float64)
    ends = cKDTree(places).query_pairs(radius, output_type="ndarray")
    if nearest > 0 and len(ends):
        apart = np.linalg.norm(places[ends[:, 0]] - places[ends[:, 1]], axis=1)
        ends = ends[apart >= nearest]
    rows = np.concatenate([ends[:, 0], ends[:, 1]])
    cols = np.concatenate([ends[:, 1], ends[:, 0]])
    n = len(places)
    graph = coo_matrix((np.ones(len(rows), np.float32), (rows, cols)), shape=(n, n)).tocsr()
    graph.sort_indices()  # draws must not depend on the order in which a tree lists them
    return graph


def sample_pairs(
    xy: NDArray[np.float32],
    seed: int,
    radius: float = RADIUS,
    draws: int = DRAWS,
    anchors: int = ANCHORS,
) -> Pairs:
    """Return neighbours, hard negatives (80-150 µm) and easy ones (> 150 µm) of one section.

    Parameters
    ----------
    xy : (n, 2) float32
        Micrometres.
    seed : int
    radius : float
        Neighbours are at most this far apart; below 80.
    draws : int
        Pairs of each kind per anchor, each end uniform among those that qualify; a pair that is
        drawn twice is kept twice.
    anchors : int
        At most; cells without a neighbour are none.

    Raises
    ------
    BadRequest
        If the radius is not between 0 and 80, or the cells have no places.
    """
    if not 0 < radius < HARD[0]:
        raise BadRequest(f"The radius is {radius:g} µm.", f"Give one between 0 and {HARD[0]:g}.")
    refuse_placeless(xy)
    random = np.random.default_rng(seed)
    places = np.asarray(xy, dtype=np.float64)
    near = cell_graph(xy, radius)
    able = np.flatnonzero(np.diff(near.indptr) > 0)
    if len(able) > anchors:
        able = np.sort(random.choice(able, anchors, replace=False))
    a = np.repeat(able, draws)
    parts = [(a, _drawn(near, a, random), POSITIVE)]
    tree = cKDTree(places)
    for start in range(0, len(able), CHUNK):
        own = able[start : start + CHUNK]
        ring = _ring(places, tree, own)
        at = np.repeat(np.flatnonzero(np.diff(ring.indptr) > 0), draws)
        parts.append((own[at], _drawn(ring, at, random), HARD_NEGATIVE))
    parts.append((*_far(places, a, random), EASY_NEGATIVE))
    return Pairs(
        np.concatenate([p[0] for p in parts]),
        np.concatenate([p[1] for p in parts]),
        np.concatenate([np.full(len(p[0]), p[2], np.int8) for p in parts]),
    )


def refuse_placeless(xy: NDArray[np.float32]) -> None:
    """Raise BadRequest where a cell has no coordinates."""
    lost = int((~np.isfinite(xy)).any(axis=1).sum())
    if lost:
        raise BadRequest(
            f"{lost:,} of {len(xy):,} cells have no coordinates.",
            "Co-localisation is learnt from cells with places; dissociated cells can be the query.",
        )


def refuse_few(pairs: Pairs, least: int = LEAST_PAIRS) -> None:
    """Raise TooFewCells unless there are ``least`` pairs of neighbours and of both negatives."""
    names = ("within the radius", "80-150 µm apart", "more than 150 µm apart")
    counts = [pairs.count(kind) for kind in (POSITIVE, HARD_NEGATIVE, EASY_NEGATIVE)]
    short = [f"{c} {name}" for c, name in zip(counts, names, strict=True) if c < least]
    if short:
        raise TooFewCells(
            f"There are too few pairs of cells: {', '.join(short)}; {least} of each are needed.",
            "Use a larger section or region, or check that positions are in micrometres.",
        )


def _drawn(
    graph: csr_matrix, rows: NDArray[np.int64], random: np.random.Generator
) -> NDArray[np.int64]:
    """Return one neighbour of each row, uniform; every row must have one."""
    start, end = graph.indptr[rows], graph.indptr[rows + 1]
    offset = np.floor(random.random(len(rows)) * (end - start)).astype(np.int64)
    return np.asarray(graph.indices[start + offset], dtype=np.int64)


def _ring(places: NDArray[np.float64], tree: cKDTree, rows: NDArray[np.int64]) -> csr_matrix:
    """Return the cells 80-150 µm from each of some rows, (rows, n)."""
    found = cKDTree(places[rows]).sparse_distance_matrix(tree, HARD[1], output_type="ndarray")
    found = found[found["v"] >= HARD[0]]
    ones = np.ones(len(found), np.float32)
    ring = csr_matrix((ones, (found["i"], found["j"])), shape=(len(rows), len(places)))
    ring.sort_indices()
    return ring


def _far(
    places: NDArray[np.float64], a: NDArray[np.int64], random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs more than 150 µm apart; an anchor for which none was found is left out."""
    b = random.integers(0, len(places), len(a))
    for _ in range(ROUNDS):
        near = np.flatnonzero(np.linalg.norm(places[a] - places[b], axis=1) <= HARD[1])
        b[near] = random.integers(0, len(places), len(near))
    keep = np.linalg.norm(places[a] - places[b], axis=1) > HARD[1]
    return a[keep], b[keep]
