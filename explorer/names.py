"""Names on the tissue: regions of a section, titles of all sections. Text, never markup."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from os.path import commonprefix
from typing import Any

import dash_leaflet as dl

from explorer import words

#: Sections of an atlas beyond which they are named by their place.
MANY = 24


def _latlng(x: float, y: float, world: float) -> list[float]:
    return [-256 * y / world, 256 * x / world]


def _name(text: str, at: list[float], kind: str, code: int = -1, um: float = 0) -> dl.DivMarker:
    width = f' data-um="{um:.0f}"' if um else ""
    # Leaflet takes markup here; a name is text, so it is escaped.
    icon_options = {
        "html": f'<span class="lab {kind}" data-code="{code}"{width}>{escape(text)}</span>',
        "className": "labpoint",
        "iconSize": [0, 0],
    }
    return dl.DivMarker(position=at, iconOptions=icon_options, interactive=False, keyboard=False)


def distinct(sections: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return what tells sections apart, by id: titles without what a data set's titles share."""
    members: dict[str, list[Mapping[str, Any]]] = {}
    for entry in sections:
        members.setdefault(entry["dataset"], []).append(entry)
    found = {}
    for entries in members.values():
        titles = [words.short_title(e) for e in entries]
        start = commonprefix(titles).rfind(" ") + 1 if len(titles) > 1 else 0
        for entry, title in zip(entries, titles, strict=True):
            found[entry["id"]] = title[start:] or title
    return found


def tissue_names(
    anchors: Sequence[tuple[str, float, float, int]], world: float, codes: Mapping[str, int]
) -> list[dl.DivMarker]:
    """Return names on the tissue, most cells first: the scripts drop those that collide."""
    ranked = sorted(anchors, key=lambda a: -a[3])
    return [_name(name, _latlng(x, y, world), "", codes.get(name, -1)) for name, x, y, _ in ranked]


def section_names(sections: Sequence[Mapping[str, Any]], world: float) -> list[dl.DivMarker]:
    """Return the titles of sections, above each of them; the largest first.

    Of many sections the place along the axis tells more than a title cut short.
    """
    many = len(sections) > MANY
    ranked = sorted(sections, key=lambda s: s["bounds"][0] - s["bounds"][2])
    return [
        _name(
            words.signed(s["position"]) if many and s["position"] is not None else s["title"],
            _latlng(s["bounds"][0], s["bounds"][1], world),
            "sect",
            um=s["bounds"][2] - s["bounds"][0],
        )
        for s in ranked
    ]
