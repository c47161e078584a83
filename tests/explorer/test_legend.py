from __future__ import annotations

from backend.core.layers import Category
from explorer.legend import groups_of, legend, split_missing, tree
from tests.explorer.said import having, text

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


def test_a_parent_row_isolates_all_its_classes() -> None:
    rows = having(legend(groups_of(REGIONS, COUNTS), 0), "data-act", "isolate")
    assert [getattr(r, "data-value") for r in rows] == ["1,0", "1", "0", "2", "2", "3"]


def test_legend_rows_are_toggle_buttons_that_say_name_and_count() -> None:
    rows = having(legend(groups_of(REGIONS, COUNTS), 0), "data-act", "isolate")
    assert {getattr(r, "aria-pressed") for r in rows} == {"false"}
    assert getattr(rows[0], "aria-label") == "Isocortex, 40 cells, 61 %"


def test_classes_without_cells_are_left_out_and_counted() -> None:
    said = text(legend(groups_of(REGIONS, {0: 5}), 0))
    assert "CA1" not in said
    assert "3 classes without cells on screen" in said


def test_cells_without_a_label_have_a_row() -> None:
    assert "Without label" in text(legend(groups_of(REGIONS, COUNTS), 7))
    assert split_missing({0: 3, -1: 7}) == ({0: 3}, 7)


def test_the_tree_has_a_box_for_each_class_and_each_parent() -> None:
    boxes = having(tree(groups_of(REGIONS, COUNTS), "label:region"), "data-act", "check")
    assert [getattr(b, "data-value") for b in boxes] == ["1,0", "1", "0", "2", "2", "3"]
    assert {b.role for b in boxes} == {"checkbox"}
