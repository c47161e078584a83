"""Pictures of common coordinates: all sections in three dimensions, and one over its slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from explorer.plots import INK, LINE, styled

#: Axes (anteroposterior, dorsoventral, mediolateral) that run through, down and right of a plane.
PLANES = {"coronal": (0, 1, 2), "sagittal": (2, 1, 0), "horizontal": (1, 0, 2)}
#: What the ends of the axes are called.
ENDS = (("anterior", "posterior"), ("dorsal", "ventral"), ("left", "right"))
#: Traces that are changed while the rest stays.
PLANE_TRACE, SECTION_TRACE = 0, 1
MISSING_COLOUR = "#9aa4ae"
ACCENT = "#e8590c"


@dataclass(frozen=True, slots=True)
class Nudge:
    """A correction that a person tries on: turn in degrees, the rest in micrometres."""

    rotate_deg: float = 0.0
    shift_right_um: float = 0.0
    shift_down_um: float = 0.0
    shift_along_um: float = 0.0

    @property
    def is_set(self) -> bool:
        """Whether anything moves."""
        return any((self.rotate_deg, self.shift_right_um, self.shift_down_um, self.shift_along_um))


@dataclass(frozen=True, slots=True)
class At:
    """State of the tool: a plane, where it lies (micrometres; None for the middle), a nudge."""

    plane: str = "coronal"
    position_um: float | None = None
    nudge: Nudge = Nudge()


def parse_at(using: str) -> At:
    """Return the state of a link; what cannot be read is left at its default."""
    head, _, tail = using.partition("~")
    name, _, place = head.partition("@")
    at = At(name if name in PLANES else "coronal", _number(place))
    parts = [_number(p) or 0.0 for p in tail.split(",")] if tail else []
    return replace(at, nudge=Nudge(*parts)) if len(parts) == 4 else at


def write_at(at: At) -> str:
    """Return the state as a link holds it; undoes ``parse_at``."""
    place = "" if at.position_um is None else f"{at.position_um:.0f}"
    n = at.nudge
    values = (n.rotate_deg, n.shift_right_um, n.shift_down_um, n.shift_along_um)
    tail = f"~{','.join(f'{v:g}' for v in values)}" if n.is_set else ""
    return f"{at.plane}@{place}{tail}"


def _number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if abs(found) < 1e6 else None


def nudged(xyz: NDArray[np.float64], plane: str, nudge: Nudge) -> NDArray[np.float64]:
    """Return places of a section moved as a person tries, turned about their middle, (n, 3)."""
    through, down, right = PLANES[plane]
    angle = np.radians(nudge.rotate_deg)
    flat = xyz[:, [right, down]].astype(np.float64)
    middle = flat.mean(axis=0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (flat - middle) @ turn.T + middle + [nudge.shift_right_um, nudge.shift_down_um]
    out = xyz.astype(np.float64).copy()
    out[:, right], out[:, down] = moved.T
    out[:, through] += nudge.shift_along_um
    return out


def brain_figure(points: Mapping[str, Any], only: Sequence[int]) -> go.Figure:
    """Return all placed cells of a sample in their classes' colours, inside a faint outline.

    Parameters
    ----------
    points : mapping
        As ``Backend.space_points`` returns it.
    only : sequence of int
        Codes that are isolated; none means all.
    """
    xyz, codes = np.asarray(points["xyz"]), np.asarray(points["codes"])
    if only:
        kept = np.isin(codes, list(only))
        xyz, codes = xyz[kept], codes[kept]
    names = [c["name"] for c in points["categories"]] + ["no label"]
    colours = [c["colour"] for c in points["categories"]] + [MISSING_COLOUR]
    outline = np.asarray(points["outline"]).reshape(-1, 3)
    figure = go.Figure(
        [
            _plane_trace(outline if len(outline) else xyz, "coronal", None),
            _scatter(np.zeros((0, 3)), name="section on the map", size=1.6, colour=ACCENT),
            _scatter(outline, name="outline", size=1.6, colour=INK, opacity=0.12),
            go.Scatter3d(
                **_axes(xyz),
                mode="markers",
                name="cells",
                text=[names[c] for c in codes],
                hovertemplate="%{text}<extra></extra>",
                marker={"size": 1.8, "color": [colours[c] for c in codes], "opacity": 0.9},
                showlegend=False,
            ),
        ]
    )
    styled(figure)
    axis = {"gridcolor": LINE, "zerolinecolor": LINE, "showbackground": False, "color": INK,
            "showspikes": False, "showticklabels": False, "ticks": ""}  # fmt: skip
    figure.update_layout(
        scene={
            "xaxis": {**axis, "title": {"text": "AP", "font": {"size": 11}}},
            "yaxis": {**axis, "title": {"text": "ML", "font": {"size": 11}}},
            "zaxis": {
                **axis,
                "title": {"text": "DV", "font": {"size": 11}},
                "autorange": "reversed",
            },
            "aspectmode": "data",
            "camera": {
                "eye": {"x": -1.4, "y": -1.3, "z": 0.7},
                "center": {"x": 0, "y": 0, "z": -0.1},
            },
        },
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        showlegend=False,
    )
    return figure


def _axes(xyz: NDArray[Any]) -> dict[str, Any]:
    """Return places as plotly's axes: back, right, down."""
    return {"x": xyz[:, 0], "y": xyz[:, 2], "z": xyz[:, 1]}


def _scatter(
    xyz: NDArray[Any], name: str, size: float, colour: str, opacity: float = 1.0
) -> go.Scatter3d:
    return go.Scatter3d(
        **_axes(xyz),
        mode="markers",
        name=name,
        hoverinfo="skip",
        showlegend=False,
        marker={"size": size, "color": colour, "opacity": opacity},
    )


def _plane_trace(around: NDArray[Any], plane: str, position_um: float | None) -> go.Mesh3d:
    corners = plane_corners(around, plane, position_um)
    return go.Mesh3d(
        **_axes(corners),
        i=[0, 0],
        j=[1, 2],
        k=[2, 3],
        color=ACCENT,
        opacity=0.18,
        hoverinfo="skip",
        name="plane",
        showscale=False,
    )


def plane_corners(
    around: NDArray[Any], plane: str, position_um: float | None
) -> NDArray[np.float64]:
    """Return the corners of a plane that cuts all points, (4, 3), micrometres."""
    through, down, right = PLANES[plane]
    low, high = _span(around)
    corners = np.empty((4, 3))
    corners[:, through] = (low + high)[through] / 2 if position_um is None else position_um
    corners[:, down] = [low[down], low[down], high[down], high[down]]
    corners[:, right] = [low[right], high[right], high[right], low[right]]
    return corners


def _span(points: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if not len(points):
        return np.zeros(3), np.ones(3)
    return points.min(axis=0).astype(float), points.max(axis=0).astype(float)


def slice_figure(
    found: Mapping[str, Any], categories: Sequence[Mapping[str, Any]], nudge: Nudge
) -> go.Figure:
    """Return a section's cells over the borders of the reference's regions in its slice.

    Parameters
    ----------
    found : mapping
        As ``Backend.space_slice`` returns it.
    categories : sequence of {name, colour}
        Classes of the label on screen.
    """
    plane = found["record"]["plane"]
    _, down, right = PLANES[plane]
    xyz = nudged(np.asarray(found["xyz"]), plane, nudge)
    names = [c["name"] for c in categories] + ["no label"]
    colours = [c["colour"] for c in categories] + [MISSING_COLOUR]
    codes = [int(c) if int(c) < len(categories) else -1 for c in found["codes"]]
    borders = np.asarray(found["borders"]).reshape(-1, 2, 2)
    gaps = np.full((len(borders), 1, 2), np.nan)
    lines = np.concatenate([borders, gaps], axis=1).reshape(-1, 2)
    figure = go.Figure(
        [
            go.Scatter(
                x=lines[:, 0], y=lines[:, 1], mode="lines", hoverinfo="skip", name="reference",
                line={"color": INK, "width": 0.8}, opacity=0.7, showlegend=False,
            ),
            go.Scatter(
                x=xyz[:, right], y=xyz[:, down], mode="markers", name="cells", showlegend=False,
                text=[names[c] for c in codes], hovertemplate="%{text}<extra></extra>",
                marker={"size": 3, "color": [colours[c] for c in codes]},
            ),
        ]
    )  # fmt: skip
    first, last = ENDS[right]
    styled(figure, f"{first} to {last}, µm", f"{ENDS[down][0]} to {ENDS[down][1]}, µm")
    figure.update_yaxes(autorange="reversed", scaleanchor="x", showgrid=False, zeroline=False)
    figure.update_xaxes(showgrid=False, zeroline=False)
    return figure
