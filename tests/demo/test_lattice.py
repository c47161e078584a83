"""Cells lie as densely as their region asks, and never outside the brain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from backend.demo.lattice import lattice_points
from backend.demo.plan import locate
from backend.demo.regions import region_codes, regions

BOX = (-5_700.0, 0.0, 5_700.0, 8_000.0)


def middle_plane(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([points, np.full(len(points), -1_900.0)])


def placed(n: int) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
    density = np.array([r.density for r in regions()])
    points = lattice_points(middle_plane, BOX, density, n, np.random.default_rng(4))
    brain = middle_plane(points)
    return points, locate(*brain.T).leaf


def test_as_many_points_as_wanted_all_in_tissue() -> None:
    points, leaf = placed(3_000)
    assert len(points) == 3_000
    assert (leaf >= 0).all()


def test_dense_regions_hold_more_cells_per_area() -> None:
    points, leaf = placed(6_000)
    codes = region_codes()
    gap, _ = cKDTree(points).query(points, k=2)
    typical = {n: np.median(gap[leaf == codes[n], 1]) for n in ("Dentate granule", "L5", "L1")}
    assert typical["Dentate granule"] < 0.75 * typical["L5"]
    assert typical["L5"] < typical["L1"]


def test_cells_do_not_lie_on_one_another() -> None:
    points, _ = placed(3_000)
    gap, _ = cKDTree(points).query(points, k=2)
    assert np.quantile(gap[:, 1], 0.02) > 0.2 * np.median(gap[:, 1])


def test_a_round_window_keeps_its_ellipse() -> None:
    box = (0.0, 1_000.0, 3_000.0, 4_000.0)
    density = np.ones(len(regions()))
    points = lattice_points(middle_plane, box, density, 500, np.random.default_rng(1), True)
    assert len(points) == 500
    assert (np.hypot(points[:, 0] - 1_500, points[:, 1] - 2_500) < 1_501).all()


def test_a_plane_beside_the_brain_has_no_points() -> None:
    beside = (20_000.0, 0.0, 22_000.0, 2_000.0)
    density = np.ones(len(regions()))
    points = lattice_points(middle_plane, beside, density, 50, np.random.default_rng(1))
    assert points.shape == (0, 2)
