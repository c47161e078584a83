"""Tools, the menu that opens them, and the runs that they start."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from dash import html

from explorer import runs, tools
from explorer.state import View, from_query, to_query
from explorer.views.jobs import job_list
from tests.explorer.said import having, text

if TYPE_CHECKING:
    from dash import Dash

    from backend.service import Backend


@dataclass
class Weigh:
    NAME: str = "weights"
    TITLE: str = "Weights"
    HINT: str = "What each modality adds"
    GLYPH: str = "weight"
    JOBS: tuple[tuple[str, str], ...] = (("spatialglue", "integrate_modalities"),)

    def layout(self, backend: Backend) -> html.Div:
        return html.Div("the body")

    def register(self, app: Dash, backend: Backend) -> None:
        """Listen to nothing."""


def test_without_tools_there_is_no_menu() -> None:
    assert tools.menu(()) is None


def test_the_menu_names_each_tool_and_what_it_is_for() -> None:
    shown = text(tools.menu([Weigh()]))
    assert "Analyse" in shown
    assert "What each modality adds" in shown


def test_the_panel_holds_each_tool_hidden(backend: Backend) -> None:
    panel = tools.panel([Weigh()], backend)
    assert panel.hidden
    assert [c.hidden for c in having(panel, "data-tool", "weights")] == [True]
    assert "the body" in text(panel)


def test_every_listed_tool_has_a_name_of_its_own() -> None:
    names = [tool.NAME for tool in tools.TOOLS]
    assert len(names) == len(set(names))
    assert all(tool.TITLE and tool.HINT for tool in tools.TOOLS)


def test_a_tool_and_its_state_are_in_the_link() -> None:
    view = View(tool="weights", using="k=5,by region")
    assert from_query(to_query(view)) == view
    assert len(from_query("using=" + "x" * 9999).using) == 600


def job(state: str, **more: object) -> dict[str, object]:
    return {
        "id": "a" * 32,
        "model": "spatialglue",
        "verb": "integrate_modalities",
        "state": state,
        "inputs": {},
        "fraction": 0.5,
        "message": "Fitting",
        "seconds_left": None,
        "position": None,
        **more,
    }


def test_a_finished_job_is_shown_by_its_tool() -> None:
    shown = job_list([job("done")], tools.tools_of_jobs([Weigh()]))
    assert having(shown, "data-value", "weights|" + "a" * 32)


def test_a_run_button_carries_what_it_asks_for() -> None:
    made = runs.run_button(
        "Weigh", "spatialglue", "integrate_modalities", {"k": 5}, {"section": "s"}
    )
    asked = json.loads(made.to_plotly_json()["props"]["data-value"])
    assert asked["inputs"] == {"section": "s"}
    assert asked["params"] == {"k": 5}


def test_a_finished_run_leaves_room_for_its_result() -> None:
    assert runs.unfinished(job("done"), "No") is None


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (job("running"), "Fitting"),
        (job("failed", error={"message": "Two spots share a place.", "hint": []}), "share a place"),
        (job("cancelled"), "Nothing was written"),
    ],
)
def test_an_unfinished_run_says_where_it_is(found: dict[str, object], words: str) -> None:
    assert words in text(html.Div(runs.unfinished(found, "It could not be weighed")))


def test_a_job_is_found_by_the_state_of_the_tool() -> None:
    assert runs.job_of([job("done")], "a" * 32) is not None
    assert runs.job_of([job("done")], "a" * 32 + ",features") is not None
    assert runs.job_of([job("done")], "a" * 32 + "|type") is not None
    assert runs.job_of(None, "k=5") is None
