"""Common coordinates: all sections in one brain, a plane through it, and how far to trust each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from dash import Dash, Input, Output, Patch, State, dcc, html, no_update
from dash.development.base_component import Component

from backend.core.errors import AtlasError
from backend.core.layers import LayerKey
from explorer import ids, words
from explorer.components import Child, empty_state, segments
from explorer.plots import config
from explorer.runs import job_of, run_button, unfinished
from explorer.space_figures import (
    PLANE_TRACE,
    PLANES,
    SECTION_TRACE,
    At,
    Nudge,
    brain_figure,
    nudged,
    parse_at,
    plane_corners,
    slice_figure,
    write_at,
)
from explorer.space_said import corrections_of, near_line, said_of, score_table, span_of
from explorer.state import QUERY

if TYPE_CHECKING:
    from backend.service import Backend

NAME = "space"
TITLE = "Common coordinates"
HINT = "Sections placed in one brain, with scores"
GLYPH = "layers"
JOBS: tuple[tuple[str, str], ...] = (("fusemap", "register"),)

#: Cells drawn, of all sections together.
POINTS = 20_000
BRAIN, SLICE, SLIDER = "space-brain", "space-slice", "space-at"
DRAWN, SHOWN = "space-drawn", "space-shown"
NEAR, TABLE, CUTS, ABOUT = "space-near", "space-table", "space-cuts", "space-about"
NUDGES = ("space-turn", "space-right", "space-down", "space-along")
RUN = "space-run"
SAVE, SAVED, PUT_BACK = "space-save", "space-saved", "space-put-back"
HOW = (
    "python -m backend register ATLAS.zarr --reference DIR places its sections in the Allen CCFv3; "
    "without --reference they are laid over one another. Then reload this page."
)


def layout(backend: Backend) -> Component:
    """Return the body: the brain, the slice of the section on the map, the scores."""
    info = backend.space_info()
    placed = [r for r in info["sections"] if r["status"] == "registered"]
    if not placed:
        start = run_button("Lay the sections over one another", *JOBS[0], {}, {"sections": []})
        title = "No section has a place in a common brain yet"
        return html.Div([html.Div(empty_state(title, HOW, [start]), className="sec"), _run_box()])
    low, high = span_of(placed, "coronal")
    as_png = {"toImageButtonOptions": {"format": "png", "filename": "brain", "scale": 3}}
    brain = dcc.Graph(
        id=BRAIN,
        figure=_empty("Drawing the brain …"),
        config={**config("brain"), **as_png},
        className="space-graph",
    )
    over = dcc.Graph(
        id=SLICE,
        figure=_empty("Drawing the slice …"),
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
        ),
        html.Div(id=NEAR, className="s", **{"aria-live": "polite"}),
    ]
    return html.Div(
        [
            _run_box(),
            dcc.Store(id=DRAWN),
            dcc.Store(id=SHOWN),
            dcc.Download(id=SAVED),
            html.Div(
                [
                    html.Div(
                        [brain, html.Div(knobs, className="space-knobs")], className="space-part"
                    ),
                    html.Div([over, _nudges()], className="space-part"),
                ],
                className="space-pictures",
            ),
            html.Div([html.Div(id=TABLE), html.Div(id=ABOUT)], className="space-scores"),
        ],
        className="space",
    )


def _run_box() -> html.Div:
    return html.Div(id=RUN, **{"aria-live": "polite"})


def _nudges() -> html.Div:
    """Return the fields that move the section on the map, and what saves them."""
    names = ("Turn, °", "Right, µm", "Down, µm", "Along, µm")
    fields = [
        html.Label(
            [
                html.Span(name, className="t3"),
                dcc.Input(
                    id=identity,
                    type="number",
                    step=1 if k == 0 else 25,
                    value=0,
                    debounce=0.4,
                    className="field num",
                ),
            ]
        )
        for k, (identity, name) in enumerate(zip(NUDGES, names, strict=True))
    ]
    acts = html.Div(
        [
            html.Button("Save corrections", id=SAVE, className="btn sm", type="button"),
            html.Button("Put back", id=PUT_BACK, className="btn sm ghost", type="button"),
        ],
        className="row tight",
    )
    return html.Div([*fields, acts], className="space-nudges row wrap s")


def register(app: Dash, backend: Backend) -> None:
    """Draw the brain when the layer changes, all else when the plane or the section does."""

    @app.callback(
        Output(RUN, "children"),
        Input(ids.TOOL, "data"),
        Input(ids.JOBS, "data"),
        prevent_initial_call=True,
    )
    def run(tool: Any, jobs: Any) -> Any:
        if not _is_open(tool):
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
        if not _is_open(tool) or not scene:
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
        if not _is_open(tool) or not drawn or not scene:
            return (no_update,) * 13
        at, section = parse_at(str(tool["using"])), str(tool["section"])
        key, records = label_of(backend, str(scene["layer"])), records_of(backend, section)
        placed = [r for r in records if r["status"] == "registered"]
        ours = [r for r in placed if not r["id"].startswith(QUERY)]
        low, high = span_of(placed, at.plane)
        found, over = _over(backend, section, key, at.nudge)
        position = _held(_where(at, found), low, high)
        patch = _patched(
            backend, key, at.plane, position, found, at.nudge, section.startswith(QUERY)
        )
        # What is being typed meanwhile is left alone, and so is a table that stays the same.
        fields = [no_update] * 4 if _nudge(typed) == at.nudge else astuple(at.nudge)
        now = [position, section, drawn]
        same = bool(shown) and list(shown)[1:] == now[1:]
        table = no_update if same else score_table(records, section)
        near = near_line(ours, at.plane, position)
        return (patch, over, _cuts(at), low, high, position, now, near, table, *fields)

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
        if not _is_open(tool) or not shown:
            return no_update
        at, nudge = parse_at(str(tool["using"])), _nudge((turn, right, down, along))
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


def _nudge(typed: Sequence[Any]) -> Nudge:
    return Nudge(*(float(v or 0.0) for v in typed))


def _is_open(tool: Any) -> bool:
    return bool(tool) and tool["tool"] == NAME


def records_of(backend: Backend, section: str) -> list[dict[str, Any]]:
    """Return the records of the atlas's sections, that of an upload on the map before them."""
    records: list[dict[str, Any]] = backend.space_info()["sections"]
    if not section.startswith(QUERY):
        return records
    own = backend.space_info(section)["sections"]
    return [*({**record, "id": section} for record in own), *records]


def label_of(backend: Backend, layer: str) -> LayerKey:
    """Return the layer on screen if it is a label, else the atlas's first label of places."""
    key = LayerKey.parse(layer)
    labels = backend.atlas_info()["labels"]
    if key.kind == "label" and key.name in labels:
        return key
    return LayerKey("label", "region" if "region" in labels else labels[0])


def _where(at: At, found: Mapping[str, Any] | None) -> float | None:
    """Return the place that the link names, else that of the section on the map."""
    if at.position_um is not None or found is None or found["record"]["plane"] != at.plane:
        return at.position_um
    return float(found["record"]["position_um"])


def _held(position_um: float | None, low: float, high: float) -> float:
    return (low + high) / 2 if position_um is None else min(max(position_um, low), high)


def _cuts(at: At) -> html.Div:
    """Return the choice of a plane; each opens at its middle."""
    choices = [(f"{name}@", name.capitalize()) for name in PLANES]
    return segments("Plane", choices, f"{at.plane}@", "using")


def _over(
    backend: Backend, section: str, key: LayerKey, nudge: Nudge
) -> tuple[Mapping[str, Any] | None, Any]:
    """Return the section on the map over its slice, and the figure; or why there is none."""
    try:
        found = backend.space_slice(section, key)
    except AtlasError as error:
        text = error.message if section != "atlas" else "Open a section to see it over its slice."
        return None, _empty(text)
    categories = [{"name": c.name, "colour": c.colour} for c in _categories(backend, section, key)]
    return found, slice_figure(found, categories, nudge)


def _categories(backend: Backend, section: str, key: LayerKey) -> Sequence[Any]:
    try:
        return backend.layer(section, key).categories
    except AtlasError:
        return ()


def _empty(text: str) -> dict[str, Any]:
    blank = {"visible": False}
    said = {"text": text, "showarrow": False, "xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5,
            "font": {"color": "#7b8794", "size": 13}}  # fmt: skip
    return {
        "data": [],
        "layout": {
            "xaxis": blank, "yaxis": blank, "annotations": [said],
            "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)",
        },
    }  # fmt: skip


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


def run_said(backend: Backend, section: str, job: Mapping[str, Any] | None) -> Child:
    """Return the progress or the end of a registration; for an upload, the offer of one."""
    if job is not None and (job["model"], job["verb"]) == JOBS[0]:
        parts = unfinished(job, "The sections could not be placed")
        if parts is not None:
            return html.Div(parts)
        result = job.get("result") or {}
        text = f"{words.plural(result.get('n_registered', 0), 'section')} placed. "
        link = html.A("Show", href=f"?section={section}&tool={NAME}", className="btn sm pri")
        return html.Div([text, link], className="sec row s")
    if not section.startswith(QUERY) or backend.space_info(section)["sections"]:
        return None
    offer = run_button("Place this section", *JOBS[0], {}, {"sections": [section]})
    text = "This upload has no place yet; its predicted regions and its outline can give it one."
    return html.Div([html.Span(text, className="grow"), offer], className="sec row s")
