"""Parts of the tool of common coordinates: fields of a correction, cuts, what a run says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dash import dcc, html

from backend.core.errors import AtlasError
from backend.core.layers import LayerKey
from explorer import words
from explorer.components import Child, segments
from explorer.runs import run_button, unfinished
from explorer.space_figures import (
    PLANES,
    At,
    Nudge,
    slice_figure,
)
from explorer.state import QUERY

if TYPE_CHECKING:
    from backend.service import Backend

#: What the link calls the tool, and the run that it starts.
NAME, PLACE = "space", ("fusemap", "register")
NUDGES = ("space-turn", "space-right", "space-down", "space-along")
RUN = "space-run"
SAVE, SAVED, PUT_BACK = "space-save", "space-saved", "space-put-back"
COMMAND = "python -m backend register ATLAS.zarr --reference DIR"
HOW = (
    " places its sections in the Allen CCFv3; without --reference they are laid over one another. "
    "Then reload this page."
)


def run_box() -> html.Div:
    """Return the place of what is said of a registration."""
    return html.Div(id=RUN, **{"aria-live": "polite"})


def nudge_fields() -> html.Div:
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


def nudge_of(typed: Sequence[Any]) -> Nudge:
    """Return the correction that was typed."""
    return Nudge(*(float(v or 0.0) for v in typed))


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


def where_of(at: At, found: Mapping[str, Any] | None) -> float | None:
    """Return the place that the link names, else that of the section on the map."""
    if at.position_um is not None or found is None or found["record"]["plane"] != at.plane:
        return at.position_um
    return float(found["record"]["position_um"])


def held(position_um: float | None, low: float, high: float) -> float:
    """Return a position within its range, micrometres; the middle for None."""
    return (low + high) / 2 if position_um is None else min(max(position_um, low), high)


def cut_buttons(at: At) -> html.Div:
    """Return the choice of a plane; each opens at its middle."""
    choices = [(f"{name}@", name.capitalize()) for name in PLANES]
    return segments("Plane", choices, f"{at.plane}@", "using")


def laid_over(
    backend: Backend, section: str, key: LayerKey, nudge: Nudge
) -> tuple[Mapping[str, Any] | None, Any]:
    """Return the section on the map over its slice, and the figure; or why there is none."""
    try:
        found = backend.space_slice(section, key)
    except AtlasError as error:
        text = error.message if section != "atlas" else "Open a section to see it over its slice."
        return None, empty_space(text)
    categories = [{"name": c.name, "colour": c.colour} for c in _categories(backend, section, key)]
    return found, slice_figure(found, categories, nudge)


def _categories(backend: Backend, section: str, key: LayerKey) -> Sequence[Any]:
    try:
        return backend.layer(section, key).categories
    except AtlasError:
        return ()


def empty_space(text: str) -> dict[str, Any]:
    """Return an empty figure that says why it is empty."""
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


def run_said(backend: Backend, section: str, job: Mapping[str, Any] | None) -> Child:
    """Return the progress or the end of a registration; for an upload, the offer of one."""
    if job is not None and (job["model"], job["verb"]) == PLACE:
        parts = unfinished(job, "The sections could not be placed")
        if parts is not None:
            return html.Div(parts)
        result = job.get("result") or {}
        text = f"{words.plural(result.get('n_registered', 0), 'section')} placed. "
        link = html.A("Show", href=f"?section={section}&tool={NAME}", className="btn sm pri")
        return html.Div([text, link], className="sec row s")
    if not section.startswith(QUERY) or backend.space_info(section)["sections"]:
        return None
    offer = run_button("Place this section", *PLACE, {}, {"sections": [section]})
    text = "This upload has no place yet; its predicted regions and its outline can give it one."
    return html.Div([html.Span(text, className="grow"), offer], className="sec row s")
