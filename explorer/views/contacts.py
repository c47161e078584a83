"""Cell contacts: which types touch more or less than chance, and what they may say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from backend.core.errors import AtlasError
from explorer import ids
from explorer.choices import SCOPES, choice, label_options, labelled, number_field
from explorer.components import Child
from explorer.contact_figures import height_of, matrix_figure, network_figure
from explorer.contact_parts import (
    LIGANDS,
    RUN_LIGANDS,
    VALUES,
    WHAT,
    about,
    clicked_pair,
    ligand_button,
    ligand_result,
    on_map,
    pair_part,
    run_row,
    summary,
    where_row,
)
from explorer.contact_state import greatest, pairs_of, parse_at, region_of, write_at
from explorer.contact_tables import pair_table
from explorer.plots import place
from explorer.runs import Job
from explorer.stages import finished_using, follow, form_of, staged, stages_of, using_of
from explorer.state import PLACES
from explorer.takes import takes

if TYPE_CHECKING:
    from backend.service import Backend

NAME = "contacts"
TITLE = "Cell contacts"
HINT = "Types that touch, ligands and receptors"
GLYPH = "net"
JOBS: tuple[tuple[str, str], ...] = (("fusemap", "contacts"), ("fusemap", "ligands"))

RUN, HEAD, ABOUT = "contacts-run", "contacts-head", "contacts-about"
SCOPE, LABEL, REGION, NULL = (
    "contacts-scope",
    "contacts-label",
    "contacts-region",
    "contacts-null",
)
RADIUS, REACH, SHIFTS, LEAST = (
    "contacts-radius",
    "contacts-reach",
    "contacts-shifts",
    "contacts-least",
)
FIGURE, RANGE, PAIR, TABLE = "contacts-figure", "contacts-limit", "contacts-pair", "contacts-table"
WHERE, STEERED = "contacts-where", "contacts-steered"
LEFT, BAR = "contacts-left", "contacts-bar"
TROUBLE = {
    "contacts": "Contacts could not be counted",
    "ligands": "Ligands and receptors could not be tested",
}
NULLS = (("places", "Places of other cells"), ("free", "Anywhere, as published"))


def layout(backend: Backend) -> Component:
    """Return the body: options of a run, or a result."""
    labels = label_options(backend)
    places = [(v, w) for v, w in labels if v.removeprefix("label:") in PLACES]
    form = [
        labelled("Cells of", choice(SCOPE, SCOPES, SCOPES[0][0])),
        labelled("Types", choice(LABEL, labels, labels[0][0] if labels else "")),
        labelled("Regions", choice(REGION, [("", "Not told apart"), *places], "")),
        labelled("Contact, µm", number_field(RADIUS, 30, 1, 1000)),
        labelled("Shift up to, µm", number_field(REACH, 100, 1, 10_000)),
        labelled("Shifts", number_field(SHIFTS, 1000, 20, 100_000)),
        labelled("Least contacts", number_field(LEAST, 50, 0, 1_000_000)),
        labelled("Shifts go to", choice(NULL, NULLS, NULLS[0][0])),
    ]
    return staged(NAME, form_of(form, RUN, WHAT), [dcc.Store(id=STEERED), *_frame()])


def _frame() -> list[Child]:
    """Return the places of a result, which ``show`` fills."""
    figure = place(FIGURE, "contacts")
    limit = dcc.Slider(
        0.1, 10, value=1, step=0.1, marks=None, id=RANGE, updatemode="mouseup", included=True
    )
    bar = html.Div(
        [html.Span("Colour range ±", className="s t3"), html.Div(limit, className="grow")],
        className="row rangerow",
        id=BAR,
        **{"data-named": "Colour range"},
    )
    return [
        html.Div(
            [html.Div(id=HEAD, className="row wrap"), html.Div(id=WHERE, className="row wrap gap")],
            className="sec",
        ),
        html.Div(
            [
                html.Div([figure, bar], className="analysis-left", id=LEFT),
                html.Div(id=PAIR, className="analysis-side"),
            ],
            className="analysis-two",
        ),
        html.Div(id=TABLE, className="sec analysis-table"),
        html.Div(id=ABOUT, className="sec"),
    ]


def register(app: Dash, backend: Backend) -> None:
    """Draw the options, the run and the result of the job that the link names."""

    @app.callback(
        Output(RUN, "children"),
        Input(ids.TOOL, "data"),
        *[Input(name, "value") for name in (SCOPE, LABEL, REGION)],
        *[Input(name, "value") for name in (RADIUS, REACH, SHIFTS, LEAST, NULL)],
    )
    def offer(tool: Any, scope: Any, label: Any, region: Any, *rest: Any) -> Any:
        if using_of(tool, NAME) is None or not label:
            return no_update
        return run_row(backend, str(tool["section"]), str(scope), str(label), region or "", rest)

    follow(app, backend, NAME, TROUBLE, instead=lambda job: _ligands(backend, job))

    @app.callback(
        Output(FIGURE, "figure"),
        Output(RANGE, "max"),
        Output(RANGE, "value"),
        Output(WHERE, "children"),
        Output(PAIR, "children"),
        Output(TABLE, "children"),
        Output(HEAD, "children"),
        Output(ABOUT, "children"),
        Output(BAR, "hidden"),
        Output(LEFT, "style"),
        Input(ids.TOOL, "data"),
        Input(stages_of(NAME).run, "data"),
        prevent_initial_call=True,
    )
    def show(tool: Any, run: Any) -> tuple[Any, ...]:
        at = parse_at(finished_using(tool, run, NAME) or "")
        found = _contacts(backend, at.job) if at.job else None
        if found is None:
            return (no_update,) * 10
        pairs = pairs_of(found, at)
        most = max(abs(p["z"] if at.measure == "z" else p["log2_fold"]) for p in pairs)
        picture = (
            matrix_figure(pairs, at)
            if at.picture == "matrix"
            else network_figure(region_of(found, at), pairs, found["types"], at)
        )
        limit = at.limit or greatest(pairs, at.measure)
        chosen = pair_part(backend, found, pairs, at)
        return (
            picture,
            max(most, limit),
            limit,
            where_row(found, at),
            chosen,
            pair_table(pairs, at),
            [summary(found), takes(at.job, FIGURE, again="New count")],
            [html.P(line, className="s t3") for line in about(found)],
            at.picture != "matrix",
            {"minHeight": f"{height_of(pairs)}px"} if at.picture == "matrix" else {},
        )

    @app.callback(
        Output(ids.STEER, "data", allow_duplicate=True),
        Input(FIGURE, "clickData"),
        State(ids.TOOL, "data"),
        prevent_initial_call=True,
    )
    def click(clicked: Any, tool: Any) -> Any:
        pair = clicked_pair(clicked)
        using = using_of(tool, NAME)
        if pair is None or using is None:
            return no_update
        at = parse_at(using)
        return {"using": write_at(replace(at, pair=None if at.pair == pair else pair))}

    @app.callback(
        Output(ids.STEER, "data", allow_duplicate=True),
        Input(RANGE, "value"),
        State(ids.TOOL, "data"),
        prevent_initial_call=True,
    )
    def narrow(limit: Any, tool: Any) -> Any:
        at = parse_at(using_of(tool, NAME) or "")
        found = _contacts(backend, at.job) if at.job else None
        if found is None or limit is None:
            return no_update
        now = at.limit or greatest(pairs_of(found, at), at.measure)
        if abs(float(limit) - now) < 1e-6:
            return no_update  # set from the link, nobody moved it
        return {"using": write_at(replace(at, limit=float(limit)))}

    @app.callback(
        Output(ids.STEER, "data", allow_duplicate=True),
        Output(STEERED, "data"),
        Input(ids.TOOL, "data"),
        State(STEERED, "data"),
        prevent_initial_call=True,
    )
    def isolate(tool: Any, steered: Any) -> tuple[Any, Any]:
        at = parse_at(using_of(tool, NAME) or "")
        wanted = [at.job, *(at.pair or ())]
        if not at.job or wanted == steered or (at.pair is None and not (steered or [])[1:]):
            return no_update, no_update
        found = _contacts(backend, at.job)
        if found is None:
            return no_update, no_update
        return on_map(found, at, str(tool["section"])), wanted

    @app.callback(
        Output(RUN_LIGANDS, "children"),
        Input(LIGANDS, "value"),
        Input(VALUES, "value"),
        State(ids.TOOL, "data"),
    )
    def offer_ligands(table: Any, values: Any, tool: Any) -> Any:
        at = parse_at(str((tool or {}).get("using", "")))
        found = _contacts(backend, at.job) if at.job and at.pair else None
        if found is None:
            return no_update
        return ligand_button(found, at, str(table), str(values))


def _contacts(backend: Backend, job: str) -> Mapping[str, Any] | None:
    """Return the result of a job that counted contacts; None of any other."""
    try:
        found = backend.result(job)
    except AtlasError:
        return None
    return found if found.get("pairs") and "regions" in found else None


def _ligands(backend: Backend, job: Job) -> list[Child] | None:
    """Return the result of a test of ligands; None for contacts."""
    if job["verb"] != "ligands":
        return None
    return ligand_result(backend.result(str(job["id"])), str(job["id"]))
