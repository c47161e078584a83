import numpy as np
import pytest

from backend.analysis.registration.affine import RIGID, STAY, Affine, Freedom, about, fit, rotation

SQUARE = np.array([[0.0, 0.0], [100.0, 0.0], [100.0, 100.0], [0.0, 100.0]])
ONES = np.ones(4)


def test_a_turn_is_found_exactly():
    goal = about(rotation(30.0), [50.0, 50.0], [10.0, 20.0])(SQUARE)
    found = fit(SQUARE, goal, ONES, RIGID, STAY)
    np.testing.assert_allclose(found(SQUARE), goal, atol=1e-9)
    assert found.rotation_deg == pytest.approx(30.0)


def test_a_mirrored_map_stays_mirrored():
    like = Affine(rotation(0.0, mirrored=True), np.zeros(2))
    assert fit(SQUARE, SQUARE, ONES, RIGID, like).is_mirrored


def test_scale_is_held_within_its_bounds():
    found = fit(SQUARE, 3.0 * SQUARE, ONES, Freedom(1.05, 1.03), STAY)
    np.testing.assert_allclose(np.linalg.svd(found.matrix)[1], [1.05, 1.05])


def test_points_on_a_line_leave_the_map_as_it_was():
    line = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    assert fit(line, line + 5, np.ones(3), RIGID, STAY) is STAY


def test_the_inverse_undoes_the_map():
    made = about(1.1 * rotation(200.0, True), [1.0, 2.0], [3.0, 4.0])
    np.testing.assert_allclose(made.then(made.inverse())(SQUARE), SQUARE, atol=1e-9)
