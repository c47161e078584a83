"""What is said of common coordinates: the nearest section, scores, refusals, corrections."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from dash import html

from explorer import words
from explorer.components import Child, button, note, tag
from explorer.space_figures import ENDS, PLANES, Nudge

GRADE_TAGS = {"good": "ok", "fair": "", "poor": "warn"}


def span_of(placed: Sequence[Mapping[str, Any]], plane: str) -> tuple[float, float]:
    """Return the ends of the slider: sections of the plane and some way beyond."""
    found = [float(r["position_um"]) for r in placed if r["plane"] == plane]
    if not found:
        return 0.0, 12_000.0
    low, high = min(found) - 1000.0, max(found) + 1000.0
    return 100.0 * np.floor(low / 100.0), 100.0 * np.ceil(high / 100.0)


def near_line(placed: Sequence[Mapping[str, Any]], plane: str, position: float) -> list[Child]:
    """Return where the plane lies, and the nearest section with a button that opens it."""
    first, last = ENDS[PLANES[plane][0]]
    place = words.count(round(position)).replace("-", "\u2212")
    where = f"{place} µm along the axis from {first} to {last}. "
    among = [r for r in placed if r["plane"] == plane]
    if not among:
        return [where, f"No {plane} section has a place."]
    best = min(among, key=lambda r: abs(float(r["position_um"]) - position))
    off = abs(float(best["position_um"]) - position)
    text = f"Nearest: {best['title']}, {words.count(round(off))} µm away. "
    return [where, text, button("Open on the map", "open", best["id"], glyph="target", kind="sm")]


def said_of(info: Mapping[str, Any], points: Mapping[str, Any]) -> list[Child]:
    """Return what the picture shows, and whose brain it is."""
    n = len(points["codes"])
    text = (
        f"{info['name']}. {words.count(n)} of {words.plural(points['n_placed'], 'placed cell')}, "
        "a seeded sample with small classes favoured. In orange, a section that is being moved."
    )
    return [html.P(text, className="s t2"), html.P(info["licence"], className="s t3")]


def score_table(records: Sequence[Mapping[str, Any]], section: str) -> list[Child]:
    """Return the scores of each section, baselines first, and the reasons of refusals."""
    placed = sorted(
        (r for r in records if r["status"] == "registered"), key=lambda r: str(r["title"])
    )
    refused = [r for r in records if r["status"] != "registered"]
    heads = (
        ("Section", ""),
        ("Grade", "Outline at least .9 and 60 % in place: good; .8 and 40 %: fair"),
        ("In place: start", "Labelled cells in their region after the first guess"),
        ("affine", "after the affine"),
        ("smooth", "after the smooth stage"),
        ("hidden", "Regions that the registration did not see, after all stages"),
        ("Outline", "Dice overlap of tissue"),
        ("Landmarks", "Median distance of centres of regions, µm"),
        ("There and back", "Inverse consistency, median, µm"),
        ("Jacobian", "Least and greatest local change of area"),
    )
    head = html.Tr([html.Th(word, title=title) for word, title in heads])
    rows = [_row(r, r["id"] == section) for r in placed]
    parts: list[Child] = [html.Table([html.Thead(head), html.Tbody(rows)])]
    if refused:
        parts.append(_refusals(refused))
    return parts


def _row(record: Mapping[str, Any], is_shown: bool) -> html.Tr:
    met, hidden = record.get("agreement") or {}, record.get("held_out") or {}
    name = html.Button(
        record["title"],
        className="linkish cut",
        type="button",
        title=f"Open {record['title']}",
        **{"data-act": "open", "data-value": record["id"]},
    )
    cells: list[Child] = [
        name,
        tag(str(record["grade"]).capitalize(), GRADE_TAGS[record["grade"]]),
        *[_percent(met.get(stage)) for stage in ("start", "affine", "smooth")],
        _percent((hidden.get("agreement") or {}).get("smooth")),
        f"{record['dice']:.2f}",
        _micrometres(record.get("landmark_um")),
        _micrometres(record.get("consistency_um")),
        "{:.2f} to {:.2f}".format(*record["jacobian"]),
    ]
    return html.Tr([html.Td(c) for c in cells], className="sel" if is_shown else "")


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.0f} %"


def _micrometres(value: float | None) -> str:
    return "none" if value is None else f"{words.count(round(value))} µm"


def _refusals(refused: Sequence[Mapping[str, Any]]) -> html.Div:
    """Return the sections without a place, by reason."""
    reasons: dict[str, list[str]] = {}
    for record in refused:
        reasons.setdefault(str(record.get("reason", "")), []).append(str(record["title"]))
    lines = [
        html.P([html.B(", ".join(titles[:3]) + (" …" if len(titles) > 3 else "")), f": {reason}"])
        for reason, titles in reasons.items()
    ]
    return note([html.B(f"{words.plural(len(refused), 'section')} without a place"), *lines])


def corrections_of(records: Sequence[Mapping[str, Any]], section: str, nudge: Nudge) -> str | None:
    """Return the nudge of a section as ``register --corrections`` reads it, or None."""
    record = next((r for r in records if r["id"] == section and r["status"] == "registered"), None)
    if record is None or not nudge.is_set:
        return None
    # A section that was corrected before lies where that correction put it: the two add up.
    entry: dict[str, Any] = dict(record.get("correction") or {})
    for name in ("rotate_deg", "shift_right_um", "shift_down_um"):
        value = getattr(nudge, name) + float(entry.get(name, 0.0))
        entry = {**entry, name: value} if value else {k: v for k, v in entry.items() if k != name}
    if nudge.shift_along_um:
        entry["position_um"] = float(record["position_um"]) + nudge.shift_along_um
    return json.dumps({"sections": {record["id"]: entry}}, indent=2)
