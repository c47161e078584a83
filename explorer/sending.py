"""Files that a tool is sent: where they are chosen or dropped, their progress, what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import html

from explorer import words
from explorer.cards import error_card
from explorer.components import Child, button, skeleton

#: State of the sending as the scripts write it: {"step", "name", "size", "sent", "error", "card"}.
Files = Mapping[str, Any]


def drop_zone(act: str, accept: str, title: str, hint: str) -> html.Label:
    """Return where files are chosen or dropped.

    Parameters
    ----------
    act : str
        What the scripts do on a click or a drop.
    accept : str
        Endings of the names, separated by commas.
    """
    return html.Label(
        [
            html.Span(className="i i-up big"),
            html.B(title),
            html.Span(hint, className="t3 s"),
        ],
        className="drop-zone",
        tabIndex="0",
        role="button",
        **{"data-act": act, "data-value": accept},
    )


def before_check(files: Files, again: str) -> list[Child] | None:
    """Return the progress of sending and reading, or why it failed; None in any other step.

    Parameters
    ----------
    again : str
        What the scripts do to begin anew.
    """
    step = files.get("step")
    if step == "sending":
        return [html.Div(_progress(files, again), className="runbox stack2")]
    if step == "checking":
        return [html.Div([html.P("Reading the files"), skeleton(4)], className="runbox")]
    if step == "failed":
        return refused("These files could not be used", files["error"], again)
    return None


def _progress(files: Files, again: str) -> list[Child]:
    line = f"{words.size(int(files['sent']))} of {words.size(int(files['size']))}"
    share = 100 * int(files["sent"]) / max(int(files["size"]), 1)
    meter = html.Div(
        html.I(style={"width": f"{share:.1f}%"}),
        className="prog",
        role="progressbar",
        **{"aria-valuenow": f"{share:.0f}", "aria-label": "Upload"},
    )
    text = html.Div([html.B(files["name"]), html.Span(line, className="num t3 s")])
    return [text, meter, button("Cancel", again, glyph="stop", kind="sm")]


def refused(title: str, error: Mapping[str, Any], again: str) -> list[Child]:
    """Return the card of an error with the button that chooses other files."""
    card = error_card(title, error, [button("Choose other files", again, kind="pri")])
    return [html.Div(card, className="runbox")]


def faulty(title: str, card: Mapping[str, Any], again: str) -> list[Child]:
    """Return all faults of a check that was not passed."""
    error = {
        "message": f"{words.plural(len(card['faults']), 'problem')} to solve first.",
        "faults": card["faults"],
        "hint": ["Nothing was written."],
    }
    return refused(title, error, again)
