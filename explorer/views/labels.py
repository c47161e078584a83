"""Harmonised labels: which class of one data set is which class of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dash import Dash, Input, Output, State, html, no_update
from dash.development.base_component import Component

from backend.core.errors import AtlasError
from backend.core.layers import LayerKey
from explorer import ids, words
from explorer.choices import choice, label_options, labelled
from explorer.components import Child, note, segments
from explorer.label_figures import (
    PICTURES,
    LabelsAt,
    heat_figure,
    match_table,
    parse_at,
    river_figure,
    write_at,
)
from explorer.plots import blank, place
from explorer.runs import run_button
from explorer.stages import finished_using, follow, form_of, staged, stages_of, using_of
from explorer.state import MONTAGE
from explorer.takes import takes

if TYPE_CHECKING:
    from backend.service import Backend

NAME = "labels"
TITLE = "Harmonised labels"
HINT = "Which class of one data set is which of another"
GLYPH = "tree"
JOBS: tuple[tuple[str, str], ...] = (("fusemap", "harmonise"),)

LABEL, RUN, HEAD, WHERE = "labels-label", "labels-run", "labels-head", "labels-where"
OF, BY, FIGURE, TABLE, PAIR = (
    "labels-of",
    "labels-by",
    "labels-figure",
    "labels-table",
    "labels-pair",
)
TROUBLE = {"harmonise": "The labels could not be harmonised"}
WHAT = (
    "The names of every data set are predicted on the cells of every other one, in the space that "
    "they share. Two classes that name each other are the same; a class that gets one name which "
    "covers more is part of it; a class that gets no name for half of its cells has no counterpart."
)
HEIGHT = 420


def layout(backend: Backend) -> Component:
    """Return the body: the label to harmonise, or a result."""
    options = [("", "All labels"), *label_options(backend)]
    form = [labelled("Label", choice(LABEL, options, ""))]
    head = [html.Div(id=HEAD, className="row wrap"), html.Div(_choosers())]
    sides = [
        html.Div(place(FIGURE, "labels", HEIGHT), className="analysis-left"),
        html.Div(id=PAIR, className="analysis-side stack2"),
    ]
    frame = [
        html.Div(head, className="sec stack2"),
        html.Div(sides, className="analysis-two"),
        html.Div(id=TABLE, className="sec analysis-table"),
    ]
    return staged(NAME, form_of(form, RUN, WHAT), frame)


def _choosers() -> html.Div:
    """Return the choice of two data sets and of the picture."""
    return html.Div(
        [
            labelled("Cells of", choice(OF, [], "")),
            labelled("Named by", choice(BY, [], "")),
            html.Div(id=WHERE, className="row wrap"),
        ],
        className="toolform",
    )


def register(app: Dash, backend: Backend) -> None:
    """Draw the form, the run and the result of the job that the link names."""

    @app.callback(Output(RUN, "children"), Input(ids.TOOL, "data"), Input(LABEL, "value"))
    def offer(tool: Any, label: Any) -> Any:
        if using_of(tool, NAME) is None:
            return no_update
        return run_row(backend, str(label or ""))

    follow(app, backend, NAME, TROUBLE)

    @app.callback(
        Output(FIGURE, "figure"),
        Output(HEAD, "children"),
        Output(WHERE, "children"),
        Output(OF, "options"),
        Output(OF, "value"),
        Output(BY, "options"),
        Output(BY, "value"),
        Output(PAIR, "children"),
        Output(TABLE, "children"),
        Input(ids.TOOL, "data"),
        Input(stages_of(NAME).run, "data"),
        prevent_initial_call=True,
    )
    def show(tool: Any, run: Any) -> tuple[Any, ...]:
        at = parse_at(finished_using(tool, run, NAME) or "")
        found = result_of(backend, at.job) if at.job else None
        if found is None:
            return (no_update,) * 9
        return drawn(backend, found, settled(found, at))

    @app.callback(
        Output(ids.STEER, "data", allow_duplicate=True),
        Input(OF, "value"),
        Input(BY, "value"),
        State(ids.TOOL, "data"),
        prevent_initial_call=True,
    )
    def choose(of: Any, by: Any, tool: Any) -> Any:
        at = parse_at(using_of(tool, NAME) or "")
        found = result_of(backend, at.job) if at.job else None
        if found is None or not of or not by:
            return no_update
        now = settled(found, at)
        if (of, by) == (now.of, now.by):
            return no_update  # set from the link, nobody chose it
        return {"using": write_at(replace(now, of=str(of), by=str(by), pair=None))}

    @app.callback(
        Output(ids.STEER, "data", allow_duplicate=True),
        Input(FIGURE, "clickData"),
        State(ids.TOOL, "data"),
        prevent_initial_call=True,
    )
    def click(clicked: Any, tool: Any) -> Any:
        at = parse_at(using_of(tool, NAME) or "")
        found = result_of(backend, at.job) if at.job else None
        if found is None:
            return no_update
        now = settled(found, at)
        pair = clicked_pair(clicked, overlap_of(found, now))
        if pair is None:
            return no_update
        now = replace(now, pair=pair)
        return {"using": write_at(now), **on_map(backend, found, now, str(tool["section"]))}


def result_of(backend: Backend, job: str) -> Mapping[str, Any] | None:
    """Return the result of a job that harmonised labels; None of any other."""
    try:
        found = backend.result(job)
    except AtlasError:
        return None
    labels = found.get("labels")
    return found if isinstance(labels, dict) and labels else None


def run_row(backend: Backend, label: str) -> list[Child]:
    """Return the button that starts the run, or why it cannot."""
    if not backend.atlas_info()["can_annotate"]:
        text = "This atlas has no trained model, so its labels cannot be compared. Train one first."
        return [note(text)]
    params = {"label": label} if label else {}
    act = run_button("Harmonise labels", "fusemap", "harmonise", params, {"sections": []})
    return [act, html.Span("All data sets with labels and expression", className="s t2")]


def settled(found: Mapping[str, Any], at: LabelsAt) -> LabelsAt:
    """Return the state with what the link leaves open taken from the result."""
    labels = found["labels"]
    with_pairs = [name for name in labels if labels[name]["overlaps"]] or list(labels)
    label = at.label if at.label in labels else with_pairs[0]
    overlaps = labels[label]["overlaps"]
    pairs = [(o["of"], o["by"]) for o in overlaps]
    if (at.of, at.by) in pairs or not pairs:
        return replace(at, label=label)
    of, by = next((p for p in pairs if p[0] == at.of), None) or pairs[0]
    return replace(at, label=label, of=of, by=by, pair=None)


def overlap_of(found: Mapping[str, Any], at: LabelsAt) -> Mapping[str, Any] | None:
    """Return the overlap that is shown, None where the two data sets were not compared."""
    overlaps = found["labels"][at.label]["overlaps"]
    return next((o for o in overlaps if (o["of"], o["by"]) == (at.of, at.by)), None)


def drawn(backend: Backend, found: Mapping[str, Any], at: LabelsAt) -> tuple[Any, ...]:
    """Return everything of a result: figure, heads, choices, chosen pair, table."""
    overlap = overlap_of(found, at)
    head = [takes(at.job, FIGURE)]
    labels = [(write_at(LabelsAt(at.job, name, picture=at.picture)), name.capitalize())
              for name, entry in found["labels"].items() if entry["overlaps"]]  # fmt: skip
    chosen = write_at(LabelsAt(at.job, at.label, picture=at.picture))
    pictures = [(write_at(replace(at, picture=p)), word) for p, word in PICTURES]
    where = [
        segments("Label", labels, chosen, "using"),
        segments("Picture", pictures, write_at(at), "using"),
    ]
    if overlap is None:
        return blank(), head, where, [], None, [], None, _incomparable(found), None
    overlaps = found["labels"][at.label]["overlaps"]
    ofs = list(dict.fromkeys(o["of"] for o in overlaps))
    bys = [o["by"] for o in overlaps if o["of"] == at.of]
    picture = (
        river_figure(overlap, colours(backend, at.label))
        if at.picture == "river"
        else heat_figure(overlap, at.pair)
    )
    listed = [
        m
        for m in found["labels"][at.label]["matches"]
        if (m["dataset"], m["other"]) == (at.of, at.by)
    ]
    return picture, head, where, ofs, at.of, bys, at.by, pair_part(overlap, at), match_table(listed)


def _incomparable(found: Mapping[str, Any]) -> list[Child]:
    """Return why there is nothing to see: of every pair that was passed over, once."""
    reasons = dict.fromkeys(str(p["why"]) for p in found["passed_over"])
    return [
        note("No two data sets could be compared."),
        *(html.P(r, className="s") for r in reasons),
    ]


def pair_part(overlap: Mapping[str, Any], at: LabelsAt) -> list[Child]:
    """Return what is known of the chosen pair of classes."""
    if at.pair is None or at.pair[0] >= len(overlap["rows"]):
        return [html.P("Click a square or a stream: its two classes alone are shown on the map.",
                       className="t3 s")]  # fmt: skip
    row, column = at.pair
    share = overlap["share"][row][column]
    n = overlap["counts"][row]
    text = (
        f"{words.percent(round(share * n), n)} of {words.plural(n, 'cell')} of "
        f"{overlap['rows'][row]} ({at.of}) are named {overlap['columns'][column]} by {at.by}."
    )
    return [html.P(text, className="s")]


def clicked_pair(clicked: Any, overlap: Mapping[str, Any] | None) -> tuple[int, int] | None:
    """Return the row and column of a clicked square, by its names, or stream."""
    point = ((clicked or {}).get("points") or [{}])[0]
    if overlap is None:
        return None
    if point.get("y") in overlap["rows"] and point.get("x") in overlap["columns"]:
        return overlap["rows"].index(point["y"]), overlap["columns"].index(point["x"])
    ends = [(point.get(end) or {}).get("label") for end in ("source", "target")]
    if ends[0] in overlap["rows"] and ends[1] in overlap["columns"]:
        return overlap["rows"].index(ends[0]), overlap["columns"].index(ends[1])
    return None


def colours(backend: Backend, label: str) -> dict[str, str]:
    """Return the colours of the classes of a label."""
    try:
        info = backend.layer(MONTAGE, LayerKey("label", label))
    except AtlasError:
        return {}
    return {c.name: c.colour for c in info.categories}


def on_map(
    backend: Backend, found: Mapping[str, Any], at: LabelsAt, section: str
) -> dict[str, Any]:
    """Return the change of the view that shows a pair of classes alone, over all sections."""
    overlap = overlap_of(found, at)
    if overlap is None or at.pair is None:
        return {}
    place = {name: k for k, name in enumerate(colours(backend, at.label))}
    names = {overlap["rows"][at.pair[0]], overlap["columns"][at.pair[1]]}
    only = sorted(place[name] for name in names if name in place)
    order: dict[str, Any] = {"layer": f"label:{at.label}", "only": only}
    if section != MONTAGE:
        order["section"] = MONTAGE
    return order
