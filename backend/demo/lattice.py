"""Cells at even distances: jittered hexagonal lattices, one per tier of density."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from backend.demo.plan import locate

Plane = Callable[[NDArray[np.float64]], NDArray[np.float64]]
Box = tuple[float, float, float, float]

#: Step of the coarse look at the section, micrometres.
COARSE_UM = 50.0
#: Shift of a cell from its lattice point, in lattice steps.
JITTER = 0.34


def lattice_points(
    plane: Plane,
    box: Box,
    densities: NDArray[np.float64],
    n: int,
    rng: np.random.Generator,
    is_round: bool = False,
) -> NDArray[np.float64]:
    """Return ``n`` points (n, 2) in a plane, as dense as the regions they fall into ask.

    Each region takes its points from the lattice of its tier (densities within a factor of two),
    so that even sparse regions look evenly filled. Only blocks of the plane that hold a tier are
    searched for it.
    """
    tiers = np.ceil(np.log2(densities.max() / densities) - 1e-9).astype(np.int64)
    blocks, mass = _coarse(plane, box, densities, tiers, is_round)
    if mass == 0:
        return np.empty((0, 2))
    for plenty in (1.06, 1.2, 1.5, 2.0, 4.0):
        pitch = np.sqrt(mass / (n * plenty) * 2 / np.sqrt(3))
        parts = [
            _tier_points(plane, box, densities, tiers, tier, here, pitch, rng, is_round)
            for tier, here in enumerate(blocks)
        ]
        points = np.concatenate(parts)
        if len(points) >= n:
            return points[np.sort(rng.permutation(len(points))[:n])]
    return points


def _coarse(
    plane: Plane,
    box: Box,
    densities: NDArray[np.float64],
    tiers: NDArray[np.int64],
    is_round: bool,
) -> tuple[list[NDArray[np.bool_]], float]:
    """Return where each tier may occur (coarse grids), and the mass: density summed over area.

    Each coarse cell is looked at in two places, so that thin layers are not missed.
    """
    left, top, right, bottom = box
    x = np.arange(left, right, COARSE_UM)
    y = np.arange(top, bottom, COARSE_UM)
    found = [np.zeros((y.size + 2, x.size + 2), bool) for _ in range(int(tiers.max()) + 1)]
    mass = 0.0
    for dx, dy in ((0.25, 0.25), (0.75, 0.75)):
        gx, gy = np.meshgrid(x + dx * COARSE_UM, y + dy * COARSE_UM)
        leaf = _leaves(plane, box, np.stack([gx.ravel(), gy.ravel()], axis=1), is_round)
        inside = leaf >= 0
        mass += densities[leaf[inside]].sum() * COARSE_UM**2 / 2
        tier = np.where(inside, tiers[leaf], -1).reshape(gx.shape)
        for t, grid in enumerate(found):
            grid[1:-1, 1:-1] |= tier == t
    return [_dilated(grid) for grid in found], mass


def _dilated(grid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a grid with all neighbours of set cells set, its empty rim removed."""
    rows = grid[:-2] | grid[1:-1] | grid[2:]
    return rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]


def _tier_points(
    plane: Plane,
    box: Box,
    densities: NDArray[np.float64],
    tiers: NDArray[np.int64],
    tier: int,
    here: NDArray[np.bool_],
    pitch: float,
    rng: np.random.Generator,
    is_round: bool,
) -> NDArray[np.float64]:
    """Return the points of one tier: its lattice, jittered, thinned to each region's density."""
    step = pitch * 2 ** (tier / 2)
    density = densities.max() / 2**tier
    points = _hexagons(box, step) + rng.uniform(-JITTER, JITTER, 2) * step
    keep = rng.random(len(points))
    points = points + rng.uniform(-JITTER, JITTER, points.shape) * step
    column = ((points[:, 0] - box[0]) // COARSE_UM).astype(np.int64)
    row = ((points[:, 1] - box[1]) // COARSE_UM).astype(np.int64)
    valid = (column >= 0) & (row >= 0) & (column < here.shape[1]) & (row < here.shape[0])
    valid[valid] = here[row[valid], column[valid]]
    points, keep = points[valid], keep[valid]
    leaf = _leaves(plane, box, points, is_round)
    taken = (leaf >= 0) & (tiers[leaf] == tier) & (keep < densities[leaf] / density)
    kept: NDArray[np.float64] = points[taken]
    return kept


def _hexagons(box: Box, step: float) -> NDArray[np.float64]:
    left, top, right, bottom = box
    rows = np.arange(top, bottom + step, step * np.sqrt(0.75))
    columns = np.arange(left, right + step, step)
    x = columns[None, :] + (np.arange(rows.size)[:, None] % 2) * step / 2
    return np.stack([x.ravel(), np.repeat(rows, columns.size)], axis=1)


def _leaves(
    plane: Plane, box: Box, points: NDArray[np.float64], is_round: bool
) -> NDArray[np.int16]:
    """Return the region of points of the plane, -1 outside the brain or the round window."""
    brain = plane(points)
    leaf = locate(brain[:, 0], brain[:, 1], brain[:, 2]).leaf
    if not is_round:
        return leaf
    left, top, right, bottom = box
    x = (2 * points[:, 0] - left - right) / (right - left)
    y = (2 * points[:, 1] - top - bottom) / (bottom - top)
    return np.where(x * x + y * y < 1, leaf, np.int16(-1))
