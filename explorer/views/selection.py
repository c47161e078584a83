"""Right panel, "What you see": subject, range or legend, trust, parts, and the lassoed cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dash import ClientsideFunction, Dash, Input, Output, html

from backend.core.errors import AtlasError
from backend.core.geometry import Bounds
from backend.core.layers import LayerKey
from explorer import ids
from explorer.annotated import atlas_counts, is_annotated, yours_and_atlas
from explorer.components import (
    icon_button,
    section,
    skeleton,
)
from explorer.scene import noun_of
from explorer.seen import (
    is_label,
    legend_block,
    no_selection,
    parts_block,
    range_block,
    selection_block,
    subject_block,
    subject_without,
    trust_block,
)

if TYPE_CHECKING:
    from backend.service import Backend


def layout(backend: Backend) -> html.Div:
    """Return the panel with a place for each block."""
    tools = html.Span(
        [
            icon_button("down", "Download the table of what you see", "take", "csv", "sm"),
            icon_button("code", "Copy as Python", "take", "python", "sm"),
        ],
        className="row tight",
    )
    title = html.Div(["What you see", tools], className="ptitle")
    blocks = (ids.SUBJECT, ids.RANGE, ids.LEGEND, ids.TRUST, ids.PARTS, ids.SELECTION)
    scroll = html.Div(
        [html.Div(skeleton(5) if b == ids.LEGEND else None, id=b) for b in blocks],
        className="scroll",
    )
    return html.Div([title, scroll], id=ids.SEE, className="panel")


def register(app: Dash, backend: Backend) -> None:
    """Redraw a block when what it shows has changed."""

    @app.callback(
        Output(ids.SUBJECT, "children"),
        Output(ids.RANGE, "children"),
        Output(ids.TRUST, "children"),
        Input(ids.SCENE, "data"),
        prevent_initial_call=True,
    )
    def subject(scene: Mapping[str, Any]) -> tuple[Any, Any, Any]:
        name, key = scene["section"], LayerKey.parse(scene["layer"])
        try:
            info = backend.layer(name, key)
        except AtlasError:
            return subject_without(key), None, None
        return (
            subject_block(
                info,
                is_annotated(backend, name),
                backend.counts(name, key) if is_label(info) else {},
                noun_of(backend, name),
            ),
            range_block(backend, name, info),
            trust_block(backend, name, info),
        )

    @app.callback(
        Output(ids.LEGEND, "children"),
        Input(ids.SCREEN, "data"),
        Input(ids.SCENE, "data"),
        prevent_initial_call=True,
    )
    def classes(screen: Mapping[str, Any] | None, scene: Mapping[str, Any]) -> Any:
        name, key = scene["section"], LayerKey.parse(scene["layer"])
        if key.kind != "label":
            return None
        inside = screen and screen["section"] == name and screen["bounds"]
        view = Bounds(*inside) if inside else None
        try:
            info = backend.layer(name, key)
            counts = backend.counts(name, key, view)
        except AtlasError:
            return None
        if is_annotated(backend, name):
            return yours_and_atlas(info, counts, atlas_counts(backend, name, info))
        return legend_block(info, counts, scene["sort"], noun_of(backend, name))

    @app.callback(
        Output(ids.PARTS, "children"),
        Input(ids.FOCUS, "data"),
        Input(ids.SCENE, "data"),
        prevent_initial_call=True,
    )
    def parts(focus: Mapping[str, Any], scene: Mapping[str, Any]) -> Any:
        codes = focus["codes"] if focus and focus["layer"] == scene["layer"] else []
        try:
            return parts_block(backend, scene["section"], LayerKey.parse(scene["layer"]), codes)
        except AtlasError:
            return None

    @app.callback(Output(ids.SELECTION, "children"), Input(ids.LASSO, "data"))
    def lassoed(lasso: Mapping[str, Any] | None) -> Any:
        if not lasso:
            return no_selection()
        try:
            found = backend.select(lasso["section"], lasso["polygon"])
            return selection_block(found, noun_of(backend, lasso["section"]))
        except AtlasError as error:
            return section("Selection", html.Div(str(error), className="s t2"))

    for field in (ids.RANGE_LO, ids.RANGE_HI):
        app.clientside_callback(
            ClientsideFunction("ranges", "typed"),
            Output(field, "title"),
            Input(field, "value"),
            Input(field, "id"),
            prevent_initial_call=True,
        )
    app.clientside_callback(
        ClientsideFunction("ranges", "drawn"),
        Output(ids.RANGE, "title"),
        Input(ids.RANGE, "children"),
        Input(ids.PLANE, "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("state", "mark"),
        Output(ids.LEGEND, "title"),
        Input(ids.LEGEND, "children"),
        Input(ids.TREE, "children"),
        Input(ids.STRIP, "children"),
        Input(ids.OPTIONS, "children"),
        Input(ids.VIEW, "data"),
        prevent_initial_call=True,
    )
