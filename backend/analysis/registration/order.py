"""Sections in order along an axis by what they are made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import pdist, squareform
from scipy.stats import kendalltau, spearmanr

from backend.core.errors import BadRequest

Values = NDArray[np.float64]

#: Nearest sections that each is tied to.
NEIGHBOURS = 6


def order_sections(
    composition: ArrayLike, known: Sequence[float | None] | None = None
) -> NDArray[np.int64]:
    """Return the order of sections along an axis.

    Parameters
    ----------
    composition : (s, k)
        Cells of each region in each section.
    known : sequence of float or None, optional
        Positions where they are known; two or more decide which end comes first, otherwise the
        first section lies in the first half.

    Returns
    -------
    (s,) int64
        Places of ``composition``, in order.

    Notes
    -----
    Spectral ordering: the Fiedler vector of the graph of nearest sections (Atkins, Boman and
    Hendrickson 1998) on Hellinger distances of shares. FuseMap inserts section by section next to
    the most similar one, by hand where needed.
    """
    counts = np.asarray(composition, np.float64)
    if counts.ndim != 2 or not np.isfinite(counts).all() or (counts < 0).any():
        raise BadRequest("Compositions are not counts.", "Give cells per region, none below 0.")
    n = len(counts)
    order = np.arange(n) if n < 3 else np.argsort(_fiedler(distances(counts)), kind="stable")
    return _oriented(order, known)


def distances(composition: ArrayLike) -> Values:
    """Return Hellinger distances between sections (s, s), 0..1."""
    counts = np.asarray(composition, np.float64)
    shares = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12))
    return np.asarray(squareform(pdist(shares)) / np.sqrt(2))


def _fiedler(far: Values) -> Values:
    """Return a value per section that varies least between sections that are alike."""
    n = len(far)
    k = min(NEIGHBOURS, n - 1)
    near = np.argsort(far, axis=1)[:, 1 : k + 1]
    width = np.median(np.take_along_axis(far, near, axis=1)) + 1e-9
    close = np.exp(-((far / width) ** 2))
    tied = np.zeros_like(close)
    np.put_along_axis(tied, near, np.take_along_axis(close, near, axis=1), axis=1)
    # A little of everything keeps the graph in one piece.
    tied = np.maximum(tied, tied.T) + 1e-3 * np.exp(-((far / far.max()) ** 2) * 4)
    np.fill_diagonal(tied, 0)
    degree = tied.sum(axis=1)
    root = 1 / np.sqrt(degree)
    laplacian = np.eye(n) - root[:, None] * tied * root[None, :]
    _, vectors = np.linalg.eigh((laplacian + laplacian.T) / 2)
    return np.asarray(vectors[:, 1] * root)


def _oriented(order: NDArray[np.int64], known: Sequence[float | None] | None) -> NDArray[np.int64]:
    """Return the order, or its reverse if known positions say so."""
    rank = np.argsort(order)
    have = [(i, p) for i, p in enumerate(known or []) if p is not None]
    if len(have) >= 2:
        rows, positions = (np.array(column) for column in zip(*have, strict=True))
        tau = kendalltau(rank[rows], positions)[0] if np.ptp(positions) else 0.0
        return order[::-1].copy() if tau < 0 else order
    return order[::-1].copy() if len(order) and rank[0] > (len(order) - 1) / 2 else order


def positions_of(
    order: NDArray[np.int64], composition: Values, known: Sequence[float | None]
) -> Values:
    """Return a position per section: known ones kept, others between them by how sections change.

    Raises
    ------
    BadRequest
        If fewer than two positions are known.

    Notes
    -----
    As FuseMap: positions between known ones are proportional to the cumulative distance between
    adjacent compositions. Known positions out of order are kept; the others are laid between their
    running maximum.
    """
    have = np.array([p is not None for p in known])
    if have.sum() < 2:
        raise BadRequest("Fewer than two positions are known.", "Give two or more.")
    far = distances(composition)
    steps = far[order[:-1], order[1:]] + 1e-9
    along = np.empty(len(order))
    along[order] = np.concatenate([[0.0], np.cumsum(steps)])
    anchors = np.array([p for p in known if p is not None], np.float64)
    rows = np.argsort(along[have], kind="stable")
    rising = anchors[rows][-1] >= anchors[rows][0]
    ramp = np.maximum.accumulate(anchors[rows]) if rising else np.minimum.accumulate(anchors[rows])
    found = np.interp(along, along[have][rows], ramp)
    found[have] = anchors
    return np.asarray(found)


def agreement(order: NDArray[np.int64], positions: Values) -> dict[str, float]:
    """Return Kendall's tau and Spearman's rho of an order with known positions."""
    rank = np.argsort(order)
    return {
        "kendall_tau": float(kendalltau(rank, positions)[0]),
        "spearman_rho": float(spearmanr(rank, positions)[0]),
    }
