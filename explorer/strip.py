"""Sections in the path bar and the dock: where one is, thumbnails, what the section is made of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dash import html

from backend.core.geometry import Bounds
from backend.core.layers import LayerInfo, LayerKey
from explorer import figures, words
from explorer.components import Child
from explorer.icons import icon
from explorer.names import distinct
from explorer.scene import noun_of
from explorer.state import MONTAGE, PLACES, default_layer, grouped

if TYPE_CHECKING:
    from backend.service import Backend

#: Rows of the distribution that fit into the dock.
ROWS = 7
#: Width and height of a thumbnail, pixels.
THUMB = (68, 84)


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
        return _shares(backend, section, info, view) if info else no_distribution()
    by = (groups.places or groups.types or (None,))[0]
    if by is None or key.kind == "density":
        first = (groups.types or groups.places or (None,))[0]
        return _shares(backend, section, first, view) if first else no_distribution()
    return _means(backend, section, key, by)


def no_distribution() -> tuple[list[Child], str]:
    """Return what is said where nothing can be counted by."""
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
