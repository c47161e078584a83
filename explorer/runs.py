"""Runs that a tool starts: the button, and what is shown until there is a result."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dash import html

from explorer.cards import error_card, job_progress
from explorer.components import Child, button

ACTIVE = ("queued", "running")


def run_button(
    label: str,
    model: str,
    verb: str,
    params: Mapping[str, Any],
    inputs: Mapping[str, Any],
    disabled: bool = False,
) -> html.Button:
    """Return the button that starts a job; the link then names it in ``using``.

    Parameters
    ----------
    label : str
        Names the act and its size, such as ``Weigh 3,484 spots``.
    params, inputs : mapping
        As ``POST /api/jobs`` takes them.
    """
    asked = {"model": model, "verb": verb, "params": dict(params), "inputs": dict(inputs)}
    return button(label, "run", json.dumps(asked), kind="pri", disabled=disabled)


def job_of(jobs: Sequence[Mapping[str, Any]] | None, using: str) -> Mapping[str, Any] | None:
    """Return the job that ``using`` names, alone or before a comma, or None."""
    return next((j for j in jobs or () if j["id"] == using.partition(",")[0]), None)


def unfinished(job: Mapping[str, Any], title: str) -> list[Child] | None:
    """Return progress with cancel, or the error of a job; None when it is done.

    Parameters
    ----------
    title : str
        Heading of the error card, such as ``The section could not be weighed``.
    """
    state = job["state"]
    if state == "done":
        return None
    if state in ACTIVE:
        close = html.P("You can close this tab. The link brings you back.", className="s t3 gap")
        return [html.Div([html.Div(job_progress(job)), close], className="sec runbox")]
    error = job.get("error") or {"message": "The run stopped."}
    if state == "cancelled":
        error = {"message": "The run was cancelled.", "hint": ["Nothing was written."]}
    again = [button("Start anew", "using", "", kind="pri")]
    return [html.Div(error_card(title, error, again, str(job["id"])), className="sec runbox")]


def stage(job: Mapping[str, Any] | None, message: Child) -> tuple[bool, bool, bool, Child]:
    """Return whether form, message and result of a tool are hidden, and the message.

    Parameters
    ----------
    job : mapping or None
        The job that the link names; without one the form is shown.
    message : component or None
        Progress or an error; without one the result is shown.
    """
    if job is None:
        return False, True, True, None
    return True, message is None, message is not None, message
