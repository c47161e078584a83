"""The view state: what a link holds. Pure functions between state, query string and choices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from backend.core.errors import BadRequest
from backend.core.layers import LayerInfo, LayerKey
from explorer.words import BASELINE

#: The plane of all sections.
MONTAGE = "atlas"
#: Sections that are annotated uploads.
QUERY = "query-"
PALETTES = ("ink", "viridis", "magma", "grey")
PANELS = ("see", "annotate")
SORTS = ("count", "name")
#: Labels whose classes are places; all others are cell types.
PLACES = ("region", "domain", "layer", "area")
#: Levels of cell types from coarse to fine; other names come after, as the store lists them.
LEVELS = ("class", "subclass", "type", "subtype", "cluster")
#: Codes in a link, at most: beyond that a link grows past what servers take.
MOST_CODES = 400
#: Characters of a tool's own state in a link.
MOST_USING = 600


@dataclass(frozen=True, slots=True)
class View:
    """What is on screen.

    Parameters
    ----------
    section : str
        Section id, or ``atlas`` for all sections.
    layer : str
        Layer key as text; the section's first layer where empty.
    only : tuple of int
        Codes of the layer that are isolated; none means all are shown.
    lo, hi : float or None
        Colour range; the layer's own where None.
    lock : bool
        Whether the range stays when the section changes.
    least : float or None
        Confidence below which cells are drawn as unassigned.
    at : (float, float, float) or None
        Centre in micrometres of the plane, and zoom; the section is fitted where None.
    fade : bool
        Whether imputed values of uncertain cells are faded.
    panel : str
        ``see`` or ``annotate``.
    job : str
        A job to follow.
    tool : str
        The tool that is open below the map; none where empty.
    using : str
        That tool's own state, such as the id of a job.
    """

    section: str = MONTAGE
    layer: str = ""
    only: tuple[int, ...] = ()
    lo: float | None = None
    hi: float | None = None
    lock: bool = False
    least: float | None = None
    fade: bool = False
    palette: str = PALETTES[0]
    sort: str = SORTS[0]
    at: tuple[float, float, float] | None = None
    panel: str = PANELS[0]
    job: str = ""
    tool: str = ""
    using: str = ""


DEFAULT = View()


def to_query(view: View) -> str:
    """Return the query string of a view, without what is at its default."""
    found = {f.name: getattr(view, f.name) for f in fields(View)}
    written = {k: _written(v) for k, v in found.items() if v != getattr(DEFAULT, k)}
    return urlencode(written, safe=":,")


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else ""
    if isinstance(value, tuple):
        return ",".join(_written(v) for v in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def from_query(query: str) -> View:
    """Return the view that a query string spells; what cannot be read is left at its default."""
    return from_json(dict(parse_qsl(query.lstrip("?"))))


def from_json(data: Mapping[str, Any] | None) -> View:
    """Return a view from the store of the page, unknown or unreadable values left out."""
    data = data or {}
    known = {name: read(data[name]) for name, read in _CHECK.items() if data.get(name) is not None}
    return replace(DEFAULT, **{k: v for k, v in known.items() if v is not None})


def as_json(view: View) -> dict[str, Any]:
    """Return a view for the store of the page."""
    return asdict(view)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _numbers(value: Any) -> list[float]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, Iterable):
        return []
    return [n for n in (_number(p) for p in parts) if n is not None]


def _codes(value: Any) -> tuple[int, ...]:
    return tuple(dict.fromkeys(int(n) for n in _numbers(value)[:MOST_CODES] if n >= -1))


def _place(value: Any) -> tuple[float, float, float] | None:
    numbers = _numbers(value)
    return (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 else None


def _text(value: Any) -> str:
    return str(value)[:120]


def _long_text(value: Any) -> str:
    return str(value)[:MOST_USING]


def _one_of(allowed: Sequence[str]) -> Any:
    return lambda value: value if value in allowed else None


def _layer(value: Any) -> str | None:
    try:
        return str(LayerKey.parse(str(value)))
    except BadRequest:
        return None


def _truth(value: Any) -> bool:
    return value in (True, "1", "true")


_CHECK: dict[str, Any] = {
    "section": _text,
    "layer": _layer,
    "only": _codes,
    "lo": _number,
    "hi": _number,
    "lock": _truth,
    "least": _number,
    "fade": _truth,
    "palette": _one_of(PALETTES),
    "sort": _one_of(SORTS),
    "at": _place,
    "panel": _one_of(PANELS),
    "job": _text,
    "tool": _text,
    "using": _long_text,
}


class Groups(NamedTuple):
    """The layers of a section by what they answer."""

    places: tuple[LayerInfo, ...]
    types: tuple[LayerInfo, ...]
    numbers: tuple[LayerInfo, ...]
    has_density: bool


def grouped(layers: Iterable[LayerInfo]) -> Groups:
    """Return layers as places, cell types from coarse to fine, and the rest."""
    layers = list(layers)
    labels = [i for i in layers if i.key.kind == "label" and not is_baseline(i.key)]
    types = [i for i in labels if i.key.name not in PLACES]
    order = {name: rank for rank, name in enumerate(LEVELS)}
    types.sort(key=lambda i: order.get(i.key.name, len(order)))
    models = [i for i in layers if i.key.kind in ("confidence", "weight", "factor", "score")]
    return Groups(
        places=tuple(i for i in labels if i.key.name in PLACES),
        types=tuple(types),
        numbers=(*models, *(i for i in layers if is_baseline(i.key))),
        has_density=any(i.key.kind == "density" for i in layers),
    )


def is_baseline(key: LayerKey) -> bool:
    """Return whether a label is what a plain method made, shown beside a model's."""
    return key.kind == "label" and key.name.startswith(BASELINE)


def default_layer(groups: Groups) -> str:
    """Return the layer a section opens with: places, else types, else density."""
    labels = groups.places + groups.types
    return str(labels[0].key) if labels else "density:cells"


def ordered(sections: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return sections by data set, then by position along the axis, then by title."""

    def place(entry: Mapping[str, Any]) -> tuple[Any, ...]:
        position = entry["position"]
        return (entry["dataset"], position is None, position or 0.0, entry["title"])

    return sorted(sections, key=place)


def section_at(
    sections: Iterable[Mapping[str, Any]], x: float, y: float
) -> Mapping[str, Any] | None:
    """Return the section whose bounds on the plane hold a point, micrometres."""
    for entry in sections:
        left, top, right, bottom = entry["bounds"]
        if left <= x <= right and top <= y <= bottom:
            return entry
    return None


def to_section(entry: Mapping[str, Any], x: float, y: float) -> tuple[float, float]:
    """Return a point of the plane in the coordinates of a section."""
    left, top = entry["bounds"][:2]
    return x - left + entry["extent"][0], y - top + entry["extent"][1]
