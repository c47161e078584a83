"""Steps of annotating a section: choose a file, send it, check it, run, result."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dash import dcc, html

from explorer import words
from explorer.cards import error_card, finding_row, job_progress, steps
from explorer.components import Child, button, key_values, note
from explorer.state import QUERY

if TYPE_CHECKING:
    from backend.service import Backend

FORMATS = ".h5ad"
#: What a verb made of a section, in a word or two.
DONE = {
    "annotate": "annotated",
    "integrate_modalities": "modalities weighed",
    "integrate_sections": "factors",
    "enhance": "enhanced",
    "colocalise": "co-localisation",
    "perturb": "gene pairs",
}


def size_limit(backend: Backend) -> int:
    """Return the most bytes that may be sent."""
    return backend.settings.limits.upload_bytes


def wizard_step(wizard: Mapping[str, Any], info: Mapping[str, Any], limit: int) -> tuple[Any, Any]:
    """Return the row of steps and the body of the step that the wizard is at.

    Parameters
    ----------
    wizard : mapping
        ``step`` (file, sending, checking, check, run, failed, done) and what that step shows.
    limit : int
        Largest upload, bytes.
    """
    step = wizard.get("step") or "file"
    if step == "sending":
        return steps("File"), sending(wizard)
    if step == "checking":
        return steps("Check"), checking(wizard)
    if step == "check":
        return steps("Check"), check(wizard, info)
    if step == "run":
        return steps("Run"), run(wizard["job"])
    if step == "failed":
        return steps("Run" if wizard.get("job") else "Check"), failed(wizard)
    if step == "done":
        return steps("Result"), done(wizard["job"], info)
    return steps("File"), choose(info, limit)


def choose(info: Mapping[str, Any], limit: int) -> list[Child]:
    """Return the first step: choose a file, or try the example."""
    drop = html.Label(
        [
            html.Span(className="i i-up big"),
            html.B("Choose a file"),
            html.Span("or drop it here", className="t3 s"),
            dcc.Input(id="upload-file", type="hidden", value=""),
        ],
        className="drop-zone",
        tabIndex="0",
        role="button",
        **{"data-act": "choose-file", "data-value": FORMATS},
    )
    blocks: list[Child] = [html.Div(drop, className="sec")]
    if info.get("demo_query"):
        demo = button("Try the demo section", "demo-upload", glyph="target")
        hint = html.P("A section made for this, with hidden labels.", className="s t3 gap")
        blocks.append(html.Div([demo, hint], className="sec"))
    facts = [
        ("Format", "AnnData .h5ad"),
        ("Needs", "gene symbols or Ensembl ids, positions in obsm"),
        ("Best with", "raw counts"),
        ("Largest", words.size(limit)),
        ("Kept for", f"{info['keep_hours']} hours, then deleted"),
    ]
    blocks.append(html.Div(key_values(facts), className="sec wrapkv"))
    if not info["can_annotate"]:
        text = "This atlas has no trained model, so it cannot annotate. Train one first."
        return [html.Div(note(text), className="sec")]
    return blocks


def _file_head(wizard: Mapping[str, Any], line: str, change: bool) -> html.Div:
    name = html.Div(
        [html.B(wizard.get("name", ""), className="b cut"), html.Div(line, className="t3 s num")],
        className="grow cut",
    )
    again = button("Change", "wizard-file", kind="sm") if change else None
    return html.Div(html.Div([name, again], className="row"), className="sec")


def sending(wizard: Mapping[str, Any]) -> list[Child]:
    """Return the upload's progress, with pause that can be resumed."""
    sent, size = int(wizard.get("sent") or 0), max(int(wizard.get("size") or 1), 1)
    paused = wizard.get("paused")
    line = f"{words.size(sent)} of {words.size(size)}"
    state = wizard.get("problem") or ("Paused" if paused else "Sending")
    acts = [
        button("Resume", "upload-resume", kind="sm pri") if paused else None,
        button("Cancel", "upload-cancel", glyph="stop", kind="sm"),
    ]
    return [
        _file_head(wizard, line, False),
        html.Div(
            [
                html.Div(
                    html.I(style={"width": f"{100 * sent / size:.1f}%"}, id="upload-bar"),
                    className="prog",
                    role="progressbar",
                    **{"aria-valuenow": f"{100 * sent / size:.0f}", "aria-label": "Upload"},
                ),
                html.Div(
                    [html.Span(state), html.Span(line, id="upload-line", className="num")],
                    className="row between s t2 gap",
                ),
                html.Div(acts, className="row wrap gap"),
            ],
            className="sec",
        ),
    ]


def checking(wizard: Mapping[str, Any]) -> list[Child]:
    """Return what is shown while the file is read."""
    return [
        _file_head(wizard, "Reading and checking", False),
        html.Div([html.Div(className="skel ckskel") for _ in range(6)], className="sec"),
    ]


def check(wizard: Mapping[str, Any], info: Mapping[str, Any]) -> list[Child]:
    """Return the preflight card: all findings at once, and one button naming the act."""
    found = wizard["preflight"]
    n = int(found["n_cells"] or 0)
    line = f"{words.plural(n, 'cell')}, {words.plural(int(found['n_genes'] or 0), 'gene')}"
    size = f"{words.size(wizard['size'])}, " if wizard.get("size") else ""
    findings = html.Div([finding_row(f) for f in found["findings"]], className="sec tightsec")
    blocked = sum(1 for f in found["findings"] if f["state"] == "blocked")
    facts = []
    if found.get("seconds"):
        facts.append(("Estimate", f"about {words.seconds(float(found['seconds']))}"))
    if wizard.get("expires"):
        facts.append(("File kept until", clock(float(wizard["expires"]))))
    facts.append(("Result kept for", f"{info['keep_hours']} hours"))
    is_ok = bool(found["ok"]) and not blocked
    act = button(
        f"Annotate {words.plural(n, 'cell')}",
        "submit",
        kind="pri grow",
        disabled=not is_ok,
    )
    below = None
    if blocked:
        noun = "problem" if blocked == 1 else "problems"
        below = html.Div(f"{blocked} {noun} to solve first", className="xs t3 gap")
    return [
        _file_head(wizard, size + line, True),
        html.Div(
            [
                html.Canvas(
                    id="preview",
                    className="preview",
                    role="img",
                    **{"aria-label": "Cells of the upload by position, not coloured"},
                ),
                html.P("Cells by position. Is this upright?", className="xs t3"),
            ],
            className="sec",
            id="preview-box",
            hidden=True,
        ),
        findings,
        html.Div(key_values(facts), className="sec"),
        html.Div(
            [html.Div([act, button("Cancel", "wizard-file")], className="row"), below],
            className="sec",
        ),
    ]


def clock(epoch: float) -> str:
    """Return a time of day for a person, with its day."""
    return time.strftime("%d %b, %H:%M", time.localtime(epoch)).lstrip("0")


def run(job: Mapping[str, Any]) -> list[Child]:
    """Return the progress of the run."""
    close = html.P("You can close this tab. The link brings you back.", className="s t3 gap")
    return [html.Div([job_progress(job), close], className="sec")]


def failed(wizard: Mapping[str, Any]) -> list[Child]:
    """Return the error card of a refused file or a failed run."""
    job = wizard.get("job") or {}
    error = wizard.get("error") or job.get("error") or {"message": "The run stopped."}
    again = [button("Choose another file", "wizard-file", kind="pri")]
    if job.get("state") == "cancelled":
        error = {"message": "The run was cancelled.", "hint": ["Nothing was written."]}
    title = "This section could not be annotated"
    return [html.Div(error_card(title, error, again, str(job.get("id") or "")), className="sec")]


def done(job: Mapping[str, Any], info: Mapping[str, Any]) -> list[Child]:
    """Return where the result is and how to take it away."""
    result = job.get("result") or {}
    facts: list[tuple[Child, Child]] = []
    for key, word in (("n_cells", "Cells"), ("n_matched", "Genes matched")):
        if result.get(key) is not None:
            facts.append((word, words.count(int(result[key]))))
    if result.get("n_unassigned") is not None:
        facts.append(("Unassigned", words.count(int(result["n_unassigned"]))))
    if job.get("deleted_after"):
        facts.append(("Kept until", clock(float(job["deleted_after"]))))
    acts: Sequence[Child] = [
        button("Show on the map", "open", f"{QUERY}{job['id']}", kind="pri"),
        button("Annotate another", "wizard-file"),
    ]
    takes = [
        button("h5ad", "take-result", f"{job['id']}|h5ad", glyph="down", kind="sm"),
        button("CSV", "take-result", f"{job['id']}|csv", glyph="down", kind="sm"),
        button("JSON", "take-result", f"{job['id']}|json", glyph="down", kind="sm"),
        button("Copy link", "copy-job", job["id"], glyph="link", kind="sm"),
    ]
    return [
        html.Div([html.B("Annotated"), key_values(facts)], className="sec"),
        html.Div(
            [html.Div(acts, className="row wrap"), html.Div(takes, className="row wrap gap")],
            className="sec",
        ),
    ]
