"""One cell: finding it under the pointer, and all that is known of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionInfo
from backend.core.errors import UnknownCell
from backend.core.geometry import TileAddress
from backend.core.layers import LIKELIEST, MISSING, LayerKey, likely_layers
from backend.core.trust import CERTAINTY, gene_trust
from backend.service.planes import Plane
from backend.store.atlas import Atlas
from backend.tiles.discs import rows_near
from backend.tiles.layouts import ROOT, Layout

#: Genes listed on a cell card, per kind.
TOP_GENES = 6
#: Zoom of the tiles searched around the pointer: 1/4096 of the plane per tile at most.
DEEPEST_PICK = 20
#: The same on a layout, whose codes have 16 bits per axis.
DEEPEST_PLACE = 16


def pick(plane: Plane, x: float, y: float, radius: float) -> tuple[SectionInfo, int] | None:
    """Return the section and row of the cell nearest to a point of the plane.

    Parameters
    ----------
    x, y : float
        Micrometres on the plane.
    radius : float
        Farthest distance that still counts, micrometres.

    Returns
    -------
    (SectionInfo, int) or None
        The row counts from the section's first cell.
    """
    atlas = plane.atlas
    if not (0 <= x < atlas.world_um and 0 <= y < atlas.world_um):
        return None
    zoom = int(np.clip(np.floor(np.log2(atlas.world_um / max(radius, 1e-6))), 0, DEEPEST_PICK))
    best: tuple[float, SectionInfo, int] | None = None
    for address in _around(zoom, x / atlas.world_um, y / atlas.world_um):
        for info, rows in atlas.rows_in_tile(address):
            found = _nearest(atlas, info, rows, x, y)
            if found and found[0] <= radius and (best is None or found[0] < best[0]):
                best = (found[0], info, found[1])
    return (best[1], best[2]) if best else None


def pick_place(
    plane: Plane, layout: Layout, x: float, y: float, radius: float
) -> tuple[SectionInfo, int] | None:
    """Return the section and row of the cell nearest to a point of a layout.

    Parameters
    ----------
    x, y, radius : float
        Of the unit square.

    Returns
    -------
    (SectionInfo, int) or None
        The row counts from the section's first cell.
    """
    if not (0 <= x < 1 and 0 <= y < 1):
        return None
    start = int(np.clip(np.floor(-np.log2(max(radius, 1e-6))), 0, DEEPEST_PLACE))
    for zoom in range(DEEPEST_PLACE, start - 1, -1):
        tile = TileAddress(zoom, int(x * (1 << zoom)), int(y * (1 << zoom)))
        near = rows_near(layout.codes, ROOT, tile, 1.0)
        if not len(near):
            continue
        distance = np.hypot(*(layout.positions(near) - (x, y)).T)
        best = int(np.argmin(distance))
        # All cells within one side of the tile were looked at; farther ones may have been missed.
        if distance[best] <= 2.0**-zoom or zoom == start:
            if distance[best] > radius:
                return None
            row = int(layout.rows[near[best]])
            sections = plane.atlas.sections()
            info = next(s for s in sections if s.first <= row < s.first + s.n_cells)
            return info, row - info.first
    return None


def _around(zoom: int, fx: float, fy: float) -> list[TileAddress]:
    """Return the tile under a point, as fractions of the plane, and its neighbours."""
    last = (1 << zoom) - 1
    cx, cy = int(fx * (last + 1)), int(fy * (last + 1))
    return [
        TileAddress(zoom, px, py)
        for py in range(max(cy - 1, 0), min(cy + 1, last) + 1)
        for px in range(max(cx - 1, 0), min(cx + 1, last) + 1)
    ]


def _nearest(
    atlas: Atlas, info: SectionInfo, rows: slice, x: float, y: float
) -> tuple[float, int] | None:
    xy = np.asarray(atlas.xy[rows], dtype=np.float64)
    if not len(xy):
        return None
    side = atlas.world_um / (1 << info.slot.level)
    at = (x - info.slot.x * side + info.origin[0], y - info.slot.y * side + info.origin[1])
    distance = np.hypot(xy[:, 0] - at[0], xy[:, 1] - at[1])
    row = int(np.argmin(distance))
    return float(distance[row]), rows.start + row - info.first


def card(plane: Plane, info: SectionInfo, row: int) -> dict[str, Any]:
    """Return the card of a cell: id, place, labels with confidence, top genes.

    Parameters
    ----------
    row : int
        Counted from the section's first cell.

    Raises
    ------
    UnknownCell
        If the section has no such row.
    """
    if not 0 <= row < info.n_cells:
        raise UnknownCell(
            f"Section '{info.id}' has no row {row}.", f"Rows are 0 to {info.n_cells - 1}."
        )
    atlas, at = plane.atlas, info.first + row
    x, y = (float(v) for v in np.asarray(atlas.xy[at : at + 1])[0])
    return {
        "id": atlas.names(slice(at, at + 1))[0],
        "section": info.id,
        "row": row,
        "x": x,
        "y": y,
        "labels": _labels(atlas, at),
        "measured": _measured(atlas, info, row),
        "imputed": _imputed(atlas, info, at),
    }


def _labels(atlas: Atlas, at: int) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    numbers = set(atlas.numbers())
    for name in atlas.labels():
        label = atlas.label(name)
        code = int(label.codes[at : at + 1][0])
        confidence = LayerKey("confidence", name)
        entry: dict[str, Any] = {"name": None, "colour": None}
        if code != MISSING:
            category = label.categories[code]
            entry = {"name": category.name, "colour": category.colour, "parent": category.parent}
        if confidence in numbers:
            value = float(atlas.number(confidence).values[at : at + 1][0])
            entry["confidence"] = value if np.isfinite(value) else None
        likely = _likeliest(atlas, name, at, numbers)
        if likely:
            entry["alternatives"] = likely
        if code != MISSING or entry.get("confidence") is not None:
            found[name] = entry
    return found


def _likeliest(
    atlas: Atlas, label: str, at: int, numbers: set[LayerKey]
) -> list[tuple[str, float]]:
    """Return the likeliest classes of an annotated cell with their probabilities."""
    found = []
    categories = atlas.label(label).categories
    for rank in range(LIKELIEST):
        code, chance = likely_layers(label, rank)
        if code in numbers and chance in numbers:
            value = float(atlas.number(code).values[at : at + 1][0])
            if np.isfinite(value):
                p = float(atlas.number(chance).values[at : at + 1][0])
                found.append((categories[int(value)].name, p))
    return found


def _measured(atlas: Atlas, info: SectionInfo, row: int) -> list[tuple[str, float]]:
    expression = atlas.expression(info.id)
    if expression is None:
        return []
    genes, values = expression.cell(row)
    order = np.argsort(-values, kind="stable")[:TOP_GENES]
    return [(atlas.genes.symbol[int(genes[i])], float(values[i])) for i in order]


def _imputed(atlas: Atlas, info: SectionInfo, at: int) -> list[tuple[str, float]]:
    """Return the genes highest above their own mean, with their imputed values."""
    latent = latents(atlas, slice(at, at + 1))
    table = atlas.genes
    if latent is None or not is_embedded(atlas, info.id):
        return []
    if table.embedding is None or table.offset is None:
        return []
    above = table.embedding @ latent[0]
    order = np.argsort(-above, kind="stable")[:TOP_GENES]
    values = np.maximum(0.0, above[order] + table.offset[order])
    return [(table.symbol[int(g)], float(v)) for g, v in zip(order, values, strict=True)]


def interval(
    atlas: Atlas, info: SectionInfo, row: int, symbol: str, value: float
) -> dict[str, float] | None:
    """Return the 90 % interval of an imputed value of a cell and the cell's certainty, or None.

    On the scale of the value; how far the gene's level differs between technologies is not part of
    it.
    """
    embedding = atlas.embedding("cell")
    provenance = embedding.provenance if embedding else None
    widths = (provenance.parameters if provenance else {}).get("half_widths")
    trust = gene_trust(atlas.genes.trust, atlas.genes.index(symbol))
    if not widths or CERTAINTY not in atlas.numbers() or trust is None:
        return None
    certainty = float(atlas.number(CERTAINTY).values[info.first + row])
    half = float(np.interp(certainty, np.linspace(0, 1, len(widths)), widths)) * trust.spread
    if not np.isfinite(half):
        return None
    return {"lo": max(0.0, value - half), "hi": value + half, "certainty": certainty}


def latents(atlas: Atlas, rows: slice) -> NDArray[np.float32] | None:
    """Return the cell embeddings (n, d) of some rows as real numbers, or None."""
    embedding = atlas.embedding("cell")
    if embedding is None:
        return None
    values = np.asarray(embedding.values[rows], dtype=np.float32)
    return np.asarray(values * embedding.scale, dtype=np.float32)


def is_embedded(atlas: Atlas, section: str) -> bool:
    """Whether a section's cells have an embedding, and hence imputed genes."""
    embedding = atlas.embedding("cell")
    return embedding is not None and section in embedding.sections
