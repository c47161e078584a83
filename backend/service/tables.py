"""Tables to take away: one line per cell, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import numpy as np

from backend.core.layers import MISSING, LayerInfo
from backend.service.planes import Plane

#: Cells per piece of a streamed table.
PIECE = 20_000
#: A cell that begins so would be run as a formula by a spreadsheet.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def safe_text(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def layer_table(plane: Plane, section: str, info: LayerInfo) -> Iterator[str]:
    """Yield CSV: cell id, position and the layer's value, a piece of lines at a time."""
    atlas = plane.atlas
    record = atlas.section(section)
    unit = f" ({info.unit})" if info.unit else ""
    yield f"# {atlas.name}, version {atlas.version}, section {record.title}, {info.key}{unit}\n"
    if atlas.simulated:
        yield "# simulated data\n"
    yield f"cell_id,x_{record.xy_unit},y_{record.xy_unit},{info.key.kind}_{info.key.name}\n"
    for start in range(record.first, record.rows.stop, PIECE):
        rows = slice(start, min(start + PIECE, record.rows.stop))
        yield _piece(plane, section, info, rows)


def _piece(plane: Plane, section: str, info: LayerInfo, rows: slice) -> str:
    xy = np.asarray(plane.atlas.xy[rows])
    values = np.asarray(plane.renderer.values(section, info.key, rows))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for name, (x, y), value in zip(plane.atlas.names(rows), xy, values, strict=True):
        writer.writerow([safe_text(name), f"{x:.2f}", f"{y:.2f}", _shown(info, value)])
    return out.getvalue()


def _shown(info: LayerInfo, value: float) -> str:
    if info.categories:
        return "" if value == MISSING else safe_text(info.categories[int(value)].name)
    return f"{value:.5g}" if np.isfinite(value) else ""
