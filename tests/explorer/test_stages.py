"""Stages of a tool: form, message of its run, result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dash import html

from explorer import runs, stages
from tests.explorer.said import having, text

if TYPE_CHECKING:
    from backend.service import Backend

JOB = {"id": "a" * 32, "model": "fusemap", "verb": "panel", "state": "done"}
TOOL = {"tool": "panels", "using": "a" * 32 + ",type", "section": "s"}
DONE = {"job": "a" * 32, "is_done": True}
WAITS = {"job": "a" * 32, "is_done": False}


def test_a_tool_shows_its_form_its_progress_or_its_result() -> None:
    assert stages.shown_stage(False, None) == (False, True, True, None)
    assert stages.shown_stage(False, "loading") == (True, False, True, "loading")
    assert stages.shown_stage(True, "half way") == (True, False, True, "half way")
    assert stages.shown_stage(True, None) == (True, True, False, None)


def test_the_body_begins_with_the_form() -> None:
    body = stages.staged("panels", "the form", "the result")
    assert text(body) == "the form the result"
    assert [c.id for c in having(body, "hidden", True)] == ["panels-message", "panels-result"]


def test_a_result_is_drawn_once_its_run_is_done_and_its_tool_open() -> None:
    assert stages.finished_using(TOOL, DONE, "panels") == TOOL["using"]
    assert stages.finished_using(TOOL, DONE, "contacts") is None
    assert stages.finished_using(TOOL, WAITS, "panels") is None
    assert stages.finished_using({**TOOL, "using": "b" * 32}, DONE, "panels") is None
    assert stages.finished_using({**TOOL, "using": ""}, DONE, "panels") is None
    assert stages.finished_using(None, None, "panels") is None


@pytest.mark.parametrize(
    ("before", "now", "awaited"),
    [
        (WAITS, DONE, True),
        (None, DONE, False),
        (DONE, DONE, False),
        (WAITS, WAITS, False),
        (WAITS, None, False),
        ({**WAITS, "job": "b" * 32}, DONE, False),
    ],
)
def test_only_a_run_that_was_waited_for_steers_the_view(
    before: dict[str, object] | None, now: dict[str, object] | None, awaited: bool
) -> None:
    assert stages.was_awaited(before, now) is awaited


def test_a_result_that_is_gone_and_a_run_of_another_tool_say_so(backend: Backend) -> None:
    gone = runs.message_of(backend, JOB, {"panel": "No panel could be chosen"})
    other = runs.message_of(backend, JOB, {"contacts": "Contacts could not be counted"})
    assert "The result is gone" in text(html.Div(gone))
    assert "another analysis" in text(html.Div(other))
