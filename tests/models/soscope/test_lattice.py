import numpy as np
import pytest

from backend.core.errors import BadRequest
from backend.models.soscope.lattice import fit_lattice
from tests.models.soscope.planted import grid


def turned(xy: np.ndarray, degrees: float) -> np.ndarray:
    a = np.radians(degrees)
    return xy @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])


def hexagons(side: int = 12, pitch: float = 100.0) -> np.ndarray:
    row, column = np.divmod(np.arange(side * side), side)
    return np.column_stack([column + row % 2 / 2, row * np.sqrt(3) / 2]) * pitch


@pytest.mark.parametrize("degrees", [0, 17, 45])
def test_a_square_lattice_is_found_in_any_direction_though_spots_jitter(degrees: float) -> None:
    rng = np.random.default_rng(0)
    xy = turned(grid(15, 200), degrees) + rng.normal(0, 8, (225, 2))
    found = fit_lattice(xy)
    assert found.shape == "square"
    assert found.pitch == pytest.approx(200, rel=0.01)
    assert len(np.unique(found.sites, axis=0)) == 225
    assert np.ptp(found.sites, axis=0).tolist() == [14, 14]
    assert 0.03 < found.jitter < 0.08


def test_a_hexagonal_lattice_is_told_from_a_square_one() -> None:
    found = fit_lattice(turned(hexagons(), 8))
    assert found.shape == "hexagon"
    assert found.pitch == pytest.approx(100)
    assert len(np.unique(found.sites, axis=0)) == 144
    assert found.jitter < 1e-6


def test_too_few_spots_and_spots_at_one_place_are_refused() -> None:
    with pytest.raises(BadRequest, match="3 spots"):
        fit_lattice(np.zeros((3, 2)))
    with pytest.raises(BadRequest, match="at one place"):
        fit_lattice(np.zeros((20, 2)))
