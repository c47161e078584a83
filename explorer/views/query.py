"""Annotate my section: File, Check, Run, Result; and the headings of the two panes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dash import ClientsideFunction, Dash, Input, Output, State, html

from backend.core.errors import AtlasError
from explorer import ids, words
from explorer.cards import steps
from explorer.components import Child, icon_button
from explorer.state import MONTAGE
from explorer.wizard import DONE, size_limit, wizard_step

if TYPE_CHECKING:
    from backend.service import Backend


def layout(backend: Backend) -> html.Div:
    """Return the wizard's panel; hidden until asked for."""
    title = html.Div(
        ["Annotate my section", icon_button("x", "Close (Esc)", "see", kind="sm")],
        className="ptitle",
    )
    body = html.Div(
        [
            html.Div(steps("File"), id=ids.STEPS, className="sec"),
            html.Div(id=ids.WIZARD_BODY, className="wizard", **{"aria-live": "polite"}),
        ],
        className="scroll",
    )
    return html.Div([title, body], id=ids.ANNOTATE, className="panel", hidden=True)


def register(app: Dash, backend: Backend) -> None:
    """Draw the step that the wizard is at."""
    app.clientside_callback(
        ClientsideFunction("upload", "follow"),
        Output(ids.WIZARD, "data"),
        Input(ids.JOBS, "data"),
        Input(ids.VIEW, "data"),
        State(ids.WIZARD, "data"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output(ids.STEPS, "children"),
        Output(ids.WIZARD_BODY, "children"),
        Input(ids.WIZARD, "data"),
    )
    def draw(wizard: Mapping[str, Any] | None) -> tuple[Any, Any]:
        return wizard_step(wizard or {}, backend.atlas_info(), size_limit(backend))

    @app.callback(
        Output(ids.QUERY_CAPTION, "children"),
        Output(ids.ATLAS_CAPTION, "children"),
        Output(ids.QUERY_CAPTION, "hidden"),
        Output(ids.ATLAS_CAPTION, "hidden"),
        Input(ids.PLANE, "data"),
        prevent_initial_call=True,
    )
    def captions(plane: Mapping[str, Any]) -> tuple[Any, Any, bool, bool]:
        if plane["plane"] == MONTAGE:
            return None, None, True, True
        here = caption(*here_words(backend, plane))
        if plane["lone"]:
            return here, None, False, True
        near = plane["near"] or MONTAGE
        return here, caption(*near_words(backend, near)), False, False


def caption(title: str, text: str) -> list[Child]:
    """Return the heading of a pane."""
    return [html.Span(title, className="b"), " ", html.Span(text, className="t3 s")]


def here_words(backend: Backend, plane: Mapping[str, Any]) -> tuple[str, str]:
    """Return how the left pane is called: whose section it is, and what was made of it."""
    made = backend.origin(plane["section"])
    alone = "modelled by itself" if plane["lone"] else "annotated"
    done = DONE.get(made.get("verb", ""), alone)
    inputs = made.get("inputs", {"upload": ""})
    if "upload" in inputs or "uploads" in inputs:
        return "Your section", done
    return plane["title"], done


def near_words(backend: Backend, near: str) -> tuple[str, str]:
    """Return how the right pane is called."""
    if near == MONTAGE:
        return "Atlas", "all sections"
    try:
        entry = backend.section_entry(near)
    except AtlasError:
        return "Atlas", near
    position = entry["position"]
    where = f", {entry['axis']} {words.signed(position)} mm" if position is not None else ""
    return "Nearest atlas section", f"{entry['title']}{where}"
