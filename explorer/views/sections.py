"""Where I am: the path bar above the map, the strip of sections and the distribution below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dash import Dash, Input, Output, html

from backend.core.errors import AtlasError
from backend.core.geometry import Bounds
from backend.core.layers import LayerKey
from explorer import ids, words
from explorer.components import Child, icon_button, skeleton
from explorer.icons import icon
from explorer.state import MONTAGE, ordered
from explorer.strip import (
    crumbs,
    distribution_of,
    montage_facts,
    no_distribution,
    path_of,
    strip_layer,
    strip_of,
    strip_title,
)

if TYPE_CHECKING:
    from backend.service import Backend

#: The layout that the dock shows.
UMAP = "umap"


def layout(backend: Backend) -> tuple[html.Div, html.Footer]:
    """Return the path bar and the dock."""
    info = backend.atlas_info()
    return _head(info["can_annotate"]), dock(info["layouts"])


def _head(can_query: bool) -> html.Div:
    return html.Div(
        [
            html.Nav(id=ids.PATH, className="row path", **{"aria-label": "Path"}),
            html.Span(
                [
                    icon_button("left", "Previous section (,)", "step", "-1", "sm"),
                    icon_button("chev", "Next section (.)", "step", "1", "sm"),
                ],
                className="row hide-s tight",
            ),
            html.Span(id=ids.FACTS, className="t3 s num cut hide-s"),
            html.Span(className="grow"),
            download_menu(can_query),
            icon_button("table", "What you see (])", "sheet", "right", "narrow"),
            icon_button("layers", "Sections and distribution (D)", "sheet", "dock", "narrow"),
        ],
        className="head",
    )


def download_menu(can_query: bool) -> html.Details:
    """Return the menu of files to take away; the scripts fill in the addresses."""
    items = [
        _menu_item("table", "Table of cells or spots", "CSV, position and the layer shown", "csv"),
        _menu_item("img", "Figure", "PNG with legend and scale bar", "figure"),
    ]
    if can_query:
        items += [
            _menu_item("layers", "Annotated section", "h5ad with labels in obs", "h5ad", "onlyq"),
            _menu_item(
                "table", "Annotation table", "CSV, MapMyCells columns", "mapmycells", "onlyq"
            ),
        ]
    copies = [
        _menu_item("copy", "Copy as Python", "", "python"),
        _menu_item("copy", "Copy as command", "", "command"),
    ]
    summary = html.Summary(
        [icon("down"), html.Span("Download", className="tx")],
        className="btn sm ghost",
        title="Download what is on the map",
    )
    body = html.Div([*items, html.Hr(), *copies], className="menu", role="menu")
    return html.Details([summary, body], className="drop")


def _menu_item(glyph: str, word: str, hint: str, value: str, kind: str = "") -> html.Button:
    text = html.Span([word, html.Small(hint)] if hint else word)
    return html.Button(
        [icon(glyph), text],
        type="button",
        role="menuitem",
        className=f"mi {kind}".strip(),
        **{"data-act": "take", "data-value": value},
    )


def dock(layouts: Sequence[str]) -> html.Footer:
    """Return strip and distribution, and the UMAP between them where the atlas has one."""
    strip = html.Section(
        [
            html.H3("Sections", id=ids.STRIP_TITLE),
            html.Div(skeleton(1, 100), id=ids.STRIP, className="strip", tabIndex="-1"),
        ],
        **{"aria-label": "Sections"},
    )
    distribution = html.Section(
        skeleton(6, 10), id=ids.DISTRIBUTION, **{"aria-label": "Distribution"}
    )
    parts = [strip, distribution]
    if UMAP in layouts:
        parts.insert(1, _umap())
    return html.Footer(parts, className="dock" if len(parts) == 2 else "dock three", id="dock")


def _umap() -> html.Section:
    """Return the place of the UMAP; the scripts ask for its picture in the style of the map."""
    heading = html.H3([html.Span("UMAP", className="h"), html.Span(id="umap-note")])
    picture = html.Div(className="umapbox", role="img", **{"aria-label": "UMAP"})
    return html.Section(
        [heading, picture], id="umap", **{"aria-label": "UMAP", "data-layout": UMAP}
    )


def register(app: Dash, backend: Backend) -> None:
    """Redraw the path with the section, the strip with the layer, the shares with the screen."""

    @app.callback(
        Output(ids.PATH, "children"),
        Output(ids.FACTS, "children"),
        Output(ids.FACTS, "title"),
        Input(ids.PLACE, "data"),
        prevent_initial_call=True,
    )
    def path(place: Mapping[str, Any]) -> tuple[list[Child], str, str]:
        section = place["section"]
        if section == MONTAGE:
            return crumbs([("All sections", "", "")]), *montage_facts(backend.atlas_info())
        entry = backend.section_entry(section)
        is_result = "sections" in backend.origin(section).get("inputs", {})
        return crumbs(path_of(entry, is_result)), words.brief(entry), words.facts(entry)

    @app.callback(
        Output(ids.STRIP, "children"),
        Output(ids.STRIP_TITLE, "children"),
        Input(ids.ROW, "data"),
        prevent_initial_call=True,
    )
    def strip(row: Mapping[str, Any]) -> tuple[html.Div, list[Child]]:
        sections: list[Mapping[str, Any]] = list(ordered(backend.sections()))
        if row["query"]:
            sections = backend.result_sections(row["query"]) + sections
        drawn = {s["id"]: strip_layer(backend, s["id"], row["layer"]) for s in sections}
        return strip_of(sections, drawn), strip_title(sections)

    @app.callback(
        Output(ids.DISTRIBUTION, "children"),
        Output(ids.SUMMARY, "children"),
        Input(ids.SCREEN, "data"),
        Input(ids.SCENE, "data"),
        prevent_initial_call=True,
    )
    def distribution(screen: Mapping[str, Any] | None, scene: Mapping[str, Any]) -> tuple[Any, Any]:
        section, key = scene["section"], LayerKey.parse(scene["layer"])
        inside = screen and screen["section"] == section and screen["bounds"]
        view = Bounds(*inside) if inside else None
        try:
            return distribution_of(backend, section, key, view)
        except AtlasError:
            return no_distribution()
