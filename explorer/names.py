"""Names on the tissue: regions of a section, titles of all sections. Text, never markup."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from os.path import commonprefix
from typing import Any

import dash_leaflet as dl

from explorer import words

#: Sections of a data set beyond which they are named by their place.
MANY = 24


def _latlng(x: float, y: float, world: float) -> list[float]:
    return [-256 * y / world, 256 * x / world]


def _name(
    text: str, at: list[float], kind: str, code: int = -1, um: float = 0, each: float = 0
) -> dl.DivMarker:
    width = f' data-um="{um:.0f}"' if um else ""
    width += f' data-each="{each:.0f}"' if each else ""
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
        start = _shared(titles)
        for entry, title in zip(entries, titles, strict=True):
            found[entry["id"]] = title[start:].lstrip(" ,") or title
    return found


def _shared(titles: Sequence[str]) -> int:
    """Return how many characters titles share up to the end of a word."""
    start = commonprefix(titles) if len(titles) > 1 else ""
    is_word = all(not t[len(start) : len(start) + 1].isalnum() for t in titles)
    return len(start) if is_word else start.rfind(" ") + 1


def tissue_names(
    anchors: Sequence[tuple[str, float, float, int]], world: float, codes: Mapping[str, int]
) -> list[dl.DivMarker]:
    """Return names on the tissue, most cells first: the scripts drop those that collide."""
    ranked = sorted(anchors, key=lambda a: -a[3])
    return [_name(name, _latlng(x, y, world), "", codes.get(name, -1)) for name, x, y, _ in ranked]


def section_names(sections: Sequence[Mapping[str, Any]], world: float) -> list[dl.DivMarker]:
    """Return names above sections, and above the first of each large data set; the largest first.

    The scripts print a name once its section is wide enough on screen; until then the name of a
    data set stands for its sections. Of many sections the place along the axis tells more than a
    title cut short.
    """
    called = distinct(sections)
    rows = _rows(sections)
    members: dict[str, list[Mapping[str, Any]]] = {}
    for entry in sections:
        members.setdefault(entry["dataset"], []).append(entry)
    groups = [_group(name, found, world) for name, found in members.items() if len(found) > MANY]
    singles = []
    for entry in sorted(sections, key=lambda s: -_width(s)):
        left, top, right, _ = entry["bounds"]
        many = len(members[entry["dataset"]]) > MANY and entry["position"] is not None
        text = words.signed(entry["position"]) if many else called[entry["id"]]
        room = max(right - left, 0.94 * rows[entry["id"]])
        at = _latlng(left, top, world)
        singles.append(_name(text, at, "sect", um=room, each=right - left if many else 0))
    return [*groups, *singles]


def _width(entry: Mapping[str, Any]) -> float:
    return float(entry["bounds"][2] - entry["bounds"][0])


def _group(name: str, sections: Sequence[Mapping[str, Any]], world: float) -> dl.DivMarker:
    """Return the name of a data set of many sections, above the first of its top row."""
    first = min(sections, key=lambda s: (s["bounds"][1], s["bounds"][0]))
    top = min(s["bounds"][1] for s in sections)
    row = [s for s in sections if s["bounds"][1] < first["bounds"][3]]
    left = min(s["bounds"][0] for s in row)
    widths = sorted(_width(s) for s in sections)
    text = f"{name}, {words.plural(len(sections), 'section')}"
    across = max(s["bounds"][2] for s in row) - left
    return _name(text, _latlng(left, top, world), "sect group", um=across, each=widths[0])


def _rows(sections: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return how far each section's left edge is from that of the next in its row, micrometres."""
    room = {}
    for entry in sections:
        left, top, _, bottom = entry["bounds"]
        head = top - 0.25 * (bottom - top)
        nexts = [
            s["bounds"][0] - left
            for s in sections
            if s["bounds"][0] > left and s["bounds"][1] < bottom and s["bounds"][3] > head
        ]
        room[entry["id"]] = min(nexts, default=_width(entry))
    return room
