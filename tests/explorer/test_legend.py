from __future__ import annotations

import json
from typing import Any

from backend.core.layers import Category
from explorer.legend import groups_of, legend, split_missing, tree
from explorer.seen import pixel_rule
from tests.explorer.said import text

REGIONS = (
    Category("L5", "#111111", "Isocortex"),
    Category("L6", "#222222", "Isocortex"),
    Category("CA1", "#333333", "Hippocampus"),
    Category("Elsewhere", "#444444"),
)
COUNTS = {0: 10, 1: 30, 2: 25, 3: 1}


def test_groups_have_most_cells_first_and_sum_their_classes() -> None:
    groups = groups_of(REGIONS, COUNTS)
    assert [(g.name, g.cells) for g in groups] == [("Isocortex", 40), ("Hippocampus", 25), ("", 1)]
    assert [e.name for e in groups[0].entries] == ["L6", "L5"]


def test_a_group_has_the_colour_of_its_largest_class() -> None:
    assert groups_of(REGIONS, COUNTS)[0].colour == "#222222"


def test_groups_can_be_sorted_by_name() -> None:
    groups = groups_of(REGIONS, COUNTS, "name")
    assert [g.name for g in groups] == ["", "Hippocampus", "Isocortex"]


def test_a_class_that_is_a_parent_belongs_to_its_own_group() -> None:
    classes = (Category("Neuron", "#000000"), Category("Granule", "#111111", "Neuron"))
    (group,) = groups_of(classes, {0: 1, 1: 2})
    assert (group.name, group.cells) == ("Neuron", 3)


def drawn(missing: int = 0, counts: dict[int, int] = COUNTS) -> dict[str, Any]:
    rows = legend(groups_of(REGIONS, counts), missing)
    return json.loads(getattr(rows, "data-legend"))


def test_a_legend_lists_code_name_colour_and_cells_of_each_class() -> None:
    first = drawn()["groups"][0]
    assert first["name"] == "Isocortex"
    assert first["rows"] == [[1, "L6", "#222222", 30], [0, "L5", "#111111", 10]]


def test_bars_of_a_legend_are_measured_by_its_largest_row() -> None:
    assert drawn()["most"] == 40
    ungrouped = groups_of(REGIONS[3:], {0: 7})
    assert json.loads(getattr(legend(ungrouped, 0), "data-legend"))["most"] == 7


def test_classes_without_cells_are_left_out_and_counted() -> None:
    data = drawn(counts={0: 5})
    assert [g["name"] for g in data["groups"]] == ["Isocortex"]
    assert data["absent"] == 3


def test_cells_without_a_label_are_part_of_the_total() -> None:
    assert (drawn(missing=7)["missing"], drawn(missing=7)["total"]) == (7, 73)
    assert split_missing({0: 3, -1: 7}) == ({0: 3}, 7)


def test_a_short_legend_is_unfolded() -> None:
    assert all(g["open"] for g in drawn()["groups"])


def test_a_long_legend_is_folded_but_for_its_first_group() -> None:
    many = tuple(Category(f"r{k}", "#000000", f"parent {k % 3}") for k in range(60))
    rows = legend(groups_of(many, dict.fromkeys(range(60), 1)), 0)
    groups = json.loads(getattr(rows, "data-legend"))["groups"]
    assert [g["open"] for g in groups] == [True, False, False]


def test_the_tree_names_its_layer_and_every_class() -> None:
    data = json.loads(getattr(tree(groups_of(REGIONS, COUNTS), "label:region"), "data-tree"))
    assert data["layer"] == "label:region"
    assert [[r[1] for r in g["rows"]] for g in data["groups"]] == [
        ["L6", "L5"],
        ["CA1"],
        ["Elsewhere"],
    ]


def test_the_legend_says_how_a_pixel_gets_its_class() -> None:
    majority, isolated = pixel_rule().children
    assert "commonest class" in text(majority)
    assert "(majority)" in text(majority)
    assert "any cell is of an isolated class" in text(isolated)
    assert (majority.hidden, isolated.hidden) == (False, True)
