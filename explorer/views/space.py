"""Common coordinates: all sections in one brain, a plane through it, and how far to trust each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from dash import Dash, Input, Output, Patch, State, dcc, html, no_update
from dash.development.base_component import Component

from backend.core.errors import AtlasError
from backend.core.layers import LayerKey
from explorer import ids, words
from explorer.components import Child, button, empty_state, note, segments, tag
from explorer.plots import config
from explorer.space_figures import (
    ENDS,
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

if TYPE_CHECKING:
    from backend.service import Backend

NAME = "space"
TITLE = "Common coordinates"
HINT = "Sections placed in one brain, with scores"
GLYPH = "layers"
JOBS: tuple[tuple[str, str], ...] = ()

#: Cells drawn, of all sections together.
POINTS = 20_000
BRAIN, SLICE, SLIDER = "space-brain", "space-slice", "space-at"
DRAWN, SHOWN = "space-drawn", "space-shown"
NEAR, TABLE, CUTS, ABOUT = "space-near", "space-table", "space-cuts", "space-about"
NUDGES = ("space-turn", "space-right", "space-down", "space-along")
SAVE, SAVED, PUT_BACK = "space-save", "space-saved", "space-put-back"
GRADE_TAGS = {"good": "ok", "fair": "", "poor": "warn"}
HOW = (
    "python -m backend register ATLAS.zarr --reference DIR places its sections in the Allen CCFv3; "
    "without --reference they are laid over one another. Then reload this page."
)


def layout(backend: Backend) -> Component:
    """Return the body: the brain, the slice of the section on the map, the scores."""
    info = backend.space_info()
    placed = [r for r in info["sections"] if r["status"] == "registered"]
    if not placed:
        return html.Div(
            empty_state("No section has a place in a common brain yet", HOW), className="sec"
        )
    low, high = _span(placed, "coronal")
    as_png = {"toImageButtonOptions": {"format": "png", "filename": "brain", "scale": 3}}
    brain = dcc.Graph(id=BRAIN, config={**config("brain"), **as_png}, className="space-graph")
    over = dcc.Graph(id=SLICE, config=config("slice"), className="space-graph")
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
    if not any(r["status"] == "registered" for r in backend.space_info()["sections"]):
        return

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
        *[State(name, "value") for name in NUDGES],
        prevent_initial_call=True,
    )
    def cut(tool: Any, drawn: Any, scene: Any, *typed: Any) -> tuple[Any, ...]:
        if not _is_open(tool) or not drawn or not scene:
            return (no_update,) * 13
        at, records = parse_at(str(tool["using"])), backend.space_info()["sections"]
        key, section = label_of(backend, str(scene["layer"])), str(tool["section"])
        placed = [r for r in records if r["status"] == "registered"]
        low, high = _span(placed, at.plane)
        found, over = _over(backend, section, key, at.nudge)
        position = _held(_where(at, found), low, high)
        patch = _patched(backend, key, at.plane, position, found, at.nudge)
        # What is being typed meanwhile is left alone.
        fields = [no_update] * 4 if _nudge(typed) == at.nudge else astuple(at.nudge)
        return (
            patch, over, _cuts(at), low, high, position, position,
            near_line(placed, at.plane, position), score_table(records, section), *fields,
        )  # fmt: skip

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
        if not _is_open(tool) or shown is None:
            return no_update
        at, nudge = parse_at(str(tool["using"])), _nudge((turn, right, down, along))
        if value == shown and nudge == at.nudge:
            return no_update  # nobody moved anything: the fields were set from the link
        return {"using": write_at(replace(at, position_um=float(value), nudge=nudge))}

    @app.callback(
        Output(SAVED, "data"),
        Input(SAVE, "n_clicks"),
        State(ids.TOOL, "data"),
        prevent_initial_call=True,
    )
    def save(_: Any, tool: Any) -> Any:
        text = corrections_of(backend, str(tool["section"]), parse_at(str(tool["using"])).nudge)
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


def label_of(backend: Backend, layer: str) -> LayerKey:
    """Return the layer on screen if it is a label, else the atlas's first label of places."""
    key = LayerKey.parse(layer)
    labels = backend.atlas_info()["labels"]
    if key.kind == "label" and key.name in labels:
        return key
    return LayerKey("label", "region" if "region" in labels else labels[0])


def _span(placed: Sequence[Mapping[str, Any]], plane: str) -> tuple[float, float]:
    """Return the ends of the slider: sections of the plane and some way beyond."""
    found = [float(r["position_um"]) for r in placed if r["plane"] == plane]
    if not found:
        return 0.0, 12_000.0
    low, high = min(found) - 1000.0, max(found) + 1000.0
    return 100.0 * np.floor(low / 100.0), 100.0 * np.ceil(high / 100.0)


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


def near_line(placed: Sequence[Mapping[str, Any]], plane: str, position: float) -> list[Child]:
    """Return where the plane lies, and the nearest section with a button that opens it."""
    first, last = ENDS[PLANES[plane][0]]
    where = f"{words.count(round(position))} µm from the {first} end to the {last}. "
    among = [r for r in placed if r["plane"] == plane]
    if not among:
        return [where, f"No {plane} section has a place."]
    best = min(among, key=lambda r: abs(float(r["position_um"]) - position))
    off = abs(float(best["position_um"]) - position)
    text = f"Nearest: {best['title']}, {words.count(round(off))} µm away. "
    return [where, text, button("Open on the map", "open", best["id"], glyph="target", kind="sm")]


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
) -> Patch:
    """Return the change of the brain: where the plane lies, and the section on the map."""
    points = backend.space_points(key, POINTS)
    around = np.asarray(points["outline"] if len(points["outline"]) else points["xyz"])
    corners = plane_corners(around, plane, position)
    shown = np.zeros((0, 3))
    if found is not None and nudge.is_set:  # where it would come to lie
        shown = nudged(np.asarray(found["xyz"]), found["record"]["plane"], nudge)[::3]
    patch = Patch()
    for trace, xyz in ((PLANE_TRACE, corners), (SECTION_TRACE, np.rint(shown))):
        for name, axis in (("x", 0), ("y", 2), ("z", 1)):
            patch["data"][trace][name] = xyz[:, axis].tolist()
    return patch


def said_of(info: Mapping[str, Any], points: Mapping[str, Any]) -> list[Child]:
    """Return what the picture shows, and whose brain it is."""
    n = min(POINTS, int(points["n_placed"]))
    text = (
        f"{info['name']}. {words.count(n)} of {words.plural(points['n_placed'], 'placed cell')}, "
        "a seeded sample with small classes favoured. In orange, a section that is being moved."
    )
    return [html.P(text, className="s t2"), html.P(info["licence"], className="s t3")]


def score_table(records: Sequence[Mapping[str, Any]], section: str) -> list[Child]:
    """Return the scores of each section, baselines first, and the reasons of refusals."""
    placed = sorted(
        (r for r in records if r["status"] == "registered"), key=lambda r: str(r["title"])
    )
    refused = [r for r in records if r["status"] != "registered"]
    heads = (
        ("Section", ""),
        ("Grade", "Outline at least .9 and 60 % in place: good; .8 and 40 %: fair"),
        ("In place: start", "Labelled cells in their region after the first guess"),
        ("affine", "after the affine"),
        ("smooth", "after the smooth stage"),
        ("hidden", "Regions that the registration did not see, after all stages"),
        ("Outline", "Dice overlap of tissue"),
        ("Landmarks", "Median distance of centres of regions, µm"),
        ("There and back", "Inverse consistency, median, µm"),
        ("Jacobian", "Least and greatest local change of area"),
    )
    head = html.Tr([html.Th(word, title=title) for word, title in heads])
    rows = [_row(r, r["id"] == section) for r in placed]
    parts: list[Child] = [html.Table([html.Thead(head), html.Tbody(rows)])]
    if refused:
        parts.append(_refusals(refused))
    return parts


def _row(record: Mapping[str, Any], is_shown: bool) -> html.Tr:
    met, hidden = record.get("agreement") or {}, record.get("held_out") or {}
    name = html.Button(
        record["title"],
        className="linkish cut",
        type="button",
        title=f"Open {record['title']}",
        **{"data-act": "open", "data-value": record["id"]},
    )
    cells: list[Child] = [
        name,
        tag(str(record["grade"]).capitalize(), GRADE_TAGS[record["grade"]]),
        *[_percent(met.get(stage)) for stage in ("start", "affine", "smooth")],
        _percent((hidden.get("agreement") or {}).get("smooth")),
        f"{record['dice']:.2f}",
        _micrometres(record.get("landmark_um")),
        _micrometres(record.get("consistency_um")),
        "{:.2f} to {:.2f}".format(*record["jacobian"]),
    ]
    return html.Tr([html.Td(c) for c in cells], className="sel" if is_shown else "")


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.0f} %"


def _micrometres(value: float | None) -> str:
    return "none" if value is None else f"{words.count(round(value))} µm"


def _refusals(refused: Sequence[Mapping[str, Any]]) -> html.Div:
    """Return the sections without a place, by reason."""
    reasons: dict[str, list[str]] = {}
    for record in refused:
        reasons.setdefault(str(record.get("reason", "")), []).append(str(record["title"]))
    lines = [
        html.P([html.B(", ".join(titles[:3]) + (" …" if len(titles) > 3 else "")), f": {reason}"])
        for reason, titles in reasons.items()
    ]
    return note([html.B(f"{words.plural(len(refused), 'section')} without a place"), *lines])


def corrections_of(backend: Backend, section: str, nudge: Nudge) -> str | None:
    """Return the nudge of a section as ``register --corrections`` reads it, or None."""
    record = next(
        (r for r in backend.space_info(section)["sections"] if r["status"] == "registered"
         and (r["id"] == section or section.startswith("query-"))), None,
    )  # fmt: skip
    if record is None or not nudge.is_set:
        return None
    entry: dict[str, float] = {
        name: value
        for name, value in (
            ("rotate_deg", nudge.rotate_deg),
            ("shift_right_um", nudge.shift_right_um),
            ("shift_down_um", nudge.shift_down_um),
        )
        if value
    }
    if nudge.shift_along_um:
        entry["position_um"] = float(record["position_um"]) + nudge.shift_along_um
    return json.dumps({"sections": {record["id"]: entry}}, indent=2)
