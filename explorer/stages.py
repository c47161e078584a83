"""Stages of a tool: its form, what is said of its run, or its result; one of them is shown.

The body of such a tool is ``staged``. ``follow`` shows the stage that the job of the link calls
for, and writes what it knows of the job to the store ``stages_of(name).run``: the tool draws its
result when that store changes (``finished_using``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dash import Dash, Input, Output, State, dcc, html, no_update

from explorer import ids
from explorer.components import Child, skeleton
from explorer.runs import Job, id_of, is_job, job_of, message_of

if TYPE_CHECKING:
    from backend.service import Backend


class Stages(NamedTuple):
    """Ids of the form, the message and the result of a tool, and of the store of its run.

    The store holds None, or {"job", "is_done"} of the job that the link names.
    """

    form: str
    message: str
    result: str
    run: str


def stages_of(name: str) -> Stages:
    """Return the ids of the parts of a tool."""
    return Stages(f"{name}-form", f"{name}-message", f"{name}-result", f"{name}-followed")


def staged(name: str, form: Child, result: Child) -> html.Div:
    """Return the body of a tool: form, message and result, of which ``follow`` shows one."""
    parts = stages_of(name)
    return html.Div(
        [
            dcc.Store(id=parts.run),
            html.Div(form, id=parts.form, className="sec formbox"),
            html.Div(id=parts.message, hidden=True),
            html.Div(result, id=parts.result, hidden=True),
        ],
        className="analysis",
    )


def form_of(fields: Sequence[Child], run: str, what: str) -> list[Child]:
    """Return a form: its fields, the place ``run`` of the button, and what the run does."""
    return [
        html.Div(list(fields), className="toolform"),
        html.Div(id=run, className="row wrap"),
        html.P(what, className="s t3"),
    ]


def follow(
    app: Dash,
    backend: Backend,
    name: str,
    trouble: Mapping[str, str],
    instead: Callable[[Job], list[Child] | None] = lambda job: None,
    opened: Callable[[Job], Any] = lambda job: no_update,
) -> None:
    """Show the form of a tool, the message of its run, or its result, as the link names a job.

    Parameters
    ----------
    trouble : mapping
        Verbs of the tool, each to the heading of its error card.
    instead : callable
        Takes a finished job; what it returns is shown in the stead of the result.
    opened : callable
        Takes a job that was waited for and is finished; returns an order for ``ids.STEER``.
    """
    parts = stages_of(name)

    @app.callback(
        Output(parts.form, "hidden"),
        Output(parts.message, "hidden"),
        Output(parts.result, "hidden"),
        Output(parts.message, "children"),
        Output(parts.run, "data"),
        Output(ids.STEER, "data", allow_duplicate=True),
        Input(ids.TOOL, "data"),
        Input(ids.JOBS, "data"),
        State(parts.run, "data"),
        prevent_initial_call=True,
    )
    def draw(tool: Any, jobs: Any, before: Any) -> tuple[Any, ...]:
        using = using_of(tool, name)
        if using is None:
            return (no_update,) * 6
        job = job_of(jobs, using)
        message = _loading(using)
        if job is not None:
            message = message_of(backend, job, trouble) or instead(job)
        now = {"job": job["id"], "is_done": not message} if job else None
        order = opened(job) if job and was_awaited(before, now) else no_update
        return *shown_stage(bool(job), message), no_update if now == before else now, order


def was_awaited(before: Any, now: Any) -> bool:
    """Return whether a run is done that was not when it was last looked at."""
    return bool(before and now and now["is_done"]) and before == {**now, "is_done": False}


def using_of(tool: Any, name: str) -> str | None:
    """Return the state of a tool, or None where another one, or none, is open."""
    return str(tool["using"]) if tool and tool["tool"] == name else None


def finished_using(tool: Any, run: Any, name: str) -> str | None:
    """Return the state of a tool whose run is done and whose result is to be shown, or None."""
    using = using_of(tool, name)
    if not using or not run or not run["is_done"]:
        return None
    return using if run["job"] == id_of(using) else None


def shown_stage(has_job: bool, message: Child) -> tuple[bool, bool, bool, Child]:
    """Return whether form, message and result of a tool are hidden, and the message.

    Parameters
    ----------
    has_job : bool
        Whether the job of the link is known; the form is shown where there is neither a job nor
        a message.
    message : component or None
        Progress or an error; without one the result of the job is shown.
    """
    if message is None:
        return has_job, True, not has_job, None
    return True, False, True, message


def _loading(using: str) -> list[Child] | None:
    """Return rows in grey while a job that the link names is asked for; None without one."""
    return [html.Div(skeleton(4), className="sec runbox")] if is_job(id_of(using)) else None
