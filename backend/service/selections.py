"""Selections: the cells inside a polygon or of a class; what they are, and how two differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.analysis.differential import differential
from backend.analysis.selection import inside
from backend.core.data import SectionInfo
from backend.core.errors import BadRequest, TooFewCells, UnknownLayer
from backend.core.layers import LayerKey
from backend.service import summary
from backend.service.planes import MONTAGE, Plane, Planes
from backend.tiles.layouts import parse_layout

#: Cells of a selection that enter a comparison, at most; a seeded draw above that.
COMPARED = 20_000


@dataclass(frozen=True, slots=True)
class Selection:
    """Some cells of a section, as it was asked for: rows counted from its first cell."""

    section: str

    plane: Plane
    info: SectionInfo
    rows: NDArray[np.int64]


def choose(planes: Planes, spec: Mapping[str, Any]) -> Selection:
    """Return the cells that a specification names.

    Parameters
    ----------
    spec : mapping
    ``section``, and either ``polygon`` (section coordinates; 0..1 on a layout) or ``layer``
    and ``code`` of a label.

    Raises
    ------
    BadRequest, UnknownSection, UnknownLayer
    """
    section = str(spec.get("section", ""))
    if section in ("", MONTAGE) or planes.of(section)[1] == MONTAGE:
        raise BadRequest("A selection needs one section.", "Name it as 'section'.")
    plane, inner = planes.of(section)
    info = plane.atlas.section(inner)
    layout = parse_layout(section)
    if "polygon" in spec and layout is not None:
        own = plane.renderer.layout(layout)
        within = inside(own.positions(slice(0, len(own))), _polygon(spec["polygon"]))
        rows = np.sort(own.rows[within].astype(np.int64)) - info.first
    elif "polygon" in spec:
        xy = np.asarray(plane.atlas.xy[info.rows])
        rows = np.flatnonzero(inside(xy, _polygon(spec["polygon"])))
    else:
        key = LayerKey.parse(str(spec.get("layer", "")))
        summary.require_label(plane.atlas, key)
        codes = np.asarray(plane.atlas.label(key.name).codes[info.rows])
        rows = np.flatnonzero(codes == _integer(spec.get("code"), "code"))
    return Selection(section, plane, info, rows)


def summarise(chosen: Selection) -> dict[str, Any]:
    """Return count and composition of a selection, by every label of the atlas."""
    atlas = chosen.plane.atlas
    labels = {}
    for name in atlas.labels():
        label = atlas.label(name)
        codes = np.asarray(label.codes[chosen.info.rows])[chosen.rows]
        found = np.bincount(codes[codes >= 0], minlength=len(label.categories))
        labels[name] = [
            {"code": int(c), "name": label.categories[c].name, "count": int(found[c])}
            for c in np.argsort(-found, kind="stable")
            if found[c] > 0
        ]
    return {"section": chosen.section, "n_cells": len(chosen.rows), "labels": labels}


def compare(first: Selection, second: Selection, limit: int) -> dict[str, Any]:
    """Return the measured genes that differ most between two selections.

    Raises
    ------
    UnknownLayer, TooFewCells
        If a section has no expression, the panels share no gene, or a selection has one cell.
    """
    counts_a, genes_a = _expression(first)
    counts_b, genes_b = _expression(second)
    at_b = {g: i for i, g in enumerate(genes_b)}
    shared = [(i, at_b[g]) for i, g in enumerate(genes_a) if g in at_b]
    if not shared:
        raise UnknownLayer(
            "The two selections share no measured gene.",
            "Compare cells of sections with overlapping panels.",
        )
    left, right = [i for i, _ in shared], [j for _, j in shared]
    names = tuple(first.plane.atlas.genes.symbol[genes_a[i]] for i in left)
    table = differential(counts_a[:, left], counts_b[:, right], names)
    return {
        "n_a": len(first.rows),
        "n_b": len(second.rows),
        "n_genes": len(names),
        "test": "Welch's t on log1p counts, Benjamini-Hochberg; cells are not animals",
        "genes": [row._asdict() for row in table[:limit]],
    }


def _integer(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRequest(f"'{name}' is not a whole number.", f"Send {name} as a number.")
    return value


def _polygon(points: Any) -> NDArray[np.float64]:
    try:
        polygon = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError):
        polygon = np.empty((0, 0))
    good = polygon.ndim == 2 and polygon.shape[1:] == (2,) and 3 <= len(polygon) <= 10_000
    if not good or not np.isfinite(polygon).all():
        raise BadRequest(
            "The polygon cannot be read.", "Send 3 to 10,000 corners as [[x, y], ...] in µm."
        )
    return polygon


def _expression(chosen: Selection) -> tuple[Any, list[int]]:
    expression = chosen.plane.atlas.expression(chosen.info.id)
    if expression is None:
        raise UnknownLayer(
            f"Section '{chosen.info.title}' has labels only, no expression.",
            "Choose a section with counts.",
        )
    rows = chosen.rows
    if len(rows) < 2:
        raise TooFewCells("A selection has fewer than two cells.", "Draw a larger one.")
    if len(rows) > COMPARED:
        rows = np.sort(np.random.default_rng(0).choice(rows, COMPARED, replace=False))
    return expression.matrix()[rows], [int(g) for g in expression.genes]
