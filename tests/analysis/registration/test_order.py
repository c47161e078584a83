import numpy as np
import pytest

from backend.analysis.registration.order import agreement, order_sections, positions_of
from backend.core.errors import BadRequest


def _sections(n=30, seed=0):
    """Return positions and compositions of sections through regions that follow one another."""
    rng = np.random.default_rng(seed)
    at = np.linspace(0, 1, n)
    middles = np.linspace(0, 1, 10)
    return at, rng.poisson(400 * np.exp(-(((at[:, None] - middles) / 0.15) ** 2)))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_shuffled_sections_come_back_in_order(seed):
    at, counts = _sections(seed=seed)
    shuffled = np.random.default_rng(seed).permutation(len(at))
    order = order_sections(counts[shuffled], list(at[shuffled]))
    assert agreement(order, at[shuffled])["kendall_tau"] > 0.98


def test_two_known_positions_decide_the_direction():
    _, counts = _sections()
    known = [None] * 30
    known[3], known[25] = 9.0, 1.0
    order = order_sections(counts, known)
    assert list(order).index(25) < list(order).index(3)


def test_without_positions_the_first_section_lies_in_the_first_half():
    _, counts = _sections()
    assert list(order_sections(counts)).index(0) < 15


def test_positions_between_known_ones_grow_with_the_change_of_composition():
    counts = np.array([[10, 0], [9, 1], [0, 10]])
    found = positions_of(np.array([0, 1, 2]), counts, [1.0, None, 3.0])
    assert found[0] == 1.0
    assert found[2] == 3.0
    assert 1.0 < found[1] < 2.0


def test_one_known_position_is_not_enough():
    with pytest.raises(BadRequest, match="two or more"):
        positions_of(np.array([0, 1]), np.ones((2, 2)), [1.0, None])


def test_compositions_below_zero_are_refused():
    with pytest.raises(BadRequest, match="none below 0"):
        order_sections(np.array([[1.0, -1.0], [0.0, 1.0]]))
