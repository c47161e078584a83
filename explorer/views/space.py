"""Common coordinates: all sections in one brain, a plane through it, and how far to trust each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from dash import Dash, Input, Output, Patch, State, dcc, html, no_update
from dash.development.base_component import Component

from backend.core.layers import LayerKey
from explorer import ids
from explorer.components import empty_state
from explorer.plots import config
from explorer.runs import job_of, run_button
from explorer.space_figures import (
    PLANE_TRACE,
    SECTION_TRACE,
    Nudge,
    brain_figure,
    nudged,
    parse_at,
    plane_corners,
    write_at,
)
from explorer.space_parts import (
    COMMAND,
    HOW,
    NAME,
    NUDGES,
    PLACE,
    PUT_BACK,
    RUN,
    SAVE,
    SAVED,
    cut_buttons,
    empty_space,
    held,
    label_of,
    laid_over,
    nudge_fields,
    nudge_of,
    records_of,
    run_box,
    run_said,
    where_of,
)
from explorer.space_said import corrections_of, near_line, said_of, score_table, span_of
from explorer.stages import using_of
from explorer.state import QUERY

if TYPE_CHECKING:
    from backend.service import Backend

TITLE = "Common coordinates"
HINT = "Sections placed in one brain, with scores"
GLYPH = "layers"
JOBS: tuple[tuple[str, str], ...] = (PLACE,)

#: Cells drawn, of all sections together.
POINTS = 20_000
BRAIN, SLICE, SLIDER = "space-brain", "space-slice", "space-at"
DRAWN, SHOWN = "space-drawn", "space-shown"
NEAR, TABLE, CUTS, ABOUT = "space-near", "space-table", "space-cuts", "space-about"


def layout(backend: Backend) -> Component:
    """Return the body: the brain, the slice of the section on the map, the scores."""
    info = backend.space_info()
    placed = [r for r in info["sections"] if r["status"] == "registered"]
    if not placed:
        start = run_button("Lay the sections over one another", *JOBS[0], {}, {"sections": []})
        title = "No section has a place in a common brain yet"
        return html.Div(
            [
                html.Div(empty_state(title, [html.Code(COMMAND), HOW], [start]), className="sec"),
                run_box(),
            ]
        )
    low, high = span_of(placed, "coronal")
    as_png = {"toImageButtonOptions": {"format": "png", "filename": "brain", "scale": 3}}
    brain = dcc.Graph(
        id=BRAIN,
        figure=empty_space("Drawing the brain …"),
        config={**config("brain"), **as_png},
        className="space-graph",
    )
    over = dcc.Graph(
        id=SLICE,
        figure=empty_space("Drawing the slice …"),
        config=config("slice"),
        className="space-graph",
    )
    knobs = [
        html.Div(id=CUTS),
        html.Div(
            dcc.Slider(
                low,
                high,
                id=SLIDER,
                marks=None,
                step=50,
                value=(low + high) / 2,
                updatemode="mouseup",
            ),
            className="space-slider",
            **{"data-named": "Position of the plane, µm"},
        ),
        html.Div(id=NEAR, className="s", **{"aria-live": "polite"}),
    ]
    return html.Div(
        [
            run_box(),
            dcc.Store(id=DRAWN),
            dcc.Store(id=SHOWN),
            dcc.Download(id=SAVED),
            html.Div(
                [
                    html.Div(
                        [brain, html.Div(knobs, className="space-knobs")], className="space-part"
                    ),
                    html.Div([over, nudge_fields()], className="space-part"),
                ],
                className="space-pictures",
            ),
            html.Div([html.Div(id=TABLE), html.Div(id=ABOUT)], className="space-scores"),
        ],
        className="space",
    )


def register(app: Dash, backend: Backend) -> None:
    """Draw the brain when the layer changes, all else when the plane or the section does."""

    @app.callback(
        Output(RUN, "children"),
        Input(ids.TOOL, "data"),
        Input(ids.JOBS, "data"),
        prevent_initial_call=True,
    )
    def run(tool: Any, jobs: Any) -> Any:
        if using_of(tool, NAME) is None:
            return no_update
        return run_said(backend, str(tool["section"]), job_of(jobs, str(tool["using"])))

    @app.callback(
        Output(BRAIN, "figure"),
        Output(DRAWN, "data"),
        Output(ABOUT, "children"),
        Input(ids.TOOL, "data"),
        Input(ids.SCENE, "data"),
        Input(ids.FOCUS, "data"),
        State(DRAWN, "data"),
        prevent_initial_call=True,
    )
    def draw(tool: Any, scene: Any, focus: Any, drawn: Any) -> tuple[Any, ...]:
        if using_of(tool, NAME) is None or not scene:
            return no_update, no_update, no_update
        key = label_of(backend, str(scene["layer"]))
        only = list((focus or {}).get("codes") or []) if scene["layer"] == str(key) else []
        wanted = [backend.atlas_info()["edition"], str(key), only]
        if wanted == drawn:
            return no_update, no_update, no_update
        points = backend.space_points(key, POINTS)
        return brain_figure(points, only), wanted, said_of(backend.space_info(), points)

    @app.callback(
        Output(BRAIN, "figure", allow_duplicate=True),
        Output(SLICE, "figure"),
        Output(CUTS, "children"),
        Output(SLIDER, "min"),
        Output(SLIDER, "max"),
        Output(SLIDER, "value"),
        Output(SHOWN, "data"),
        Output(NEAR, "children"),
        Output(TABLE, "children"),
        *[Output(name, "value") for name in NUDGES],
        Input(ids.TOOL, "data"),
        Input(DRAWN, "data"),
        State(ids.SCENE, "data"),
        State(SHOWN, "data"),
        *[State(name, "value") for name in NUDGES],
        prevent_initial_call=True,
    )
    def cut(tool: Any, drawn: Any, scene: Any, shown: Any, *typed: Any) -> tuple[Any, ...]:
        if using_of(tool, NAME) is None or not drawn or not scene:
            return (no_update,) * 13
        at, section = parse_at(str(tool["using"])), str(tool["section"])
        key, records = label_of(backend, str(scene["layer"])), records_of(backend, section)
        placed = [r for r in records if r["status"] == "registered"]
        ours = [r for r in placed if not r["id"].startswith(QUERY)]
        low, high = span_of(placed, at.plane)
        found, over = laid_over(backend, section, key, at.nudge)
        position = held(where_of(at, found), low, high)
        patch = _patched(
            backend, key, at.plane, position, found, at.nudge, section.startswith(QUERY)
        )
        # What is being typed meanwhile is left alone, and so is a table that stays the same.
        fields = [no_update] * 4 if nudge_of(typed) == at.nudge else astuple(at.nudge)
        now = [position, section, drawn]
        same = bool(shown) and list(shown)[1:] == now[1:]
        table = no_update if same else score_table(records, section)
        near = near_line(ours, at.plane, position)
        return (patch, over, cut_buttons(at), low, high, position, now, near, table, *fields)

    @app.callback(
        Output(ids.STEER, "data", allow_duplicate=True),
        Input(SLIDER, "value"),
        *[Input(name, "value") for name in NUDGES],
        State(SHOWN, "data"),
        State(ids.TOOL, "data"),
        prevent_initial_call=True,
    )
    def moved(
        value: Any, turn: Any, right: Any, down: Any, along: Any, shown: Any, tool: Any
    ) -> Any:
        if using_of(tool, NAME) is None or not shown:
            return no_update
        at, nudge = parse_at(str(tool["using"])), nudge_of((turn, right, down, along))
        if value == shown[0] and nudge == at.nudge:
            return no_update  # nobody moved anything: the fields were set from the link
        return {"using": write_at(replace(at, position_um=float(value), nudge=nudge))}

    @app.callback(
        Output(SAVED, "data"),
        Input(SAVE, "n_clicks"),
        State(ids.TOOL, "data"),
        prevent_initial_call=True,
    )
    def save(_: Any, tool: Any) -> Any:
        section, nudge = str(tool["section"]), parse_at(str(tool["using"])).nudge
        text = corrections_of(records_of(backend, section), section, nudge)
        return no_update if text is None else dict(content=text, filename="corrections.json")

    @app.callback(
        Output(ids.STEER, "data", allow_duplicate=True),
        Input(PUT_BACK, "n_clicks"),
        State(ids.TOOL, "data"),
        prevent_initial_call=True,
    )
    def put_back(_: Any, tool: Any) -> Any:
        at = parse_at(str(tool["using"]))
        return {"using": write_at(replace(at, nudge=Nudge()))}


def _patched(
    backend: Backend,
    key: LayerKey,
    plane: str,
    position: float,
    found: Mapping[str, Any] | None,
    nudge: Nudge,
    is_query: bool,
) -> Patch:
    """Return the change of the brain: where the plane lies, and the section on the map."""
    points = backend.space_points(key, POINTS)
    around = np.asarray(points["outline"] if len(points["outline"]) else points["xyz"])
    corners = plane_corners(around, plane, position)
    shown = np.zeros((0, 3))
    # Uploads are not among the points; of the others, where a nudge would take them.
    if found is not None and (nudge.is_set or is_query):
        shown = nudged(np.asarray(found["xyz"]), found["record"]["plane"], nudge)[::3]
    patch = Patch()
    for trace, xyz in ((PLANE_TRACE, corners), (SECTION_TRACE, np.rint(shown))):
        for name, axis in (("x", 0), ("y", 2), ("z", 1)):
            patch["data"][trace][name] = xyz[:, axis].tolist()
    return patch
