"""Codes of cells and of nodes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.geometry import Slot
from backend.store import morton

coordinate = st.integers(0, 65_535)


@given(st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=50))
def test_decoding_undoes_encoding(places: list[tuple[int, int]]) -> None:
    x, y = np.array(places, np.uint16).T
    back = morton.decode(morton.encode(x, y))
    np.testing.assert_array_equal(back, [x, y])


def test_the_lowest_bit_of_x_comes_before_that_of_y() -> None:
    codes = morton.encode([0, 1, 0, 1, 2], [0, 0, 1, 1, 0])
    assert codes.tolist() == [0, 1, 2, 3, 4]


@given(st.integers(0, 24), st.data())
def test_a_node_is_found_by_its_global_code(level: int, data: st.DataObject) -> None:
    x, y = (data.draw(st.integers(0, (1 << level) - 1)) for _ in range(2))
    assert morton.node_of(morton.node_code(level, x, y), level) == (x, y)


@given(coordinate, coordinate, st.integers(0, 12), st.data())
def test_a_cell_lies_in_every_node_above_it(
    x: int, y: int, level: int, data: st.DataObject
) -> None:
    sx, sy = (data.draw(st.integers(0, (1 << level) - 1)) for _ in range(2))
    slot = Slot(level, sx, sy)
    code = int(morton.global_codes(slot, morton.encode([x], [y]))[0])
    for above in range(level + 17):
        places = ((sx << 16) + x, (sy << 16) + y)
        expected = tuple(place >> (level + 16 - above) for place in places)
        assert morton.node_of(code, above) == expected


def test_local_range_of_the_slot_itself_is_all_its_codes() -> None:
    assert morton.local_range(Slot(3, 5, 6), 3, 5, 6) == (0, 1 << 32)


def test_a_node_below_one_step_gets_the_code_of_that_step() -> None:
    assert morton.local_range(Slot(0, 0, 0), 18, 5, 0) == (1, 2)


def test_cells_outside_a_slot_are_moved_to_its_edge() -> None:
    steps = morton.quantise([[-5.0, 5.0], [20.0, 9.9999]], (0.0, 0.0), 10.0)
    assert steps.tolist() == [[0, 32_768], [65_535, 65_535]]


@pytest.mark.parametrize("value", [0, 1, 0xFFFF, 0xFFFFFFFF])
def test_gathering_undoes_spreading(value: int) -> None:
    assert int(morton.gather(morton.spread(value))) == value


@pytest.mark.parametrize("n", [1, 300, 70_000])
def test_sorting_cells_is_a_stable_sort_of_their_codes(n: int) -> None:
    rng = np.random.default_rng(n)
    # A few outside the slot, and many at one place.
    xy = rng.normal(50, 30, (n, 2)).round(0 if n < 1000 else 2).astype(np.float32)
    steps = morton.quantise(xy, (-3.0, 2.5), 101.0)
    expected = morton.encode(steps[:, 0], steps[:, 1])
    codes, order = morton.sort_cells(xy, (-3.0, 2.5), 101.0)
    np.testing.assert_array_equal(order, np.argsort(expected, kind="stable"))
    np.testing.assert_array_equal(codes, expected[order])


@pytest.mark.parametrize(("shape", "dtype"), [((9, 2), "f4"), ((9,), "i2"), ((9, 5), "i1")])
def test_rows_are_taken_whole(shape: tuple[int, ...], dtype: str) -> None:
    values = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    order = np.array([8, 0, 3, 3], np.uint32)
    for rows in (values, values[::-1]):
        np.testing.assert_array_equal(morton.take_rows(rows, order), rows[order])
