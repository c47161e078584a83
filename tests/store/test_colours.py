"""Colours of categories."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from backend.core.layers import Category
from backend.store import colours


def test_colours_of_the_file_stay() -> None:
    given = (Category("a", "#123456"), Category("b", ""))
    done = colours.complete(given)
    assert done[0].colour == "#123456"
    assert colours.is_colour(done[1].colour)


def test_a_name_has_one_colour_whatever_the_order() -> None:
    names = [Category(f"type {i}", "") for i in range(40)]
    assert colours.generate(names) == colours.generate(names[::-1])


def test_the_few_colours_differ_in_oklab() -> None:
    pairs = itertools.combinations([colours.oklab(c) for c in colours.FEW], 2)
    assert min(np.linalg.norm(a - b) for a, b in pairs) > 0.10


@pytest.mark.parametrize("n", [13, 60, 300])
def test_lightness_works_on_both_canvases(n: int) -> None:
    many = [Category(f"t{i}", "", f"family {i % 9}") for i in range(n)]
    light = [colours.oklab(c)[0] for c in colours.generate(many).values()]
    assert min(light) > 0.40
    assert max(light) < 0.89


def test_children_share_the_hue_of_their_parent() -> None:
    many = [Category(f"t{i}", "", f"family {i % 7}") for i in range(28)]
    made = colours.generate(many)

    def hue(name: str) -> float:
        _, a, b = colours.oklab(made[name])
        return float(np.degrees(np.arctan2(b, a)))

    for family in range(7):
        hues = np.array([hue(c.name) for c in many if c.parent == f"family {family}"])
        assert np.abs((hues - hues[0] + 180) % 360 - 180).max() < 25


def test_fibre_tracts_are_grey() -> None:
    many = [Category(f"t{i}", "", "Fibre tracts" if i < 4 else "Cortex") for i in range(20)]
    _, a, b = colours.oklab(colours.generate(many)["t2"])
    assert np.hypot(a, b) < 0.03


def test_numbers_in_names_sort_as_numbers() -> None:
    assert sorted(["L10", "L2", "l1"], key=colours.natural) == ["l1", "L2", "L10"]


def test_names_that_differ_in_case_only_have_one_order() -> None:
    names = ["Glia", "glia", "L10", "L2", "GLIA"]
    assert (
        colours.in_order(names)
        == colours.in_order(names[::-1])
        == ["GLIA", "Glia", "glia", "L2", "L10"]
    )
