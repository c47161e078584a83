"""Runs that a tool starts: the button, and what is shown until there is a result."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dash import html

from backend.core.errors import AtlasError
from explorer.cards import error_card, job_progress
from explorer.components import Child, button, note

if TYPE_CHECKING:
    from backend.service import Backend

ACTIVE = ("queued", "running")
#: A job as ``GET /api/jobs/<id>`` tells it.
Job = Mapping[str, Any]


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


def id_of(using: str) -> str:
    """Return the id of the job in the state of a tool: what is before a comma or a bar."""
    return re.split("[,|]", using, maxsplit=1)[0]


def is_job(text: str) -> bool:
    """Return whether a text is the id of a job, known or not."""
    return re.fullmatch("[0-9a-f]{32}", text) is not None


def job_of(jobs: Sequence[Job] | None, using: str) -> Job | None:
    """Return the job that ``using`` names, alone or before more, or None."""
    return next((j for j in jobs or () if j["id"] == id_of(using)), None)


def message_of(backend: Backend, job: Job, trouble: Mapping[str, str]) -> list[Child] | None:
    """Return what is shown in the stead of a result: progress, an error, or why it is gone.

    Parameters
    ----------
    trouble : mapping
        Verbs of the tool, each to the heading of its error card.
    """
    title = trouble.get(str(job["verb"]))
    if title is None:
        text = "The link names a run of another analysis. Jobs, at the top, opens it."
        return [html.Div(note(text), className="sec runbox")]
    waiting = unfinished(job, title)
    if waiting is not None:
        return waiting
    try:
        backend.result(str(job["id"]))
    except AtlasError as error:
        card = error_card("The result is gone", error.as_json(), [anew()])
        return [html.Div(card, className="sec runbox")]
    return None


def unfinished(job: Job, title: str) -> list[Child] | None:
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
    return [html.Div(error_card(title, error, [anew()], str(job["id"])), className="sec runbox")]


def anew() -> html.Button:
    """Return the button that leads back to the form."""
    return button("Start anew", "using", "", kind="pri")
