from __future__ import annotations

import numpy as np

from backend.models.fusemap.harmonise import Overlap, harmonised, matches, overlap


def test_overlap_is_the_mean_probability_over_the_cells_of_a_class() -> None:
    codes = np.array([0, 0, 2, -1])
    said = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [1.0, 0.0]])
    found = overlap("A", "B", (codes, ["x", "none of it", "y"]), (said, ["p", "q"]))
    assert found.rows == ("x", "y")
    np.testing.assert_allclose(found.share, [[0.75, 0.25], [0, 1]])
    assert found.counts.tolist() == [2, 1]


def forth() -> Overlap:
    share = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.5, 0.4]])
    names = ("L5 a", "L5 b", "Astro", "Odd")
    return Overlap("A", "B", names, ("L5", "Astrocyte"), share, np.array([60, 10, 50, 5]))


def back() -> Overlap:
    share = np.array([[0.7, 0.2, 0.1, 0.0], [0.0, 0.05, 0.95, 0.0]])
    names = ("L5 a", "L5 b", "Astro", "Odd")
    return Overlap("B", "A", ("L5", "Astrocyte"), names, share, np.array([80, 40]))


def test_classes_that_name_each_other_are_the_same_and_finer_ones_a_part() -> None:
    found = {m.name: (m.relation, m.counterpart) for m in matches(forth(), back())}
    assert found["L5 a"] == ("same", "L5")
    assert found["L5 b"] == ("part of", "L5")
    assert found["Astro"] == ("same", "Astrocyte")


def test_class_that_gets_no_name_for_half_of_its_cells_has_no_counterpart() -> None:
    poor = Overlap("A", "B", ("Odd",), ("p", "q"), np.array([[0.45, 0.4]]), np.array([9]))
    (only,) = matches(poor, None)
    assert (only.relation, only.counterpart) == ("no counterpart", "")


def test_harmonised_classes_hold_their_members_and_the_parts_of_them() -> None:
    listed = harmonised(matches(forth(), back()) + matches(back(), forth()))
    held = {(m.dataset, m.name): (m.harmonised, m.relation) for m in listed}
    assert held["A", "L5 a"] == held["B", "L5"] == ("L5", "same")
    assert held["A", "L5 b"] == ("L5", "part of")
    assert held["A", "Astro"] == held["B", "Astrocyte"] == ("Astro", "same")


def test_two_classes_of_one_data_set_are_never_made_one() -> None:
    share = np.array([[0.9], [0.9]])
    ab = Overlap("A", "B", ("x", "y"), ("p",), share, np.array([5, 5]))
    ba = Overlap("B", "A", ("p",), ("x", "y"), np.array([[0.5, 0.5]]), np.array([9]))
    held = {m.name: m.harmonised for m in harmonised(matches(ab, ba) + matches(ba, ab))}
    assert held["x"] != held["y"]
