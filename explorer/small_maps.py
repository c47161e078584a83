"""Small maps of a section in a tool: a tile of one layer, its ramp, the way to the large map."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dash import html

#: Longest side of a small map, and what its card is wider, pixels.
MAP, EDGE = 190, 18


def small_map(
    entry: Mapping[str, Any],
    layer: str,
    title: str,
    hint: str,
    ramp: tuple[str, float, float] | None = None,
    order: Mapping[str, Any] | None = None,
    height: int = MAP,
) -> html.Button:
    """Return a map of one layer that puts it on the large map; the scripts load its tile.

    Parameters
    ----------
    ramp : (palette, lo, hi), optional
        Of a numeric layer; its ends are printed below the map.
    order : mapping, optional
        What a click changes of the view beside section and layer.
    height : int
        Longest side of the map, pixels.
    """
    left, top, right, bottom = entry["extent"]
    side, (x0, y0) = entry["side"], entry["origin"]
    scale = height / max(right - left, bottom - top, 1e-9)
    picture = html.Img(
        alt="",
        style={
            "width": f"{side * scale:.1f}px",
            "left": f"{(x0 - left) * scale:.1f}px",
            "top": f"{(y0 - top) * scale:.1f}px",
        },
        **{
            "data-tile": f"/tiles/{entry['id']}/{layer}/0/0/0.png",
            "data-edition": entry["edition"],
            "data-ramp": json.dumps(ramp) if ramp else "",
        },
    )
    crop = html.Span(
        picture,
        className="crop",
        style={
            "width": f"{(right - left) * scale:.1f}px",
            "height": f"{(bottom - top) * scale:.1f}px",
        },
    )
    legend = _ramp(ramp) if ramp else html.Span(hint, className="xs t3")
    pic = html.Span(crop, className="pic", style={"height": f"{max(height, MAP) + 2}px"})
    return html.Button(
        [html.B(title, className="s cut"), pic, legend],
        type="button",
        className="smallmap",
        style={"width": f"{max(height, MAP) + EDGE}px"},
        title=f"{title}. {hint}. Click shows it on the map.",
        **steer(entry["id"], layer, more=order),
    )


def _ramp(ramp: tuple[str, float, float]) -> html.Span:
    palette, lo, hi = ramp
    values = [lo, (lo + hi) / 2, hi] if palette == "div" else [lo, hi]
    ends = [html.Span(f"{v:.2g}".replace("-", "−")) for v in values]
    return html.Span(
        [
            html.Span(className="ramp", **{"data-palette": palette}),
            html.Span(ends, className="row between xs t3 num"),
        ],
        className="rampbox",
    )


def steer(
    section: str, layer: str, only: Sequence[int] = (), more: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Return the attributes of a control that puts a layer of a section on the large map.

    Parameters
    ----------
    only : sequence of int
        Codes of the classes that are shown alone.
    more : mapping, optional
        What else changes of the view.
    """
    order = {"section": section, "layer": layer, "only": list(only), **(more or {})}
    return {"data-act": "steer", "data-value": json.dumps(order)}
