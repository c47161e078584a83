"""Where I am: the path bar above the map, the strip of sections and the distribution below it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dash import Dash, Input, Output, html

from backend.core.errors import AtlasError
from backend.core.geometry import Bounds
from backend.core.layers import LayerInfo, LayerKey
from explorer import figures, ids, words
from explorer.components import Child, icon_button, skeleton
from explorer.icons import icon
from explorer.names import distinct
from explorer.scene import noun_of
from explorer.state import MONTAGE, PLACES, default_layer, grouped, ordered

if TYPE_CHECKING:
    from backend.service import Backend

#: The layout that the dock shows.
UMAP = "umap"
#: Rows of the distribution that fit into the dock.
ROWS = 7
#: Width and height of a thumbnail, pixels.
THUMB = (68, 84)


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
            return _no_distribution()


def path_of(entry: Mapping[str, Any], is_result: bool = False) -> list[tuple[str, str, str]]:
    """Return the steps from all sections to this one: (word, section to open, full title).

    Parameters
    ----------
    entry : mapping
    is_result : bool
        Whether it shows what a run on sections of the atlas found.
    """
    yours = "Results" if is_result else "Your sections"
    middle = yours if entry["kind"] == "query" else entry["dataset"]
    here = (words.short_title(entry), "", entry["title"])
    return [("All sections", MONTAGE, ""), (middle, "", middle), here]


def crumbs(steps: Sequence[tuple[str, str, str]]) -> list[Child]:
    """Return the path; the last step is where one is."""
    children: list[Child] = []
    for place, (word, target, title) in enumerate(steps):
        if place:
            children.append(
                icon("chev", "crumb" if target or place == len(steps) - 1 else "crumb hide-s")
            )
        if place == len(steps) - 1:
            children.append(html.B(word, className="b cut", title=title, **_HERE))
        elif target:
            act = {"data-act": "open", "data-value": target}
            children.append(html.Button(word, type="button", className="t2 crumblink", **act))
        elif word:
            children.append(html.Span(word, className="t2 cut hide-s", title=title))
    return children


_HERE = {"aria-current": "page"}


def montage_facts(info: Mapping[str, Any]) -> tuple[str, str]:
    """Return the facts of the whole atlas: in brief, and with its technologies by name."""
    parts = [words.plural(info["n_sections"], "section"), words.plural(info["n_cells"], "cell")]
    named = [t for t in info["technologies"] if t]
    if not named:
        return ", ".join(parts), ", ".join(parts)
    noun = "technology" if len(named) == 1 else "technologies"
    return ", ".join([*parts, f"{len(named)} {noun}"]), ", ".join([*parts, *named])


def strip_layer(backend: Backend, section: str, layer: str) -> str:
    """Return the layer of a thumbnail: the one on screen where the section has it.

    A label that a section of the atlas lacks leaves it grey, as on all sections.
    """
    key = LayerKey.parse(layer)
    if key.kind in ("measured", "imputed"):
        return layer
    if key.kind == "label" and key.name in backend.atlas_info()["labels"]:
        return layer
    layers = backend.layers(section)
    if any(info.key == key for info in layers):
        return layer
    return default_layer(grouped(layers))


def strip_title(sections: Sequence[Mapping[str, Any]]) -> list[Child]:
    """Return the heading of the strip with what the numbers below the pictures are."""
    axes = {s["axis"] for s in sections if s["position"] is not None}
    axis = axes.pop() if len(axes) == 1 else ""
    unit = ", mm from bregma" if axis == "bregma" else f", mm {axis}".rstrip() if axis else ""
    n = sum(s["kind"] == "query" for s in sections)
    title = ("Sections", "Your section and the atlas", "Your sections and the atlas")[min(n, 2)]
    return [html.Span(title, className="h"), html.Span(f"{len(sections)}{unit}")]


def strip_of(sections: Sequence[Mapping[str, Any]], drawn: Mapping[str, str]) -> html.Div:
    """Return the strip as data: the scripts draw it and load pictures as they come into sight."""
    called = distinct(sections)
    if sum(s["kind"] == "query" for s in sections) == 1:
        called = {**called, sections[0]["id"]: "yours"}
    thumbs = [_thumbnail(s, drawn[s["id"]], called[s["id"]]) for s in sections]
    return html.Div(className="thumbs", **{"data-strip": json.dumps(thumbs)})


def _thumbnail(entry: Mapping[str, Any], layer: str, title: str) -> dict[str, Any]:
    """Return a section's picture: its tile at zoom 0, scaled and cropped to its extent.

    The scripts add palette, isolated classes and range, which change without a question.
    """
    left, top, right, bottom = entry["extent"]
    side, (x0, y0) = entry["side"], entry["origin"]
    scale = min(THUMB[0] / max(right - left, 1e-9), THUMB[1] / max(bottom - top, 1e-9))
    address = f"/tiles/{quote(entry['id'])}/{quote(layer, safe=':')}/0/0/0.png"
    placed = entry["position"] is not None and entry["kind"] != "query"
    return {
        "id": entry["id"],
        "word": words.signed(entry["position"]) if placed else title,
        "title": entry["title"],
        "dataset": entry["dataset"],
        "tile": address,
        "layer": layer,
        "edition": entry["edition"],
        "box": [round((right - left) * scale, 1), round((bottom - top) * scale, 1)],
        "picture": [round(v * scale, 1) for v in (side, x0 - left, y0 - top)],
    }


def distribution_of(
    backend: Backend, section: str, key: LayerKey, view: Bounds | None
) -> tuple[list[Child], str]:
    """Return the dock's distribution, and the same in a sentence for a screen reader."""
    layers = backend.layers(section)
    groups = grouped(layers)
    if key.kind == "label":
        shown = next((i for i in layers if i.key == key), None)
        info = groups.types[0] if key.name in PLACES and groups.types else shown
        return _shares(backend, section, info, view) if info else _no_distribution()
    by = (groups.places or groups.types or (None,))[0]
    if by is None or key.kind == "density":
        first = (groups.types or groups.places or (None,))[0]
        return _shares(backend, section, first, view) if first else _no_distribution()
    return _means(backend, section, key, by)


def _no_distribution() -> tuple[list[Child], str]:
    return [html.H3("Distribution"), html.Div("No labels to count by.", className="s t3")], ""


def _heading(title: str, aside: str) -> html.H3:
    return html.H3([html.Span(title, className="h"), html.Span(aside)])


def _shares(
    backend: Backend, section: str, info: LayerInfo, view: Bounds | None
) -> tuple[list[Child], str]:
    counts = backend.counts(section, info.key, view)
    rows: list[dict[str, Any]] = [
        {"name": c.name, "colour": c.colour, "count": counts.get(code, 0)}
        for code, c in enumerate(info.categories)
    ]
    rows.sort(key=lambda r: -r["count"])
    noun = noun_of(backend, section)
    body = html.Div(figures.shares(rows, ROWS, noun), className="dist")
    total = sum(r["count"] for r in rows)
    names = ", ".join(
        f"{r['name']} {words.percent(r['count'], total)}" for r in rows[:5] if r["count"]
    )
    spoken = f"{words.plural(total, noun)} on screen. {info.title}: {names}."
    return [_heading(info.title, "on screen"), body], spoken


def _means(backend: Backend, section: str, key: LayerKey, by: LayerInfo) -> tuple[list[Child], str]:
    rows = backend.means(section, key, by.key)
    body = html.Div(figures.mean_rows(rows, ROWS, noun_of(backend, section)), className="dist")
    title = f"{words.KIND_TAGS[key.kind][0]} mean"
    names = ", ".join(f"{r['name']} {words.number(r['mean'])}" for r in rows[:5])
    return [_heading(title, f"by {by.title.lower()}"), body], f"{title}: {names}."
