from __future__ import annotations

from explorer.label_figures import (
    LabelsAt,
    heat_figure,
    match_table,
    parse_at,
    river_figure,
    shown_order,
    write_at,
)
from explorer.views.labels import clicked_pair, settled
from tests.explorer.said import text

OVERLAP = {
    "of": "A",
    "by": "B",
    "rows": ["few", "many"],
    "columns": ["p", "q", "r"],
    "share": [[0.1, 0.9, 0.0], [0.0, 0.2, 0.8]],
    "counts": [10, 90],
}
FOUND = {"labels": {"type": {"overlaps": [OVERLAP], "matches": []}}}


def test_state_of_the_tool_survives_the_link() -> None:
    at = LabelsAt("job", "type", "A", "B", "river", (1, 2))
    assert parse_at(write_at(at)) == at
    assert parse_at("job") == LabelsAt("job")
    assert parse_at("job|type|A|B|pie|x,y") == LabelsAt("job", "type", "A", "B")


def test_what_the_link_leaves_open_is_taken_from_the_result() -> None:
    at = settled(FOUND, LabelsAt("job"))
    assert (at.label, at.of, at.by) == ("type", "A", "B")


def test_large_classes_come_first_and_their_names_on_the_diagonal() -> None:
    assert shown_order(OVERLAP) == ([1, 0], [2, 1, 0])


def test_heat_map_shows_shares_and_counts() -> None:
    figure = heat_figure(OVERLAP, (1, 2))
    assert list(figure.data[0].y) == ["many", "few"]
    assert list(figure.data[0].z[0]) == [0.8, 0.2, 0.0]
    assert figure.data[0].customdata[0][0][2] == 0.8 * 90
    assert len(figure.layout.shapes) == 1


def test_river_carries_cells_and_leaves_out_trickles() -> None:
    figure = river_figure(OVERLAP, {"many": "#123456"})
    assert sorted(figure.data[0].link.value) == [1.0, 9.0, 18.0, 72.0]
    assert figure.data[0].node.color[0] == "#123456"


def test_click_tells_row_and_column() -> None:
    square = {"points": [{"x": "r", "y": "many"}]}
    assert clicked_pair(square, OVERLAP) == (1, 2)
    stream = {"points": [{"source": {"label": "few"}, "target": {"label": "q"}}]}
    assert clicked_pair(stream, OVERLAP) == (0, 1)
    assert clicked_pair({"points": [{"label": "few"}]}, OVERLAP) is None
    assert clicked_pair(None, OVERLAP) is None


def test_table_says_what_a_class_is() -> None:
    match = {"name": "few", "cells": 10, "relation": "part of", "counterpart": "q",
             "score": 0.9, "back": 0.1}  # fmt: skip
    assert "few 10 part of q 0.90 0.10" in text(match_table([match]))
