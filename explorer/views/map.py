"""The map: one flat plane in micrometres, two layers of tiles that take turns, names, cards."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dash_leaflet as dl
from dash import ClientsideFunction, Dash, Input, Output, State, html

from backend.core.errors import AtlasError
from backend.core.layers import LayerInfo, LayerKey
from explorer import ids, words
from explorer.cards import cell_card, section_card
from explorer.components import Child, icon_button, tag
from explorer.names import section_names, tissue_names
from explorer.scene import plane_of
from explorer.state import MONTAGE, section_at, to_section

if TYPE_CHECKING:
    from backend.service import Backend

#: Deepest zoom of a plane: a pixel is then a tenth of a micrometre.
FINEST_UM = 0.1
#: A tile of nothing, so that a layer that rests asks the server for nothing.
BLANK = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
TOOLS: tuple[tuple[str, str, str] | None, ...] = (
    ("plus", "Zoom in (+)", "zoom-in"),
    ("minus", "Zoom out (\u2212)", "zoom-out"),
    ("fit", "Fit section (0)", "fit"),
    None,
    ("hand", "Pan", "pan"),
    ("lasso", "Lasso (L)", "lasso"),
    None,
    ("undo", "Undo (Ctrl Z)", "undo"),
    ("redo", "Redo (Ctrl Shift Z)", "redo"),
)


def layout(backend: Backend) -> html.Div:
    """Return both panes of the map with tools, scale bar, cards."""
    world_um = backend.atlas_info()["world_um"]
    caption = {"className": "cap", "hidden": True}
    query_pane = html.Div(
        [
            html.Div(id=ids.QUERY_CAPTION, **caption),
            _leaflet(ids.MAP_QUERY, ids.QUERY_A, ids.QUERY_B, world_um),
        ],
        className="pane",
        id=ids.QUERY_PANE,
        hidden=True,
    )
    atlas_pane = html.Div(
        [
            html.Div(id=ids.ATLAS_CAPTION, **caption),
            _leaflet(ids.MAP_ATLAS, ids.TILES_A, ids.TILES_B, world_um, names=True),
        ],
        className="pane",
    )
    return html.Div(
        [
            html.Div([query_pane, atlas_pane], className="split"),
            _tools(),
            html.Div(id=ids.MAP_CHIP, className="chip", hidden=True),
            html.Div([html.Span(id="scale-word"), html.I(id="scale-bar")], className="scale num"),
            html.Div(id="position", className="pos num"),
            html.Span(id="ring", className="cross", hidden=True),
            html.Span(id="frame", className="frame", hidden=True),
            html.Div(id=ids.CARD, className="pop", hidden=True, **{"aria-live": "polite"}),
            html.Div(id=ids.EMPTY, className="over", hidden=True),
            html.Div(id=ids.SUMMARY, className="unseen", **{"aria-live": "polite"}),
        ],
        className="map",
        id=ids.MAP,
        role="application",
        **{"aria-label": "Map of the tissue"},
    )


def _tools() -> html.Div:
    children = [
        html.Hr()
        if t is None
        else icon_button(*t, kind="on" if t[2] == "pan" else "", id=f"tool-{t[2]}")
        for t in TOOLS
    ]
    return html.Div(children, className="tools", role="toolbar", **{"aria-label": "Map tools"})


def deepest_zoom(world_um: float) -> int:
    """Return the zoom at which a pixel of a plane is as fine as it gets."""
    return max(4, min(20, math.ceil(math.log2(world_um / 256 / FINEST_UM))))


def _leaflet(map_id: str, a: str, b: str, world_um: float, names: bool = False) -> dl.Map:
    deepest = deepest_zoom(world_um)
    children: list[Child] = [_tiles(a, deepest), _tiles(b, deepest)]
    if names:
        children.append(dl.LayerGroup(id=ids.NAMES, children=[]))
    return dl.Map(
        children,
        id=map_id,
        crs="Simple",
        center=[-128, 128],
        zoom=1,
        minZoom=-1,
        maxZoom=deepest,
        wheelPxPerZoomLevel=90,
        attributionControl=False,
        zoomControl=False,
        preferCanvas=True,
        trackViewport=False,
        doubleClickZoom=False,
        boxZoom=False,
        maxBoundsViscosity=0.4,
        className="leaf",
    )


def _tiles(name: str, deepest: int) -> dl.TileLayer:
    return dl.TileLayer(
        id=name,
        url=BLANK,
        noWrap=True,
        bounds=[[-256, 0], [0, 256]],
        minZoom=-1,
        maxZoom=24,
        minNativeZoom=0,
        maxNativeZoom=deepest,
        keepBuffer=2,
        zIndex=1,
        className="tiles",
    )


def register(app: Dash, backend: Backend) -> None:
    """Say what plane to show, paint it, print names, answer the pointer."""

    @app.callback(
        Output(ids.PLANE, "data"),
        Output(ids.EMPTY, "children"),
        Output(ids.EMPTY, "hidden"),
        Output(ids.MAP_CHIP, "children"),
        Output(ids.MAP_CHIP, "hidden"),
        Input(ids.SCENE, "data"),
        prevent_initial_call=True,
    )
    def plane(scene: Mapping[str, Any]) -> tuple[Any, ...]:
        section, key = scene["section"], LayerKey.parse(scene["layer"])
        found, problem = plane_of(backend, section, key)
        chip = map_chip(found["info"]) if found["info"] is not None else None
        found = {k: v for k, v in found.items() if k != "info"}
        return found, problem, problem is None, chip, chip is None

    for layer, map_id in ((ids.TILES_A, "atlas"), (ids.QUERY_A, "query")):
        other = ids.TILES_B if layer == ids.TILES_A else ids.QUERY_B
        app.clientside_callback(
            ClientsideFunction("map", f"paint_{map_id}"),
            *[Output(t, p) for t in (layer, other) for p in ("url", "zIndex", "opacity")],
            Input(ids.VIEW, "data"),
            Input(ids.PLANE, "data"),
            Input(layer, "n_loads"),
            Input(other, "n_loads"),
            prevent_initial_call=True,
        )
    app.clientside_callback(
        ClientsideFunction("map", "place"),
        Output(ids.QUERY_PANE, "hidden"),
        Input(ids.PLANE, "data"),
        Input(ids.VIEW, "data"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output(ids.NAMES, "children"), Input(ids.PLANE, "data"), prevent_initial_call=True
    )
    def names(shown: Mapping[str, Any]) -> list[Child]:
        if shown["plane"] != MONTAGE or shown["section"] == MONTAGE:
            return section_names(backend.sections(), shown["world"])
        label = shown["named"]
        if not label:
            return []
        key = LayerKey.parse(label)
        codes = {c.name: k for k, c in enumerate(backend.layer(shown["section"], key).categories)}
        return tissue_names(backend.anchors(shown["section"], key), shown["world"], codes)

    @app.callback(Output(ids.CARD, "children"), Input(ids.HOVER, "data"), prevent_initial_call=True)
    def card(hover: Mapping[str, Any] | None) -> Any:
        if not hover:
            return None
        return hover_card(backend, hover)

    app.clientside_callback(
        ClientsideFunction("map", "show_card"),
        Output(ids.CARD, "hidden"),
        Input(ids.CARD, "children"),
        State(ids.HOVER, "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("map", "thin_names"),
        Output("frame", "title"),
        Input(ids.NAMES, "children"),
        prevent_initial_call=True,
    )


def map_chip(info: LayerInfo) -> list[Child] | None:
    """Return what floats over a map of a gene: that it is measured or imputed."""
    if info.key.kind not in ("measured", "imputed"):
        return None
    return [html.I(info.title, className="b cut"), tag(*words.kind_tag(info.key, False, info.unit))]


def hover_card(backend: Backend, hover: Mapping[str, Any]) -> Any:
    """Return the card of the cell or section under the pointer, or None.

    Parameters
    ----------
    hover : mapping
        ``plane``, ``x`` and ``y`` (micrometres on it), ``radius``, ``layer``, ``pinned`` and
        ``cells``: whether cells are large enough on screen to be told apart.
    """
    plane, x, y = str(hover["plane"]), float(hover["x"]), float(hover["y"])
    sections = [backend.section_entry(plane)] if plane != MONTAGE else backend.sections()
    entry = section_at(sections, x, y)
    if entry is None:
        return None
    key = LayerKey.parse(hover["layer"])
    if not hover["cells"]:
        return _marked(section_card(entry, _lead(backend, entry["id"], key)), entry["bounds"], "")
    return _cell(backend, entry, hover, key)


def _cell(
    backend: Backend, entry: Mapping[str, Any], hover: Mapping[str, Any], key: LayerKey
) -> Any:
    at = to_section(entry, float(hover["x"]), float(hover["y"]))
    hit = backend.pick(entry["id"], *at, float(hover["radius"]))
    if hit is None:
        return None
    section, row = hit
    try:
        info = backend.layer(section, key)
        cell = backend.cell(section, row, key)
    except AtlasError:
        info, cell = None, backend.cell(section, row)
    left, top = entry["bounds"][:2]
    x, y = cell["x"] - entry["extent"][0] + left, cell["y"] - entry["extent"][1] + top
    shown = {**cell, "xy_unit": entry["xy_unit"], "noun": entry["noun"]}
    code = (cell["labels"].get(key.name) or {}).get("name") if key.kind == "label" else ""
    return _marked(cell_card(shown, info, bool(hover["pinned"])), [x, y], code or "")


def _marked(card: html.Div, place: Sequence[float], name: str) -> html.Div:
    """Return a card that carries its place on the plane, for the ring or frame."""
    attributes = {"data-place": ",".join(f"{v:.2f}" for v in place), "data-name": name}
    return html.Div(card, **attributes)


def _lead(backend: Backend, section: str, key: LayerKey) -> tuple[str, str] | None:
    if key.kind != "label":
        return None
    rows = backend.composition(section, key)
    total = sum(r["count"] for r in rows)
    return (rows[0]["name"], words.percent(rows[0]["count"], total)) if rows else None


def caption(title: str, text: str) -> list[Child]:
    """Return the heading of a pane."""
    return [html.Span(title, className="b"), html.Span(text, className="t3 s")]
