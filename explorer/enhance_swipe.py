"""Before and after in one picture: spots left of a handle, subspots right, over the tissue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dash import html

from backend.core.geometry import Bounds
from explorer.components import Child, tag

#: Tiles per side of a section's square: those of this zoom level, 512 pixels each.
ZOOM = 1


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the picture: a layer of a section.

    Parameters
    ----------
    entry : mapping
        As ``Backend.section_entry`` returns it.
    layer : str
    caption : str
    kind : str
        Word of its tag, such as Measured.
    dashed : bool
        Whether it was not observed.
    """

    entry: Mapping[str, Any]
    layer: str
    caption: str
    kind: str
    dashed: bool = False


def swipe(
    before: Side,
    after: Side,
    ramp: tuple[str, float, float] | None,
    underlay: tuple[str, Bounds] | None,
    name: str,
) -> html.Div:
    """Return the picture; the scripts load its tiles and move its handle.

    Parameters
    ----------
    before, after : Side
    ramp : (palette, lo, hi) or None
        One range for both sides of a numeric layer.
    underlay : (address, bounds in coordinates of the section) or None
    name : str
        What is compared, for those who cannot see the picture.
    """
    box = _box(before.entry, after.entry, underlay)
    layers: list[Child] = []
    if underlay is not None:
        layers.append(_picture(underlay[0], underlay[1], box))
    layers += [
        html.Div(_tiles(side, box, ramp), className=f"side {place}")
        for side, place in ((before, "before"), (after, "after"))
    ]
    captions = html.Div(
        [
            html.Span([before.caption, _tag(before)], className="row"),
            html.Span([after.caption, _tag(after)], className="row"),
        ],
        className="row between s swipe-captions",
    )
    handle = html.Div(
        html.Span("‹ ›", **{"aria-hidden": "true"}),
        className="handle",
        role="slider",
        tabIndex="0",
        **{
            "data-swipe": "1",
            "aria-label": f"{name}: spots to the left, subspots to the right",
            "aria-valuemin": "0",
            "aria-valuemax": "100",
            "aria-valuenow": "50",
            "aria-valuetext": "50 % spots, 50 % subspots",
            "aria-orientation": "horizontal",
        },
    )
    frame = html.Div(
        [*layers, handle],
        className="swipe",
    )
    # The style sheet gives the height; all within is placed in parts of the frame.
    ratio = {"--ratio": f"{box.width / box.height:.5f}"}
    return html.Div([captions, frame], className="swipe-box", style=ratio)


def opacity_control() -> html.Label:
    """Return the slider of the spots' and subspots' opacity over the tissue."""
    return html.Label(
        [
            html.Span("Colour over tissue", className="s t2"),
            html.Div(
                html.Div(
                    html.I(),
                    className="fader-track",
                    role="slider",
                    tabIndex="0",
                    **{
                        "data-fader": "1",
                        "aria-label": "Opacity of spots and subspots over the tissue",
                        "aria-valuemin": "0",
                        "aria-valuemax": "100",
                        "aria-valuenow": "75",
                        "aria-valuetext": "75 %",
                    },
                ),
                className="fader",
            ),
        ],
        className="row",
    )


def _tag(side: Side) -> html.Span:
    return tag(side.kind, "imp" if side.dashed else "mea")


def _box(
    before: Mapping[str, Any], after: Mapping[str, Any], underlay: tuple[str, Bounds] | None
) -> Bounds:
    """Return what is in the picture: all spots and subspots with half a pitch around."""
    extents = [Bounds(*entry["extent"]) for entry in (before, after)]
    margin = 1.2 * float(before["radius"])
    return Bounds(
        min(e.left for e in extents) - margin,
        min(e.top for e in extents) - margin,
        max(e.right for e in extents) + margin,
        max(e.bottom for e in extents) + margin,
    )


def _picture(address: str, bounds: Bounds, box: Bounds) -> html.Img:
    return html.Img(src=address, alt="", className="under", style=_placed(bounds, box))


def _tiles(side: Side, box: Bounds, ramp: tuple[str, float, float] | None) -> list[html.Img]:
    """Return the tiles of a section's square that the picture shows."""
    entry = side.entry
    count = 1 << ZOOM
    step = float(entry["side"]) / count
    x0, y0 = entry["origin"]
    found = []
    for y in range(count):
        for x in range(count):
            left, top = x0 + x * step, y0 + y * step
            if left > box.right or top > box.bottom or left + step < box.left:
                continue
            if top + step < box.top:
                continue
            found.append(
                html.Img(
                    alt="",
                    style=_placed(Bounds(left, top, left + step, top + step), box),
                    **{
                        "data-tile": f"/tiles/{entry['id']}/{side.layer}/{ZOOM}/{x}/{y}.png",
                        "data-edition": entry["edition"],
                        "data-ramp": json.dumps(ramp) if ramp else "",
                    },
                )
            )
    return found


def _placed(bounds: Bounds, box: Bounds) -> dict[str, str]:
    """Return where bounds lie in the frame, in per cent of it."""
    return {
        "left": f"{100 * (bounds.left - box.left) / box.width:.3f}%",
        "top": f"{100 * (bounds.top - box.top) / box.height:.3f}%",
        "width": f"{100 * bounds.width / box.width:.3f}%",
        "height": f"{100 * bounds.height / box.height:.3f}%",
    }
