"""Jobs: the button in the top bar and the card of what runs, is done or has failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dash import ClientsideFunction, Dash, Input, Output, dcc, html

from explorer import ids, words
from explorer.cards import job_progress, job_title
from explorer.components import Child, button, icon_button
from explorer.figures import ring
from explorer.icons import icon

if TYPE_CHECKING:
    from backend.service import Backend

#: Milliseconds between two looks at a running job.
EVERY = 1000
ACTIVE = ("queued", "running")

#: (model, verb) to the tool that shows the result.
Shown = Mapping[tuple[str, str], str]
NOBODY: Shown = {}


def layout(backend: Backend) -> tuple[html.Button, html.Div]:
    """Return the button of the top bar, and the card that it opens."""
    opener = html.Button(
        idle(),
        id=ids.JOB_BUTTON,
        type="button",
        className="job",
        **{"data-act": "jobs", "aria-haspopup": "dialog"},
    )
    card = html.Div(
        [
            html.Div(
                [html.B("Jobs"), icon_button("x", "Close (Esc)", "jobs-close", kind="sm")],
                className="row between cardhead",
            ),
            html.Div(id=ids.JOB_CARD, **{"aria-live": "polite"}),
            dcc.Interval(id=ids.POLL, interval=EVERY, disabled=True),
        ],
        className="pop jobs",
        id="jobs-card",
        hidden=True,
        role="dialog",
        **{"aria-label": "Jobs"},
    )
    return opener, card


def register(app: Dash, backend: Backend, shown_by: Shown) -> None:
    """Ask for the jobs while one runs, and draw them.

    Parameters
    ----------
    shown_by : mapping
        (model, verb) to the tool that shows its result; others are annotations.
    """
    app.clientside_callback(
        ClientsideFunction("jobs", "poll"),
        Output(ids.JOBS, "data"),
        Input(ids.POLL, "n_intervals"),
    )

    @app.callback(
        Output(ids.JOB_BUTTON, "children"),
        Output(ids.JOB_CARD, "children"),
        Output(ids.POLL, "disabled"),
        Input(ids.JOBS, "data"),
        prevent_initial_call=True,
    )
    def draw(jobs: Sequence[Mapping[str, Any]] | None) -> tuple[Any, Any, bool]:
        found = list(jobs or [])
        listed = job_list(found, shown_by)
        return job_button(found), listed, not any(j["state"] in ACTIVE for j in found)


def idle() -> list[Child]:
    """Return the content of the button while there are no jobs."""
    return [html.Span(className="dot"), html.Span("No jobs", className="tx")]


def job_button(jobs: Sequence[Mapping[str, Any]]) -> list[Child]:
    """Return what the top bar says: share of the running job, else failed or done."""
    running = [j for j in jobs if j["state"] in ACTIVE]
    if running:
        share = float(running[0]["fraction"] or 0)
        return [ring(share), html.Span(f"{100 * share:.0f} %", className="num")]
    for state, colour, word in (("failed", "bad", "failed"), ("done", "good", "done")):
        n = sum(1 for j in jobs if j["state"] == state)
        if n:
            dot = html.Span(className="dot", style={"background": f"var(--{colour})", "border": 0})
            return [dot, html.Span(f"{n} {word}", className="tx")]
    return idle()


def job_list(jobs: Sequence[Mapping[str, Any]], shown_by: Shown = NOBODY) -> list[Child]:
    """Return the card's content: running jobs in full, the others in a line."""
    if not jobs:
        return [html.P("Nothing has been run yet.", className="jobline t2")]
    rows: list[Child] = []
    for job in jobs[:8]:
        if job["state"] in ACTIVE:
            rows.append(html.Div(job_progress(job), className="jobline"))
        else:
            rows.append(_finished(job, shown_by))
    if any(j["state"] in ACTIVE for j in jobs):
        rows.append(html.P("You can close this tab. The job goes on.", className="jobline t3 s"))
    return rows


def _finished(job: Mapping[str, Any], shown_by: Shown) -> html.Div:
    glyph, colour = {"done": ("ok", "good"), "failed": ("bad", "bad")}.get(
        job["state"], ("stop", "t3")
    )
    act = _show(job, shown_by) if job["state"] != "cancelled" else None
    spent = ""
    if job.get("started") and job.get("finished"):
        spent = words.seconds(job["finished"] - job["started"])
    line = ", ".join(p for p in (str(job["state"]), spent) if p)
    text = html.Div([html.B(job_title(job), className="cut"), html.Div(line, className="t3 s")])
    return html.Div(
        [html.Span(icon(glyph), className=colour), html.Div(text, className="grow cut"), act],
        className="jobline row",
    )


def _show(job: Mapping[str, Any], shown_by: Shown) -> html.Button:
    tool = shown_by.get((str(job.get("model")), str(job.get("verb"))))
    if tool is None:
        return button("Show", "open-job", job["id"], kind="sm")
    return button("Show", "open-tool", f"{tool}|{job['id']}", kind="sm")
