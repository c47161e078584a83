"""Contacts expected by chance: neighbouring pairs counted after many local shifts of the cells."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from backend.core.job import RunContext

Null = Literal["places", "free"]
#: Side of a square in which the mean distance of two random points (0.5214 sides) is that of a
#: shift uniform in a disc (2/3 of its radius).
SIDE_PER_REACH = 2 / 3 / 0.5214
#: Shifted cells between two reports of progress.
CELLS_PER_REPORT = 4_000_000


class Tally(NamedTuple):
    """Pairs in contact between types of one patch: as observed, and over shifts of the cells.

    observed : (k, k) int64, upper triangle; same-type pairs are counted once
    total, square : (k, k) float64, sums over shifts of (count - observed) and its square
    n_shifts : int
    """

    observed: NDArray[np.int64]
    total: NDArray[np.float64]
    square: NDArray[np.float64]
    n_shifts: int

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean count over the shifts, (k, k)."""
        return np.asarray(self.observed + self.total / self.n_shifts)

    @property
    def variance(self) -> NDArray[np.float64]:
        """Variance of the count over the shifts, (k, k)."""
        mean = self.total / self.n_shifts
        return np.asarray(np.maximum(self.square / self.n_shifts - mean**2, 0.0))


def neighbour_pairs(xy: NDArray[np.floating[Any]], radius_um: float) -> NDArray[np.int32]:
    """Return all pairs of cells nearer than ``radius_um``, (p, 2) int32, each once."""
    if len(xy) < 2:
        return np.empty((0, 2), np.int32)
    pairs = cKDTree(xy).query_pairs(radius_um, output_type="ndarray")
    return np.asarray(pairs, np.int32)


def tally(
    xy: NDArray[np.floating[Any]],
    types: NDArray[np.integer[Any]],
    n_types: int,
    *,
    null: Null = "places",
    radius_um: float = 30.0,
    reach_um: float = 100.0,
    n_shifts: int = 1000,
    seed: int = 0,
    ctx: RunContext | None = None,
) -> Tally:
    """Return the contacts of one patch, as observed and over shifts of its cells.

    Parameters
    ----------
    xy : (n, 2) float
        Cells of one region of one section, micrometres.
    types : (n,) int
        Type of each cell, 0 .. n_types - 1.
    null : "places" or "free"
        Where shifted cells go. "places": to places that cells of the patch occupy, by exchanging
        types within squares of a grid with a random origin, whose mean shift is that of "free".
        "free": anywhere in a disc of ``reach_um``, as published.
    radius_um : float
        Two cells nearer than this are in contact.
    reach_um : float
        Longest free shift.
    seed : int
    ctx : RunContext, optional
        Told of progress; asked whether to stop.

    Notes
    -----
    FuseMap (He et al. 2024), cell-cell interactions, after Zhang et al., Nature 624, 343 (2023):
    1,000 shifts uniform in a disc of 100 um, contacts nearer than 30 um. Free shifts also undo
    what has nothing to do with types (cells do not overlap, tissue ends), so that with them
    nearly every pair of types differs from chance; see the figures in the changelog.
    """
    ctx = ctx or RunContext()
    cells = np.ascontiguousarray(xy, np.float64)
    codes = np.ascontiguousarray(types, np.int32)
    pairs = neighbour_pairs(cells, radius_um)
    observed = np.zeros((n_types, n_types), np.int64)
    _count_pairs(pairs, codes, observed)
    total, square = np.zeros(observed.shape), np.zeros(observed.shape)
    state = np.array([seed], np.uint64)
    step = max(1, min(n_shifts, CELLS_PER_REPORT // max(len(cells), 1)))
    for done in range(0, n_shifts, step):
        n = min(step, n_shifts - done)
        if null == "free":
            _shift_free(cells, codes, radius_um, reach_um, n, state, observed, total, square)
        else:
            side = SIDE_PER_REACH * reach_um
            _shift_places(cells, codes, pairs, side, n, state, observed, total, square)
        ctx.step((done + n) / n_shifts, "Shifting cells")
    return Tally(observed, total, square, n_shifts)


@numba.njit(cache=True, nogil=True)
def _uniform(state: Any) -> float:
    """Return the next number in [0, 1): splitmix64 (Steele et al. 2014)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) / 9007199254740992.0


@numba.njit(cache=True, nogil=True)
def _count_pairs(pairs: Any, codes: Any, count: Any) -> None:
    for p in range(len(pairs)):
        a, b = codes[pairs[p, 0]], codes[pairs[p, 1]]
        count[min(a, b), max(a, b)] += 1


@numba.njit(cache=True, nogil=True)
def _add(count: Any, observed: Any, total: Any, square: Any) -> None:
    for a in range(len(count)):
        for b in range(a, len(count)):
            d = float(count[a, b] - observed[a, b])
            total[a, b] += d
            square[a, b] += d * d


@numba.njit(cache=True, nogil=True)
def _into_bins(xy: Any, left: float, top: float, side: float, nx: int, ny: int, bins: Any) -> Any:
    """Write the bin of each cell; return bin edges and the cells bin by bin."""
    first = np.zeros(nx * ny + 1, np.int32)
    for i in range(len(xy)):
        bins[i] = int((xy[i, 1] - top) / side) * nx + int((xy[i, 0] - left) / side)
        first[bins[i] + 1] += 1
    for k in range(nx * ny):
        first[k + 1] += first[k]
    order = np.empty(len(xy), np.int32)
    at = first[:-1].copy()
    for i in range(len(xy)):
        order[at[bins[i]]] = i
        at[bins[i]] += 1
    return first, order


@numba.njit(cache=True, nogil=True)
def _shift_places(
    xy: Any, codes: Any, pairs: Any, side: float, n: int, state: Any,
    observed: Any, total: Any, square: Any,
) -> None:  # fmt: skip
    left, top = xy[:, 0].min(), xy[:, 1].min()
    nx = int((xy[:, 0].max() - left) / side) + 2
    ny = int((xy[:, 1].max() - top) / side) + 2
    bins = np.empty(len(xy), np.int32)
    moved = np.empty_like(codes)
    count = np.empty_like(observed)
    for _ in range(n):
        dx, dy = _uniform(state) * side, _uniform(state) * side
        first, order = _into_bins(xy, left - dx, top - dy, side, nx, ny, bins)
        for k in range(nx * ny):
            lo, m = first[k], first[k + 1] - first[k]
            for i in range(m):
                moved[order[lo + i]] = codes[order[lo + i]]
            for i in range(m - 1, 0, -1):  # Fisher and Yates
                j = int(_uniform(state) * (i + 1))
                p, q = order[lo + i], order[lo + j]
                moved[p], moved[q] = moved[q], moved[p]
        count[:] = 0
        _count_pairs(pairs, moved, count)
        _add(count, observed, total, square)


@numba.njit(cache=True, nogil=True)
def _shift_free(
    xy: Any, codes: Any, radius: float, reach: float, n: int, state: Any,
    observed: Any, total: Any, square: Any,
) -> None:  # fmt: skip
    left, top = xy[:, 0].min() - reach, xy[:, 1].min() - reach
    nx = int((xy[:, 0].max() + reach - left) / radius) + 1
    ny = int((xy[:, 1].max() + reach - top) / radius) + 1
    bins = np.empty(len(xy), np.int32)
    moved = np.empty_like(xy)
    count = np.empty_like(observed)
    for _ in range(n):
        for i in range(len(xy)):
            x, y = 1.0, 1.0
            while x * x + y * y > 1.0:
                x, y = 2 * _uniform(state) - 1, 2 * _uniform(state) - 1
            moved[i, 0], moved[i, 1] = xy[i, 0] + reach * x, xy[i, 1] + reach * y
        first, order = _into_bins(moved, left, top, radius, nx, ny, bins)
        count[:] = 0
        _count_near(moved, codes, radius, nx, ny, first, order, count)
        _add(count, observed, total, square)


@numba.njit(cache=True, nogil=True)
def _count_near(
    xy: Any, codes: Any, radius: float, nx: int, ny: int, first: Any, order: Any, count: Any
) -> None:
    """Count pairs nearer than ``radius``: each bin with itself and with half of those around it."""
    limit = radius * radius
    for row in range(ny):
        for column in range(nx):
            k = row * nx + column
            for p in range(first[k], first[k + 1]):
                i = order[p]
                for q in range(p + 1, first[k + 1]):
                    _count_one(xy, codes, i, order[q], limit, count)
                if column + 1 < nx:
                    for q in range(first[k + 1], first[k + 2]):
                        _count_one(xy, codes, i, order[q], limit, count)
                if row + 1 < ny:
                    lo = k + nx - (1 if column > 0 else 0)
                    hi = k + nx + (1 if column + 1 < nx else 0)
                    for q in range(first[lo], first[hi + 1]):
                        _count_one(xy, codes, i, order[q], limit, count)


@numba.njit(cache=True, nogil=True)
def _count_one(xy: Any, codes: Any, i: int, j: int, limit: float, count: Any) -> None:
    dx, dy = xy[i, 0] - xy[j, 0], xy[i, 1] - xy[j, 1]
    if dx * dx + dy * dy <= limit:
        a, b = codes[i], codes[j]
        count[min(a, b), max(a, b)] += 1
