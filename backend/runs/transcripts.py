"""Tables of transcripts: places, genes, and the cell each lies in, by a column or by polygons."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backend.core.errors import BadFile, Fault
from backend.models.spatialformer.transformer.cooccurrence import Transcripts

#: Beginnings of names that are controls, not genes.
CONTROLS = ("neg", "blank", "unassigned", "deprecated", "intergenic", "systemcontrol", "falsecode")
#: Distance between fields of view that were imaged apart, micrometres.
FIELD_GAP = 10_000.0
#: Transcripts of lower quality are left out, where the table has ``qv``.
LEAST_QUALITY = 20.0


def read_transcripts(
    path: Path, folder: Path, entry: Mapping[str, Any]
) -> tuple[tuple[str, ...], Transcripts]:
    """Return the genes of a table of transcripts, and the transcripts.

    Parameters
    ----------
    path : Path
        .parquet or .csv with a header.
    folder : Path
        Where ``polygons`` of the entry begin.
    entry : mapping
        ``columns`` names x, y, gene and, where there are, z, cell, field, qv; ``outside`` is the
        cell of transcripts without one; ``scale`` and ``z_scale`` are micrometres per unit.

    Raises
    ------
    BadFile
        If a column is missing.
    """
    columns = {"x": "x", "y": "y", "gene": "gene", **entry.get("columns", {})}
    table = _table(path, columns)
    gene = table[columns["gene"]].astype(str)
    keep = ~gene.str.lower().str.startswith(CONTROLS)
    if "qv" in columns:
        keep &= table[columns["qv"]] >= LEAST_QUALITY
    table, gene = table[keep], gene[keep]
    names, code = np.unique(gene.to_numpy(str), return_inverse=True)
    xyz = _places(table, columns, entry)
    cell = _cells(table, columns, entry, folder, xyz)
    field = table[columns["field"]].to_numpy() if "field" in columns else None
    if field is not None:
        xyz[:, 0] += np.unique(field, return_inverse=True)[1] * FIELD_GAP
    return tuple(map(str, names)), Transcripts(xyz, code.astype(np.int64), cell)


def _table(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    absent = [c for c in columns.values() if c not in table]
    if absent:
        there = ", ".join(map(str, table.columns))
        raise BadFile(
            path.name,
            [Fault(f"Column '{c}' is missing.", path.name, f"one of {there}",
                   "Name the columns of the table under 'columns'.") for c in absent],
        )  # fmt: skip
    return table


def _places(
    table: pd.DataFrame, columns: Mapping[str, str], entry: Mapping[str, Any]
) -> NDArray[np.float64]:
    scale = float(entry.get("scale", 1.0))
    parts = [
        table[columns["x"]].to_numpy(float) * scale,
        table[columns["y"]].to_numpy(float) * scale,
    ]
    if "z" in columns:
        parts.append(table[columns["z"]].to_numpy(float) * float(entry.get("z_scale", 1.0)))
    return np.stack(parts, axis=1)


def _cells(
    table: pd.DataFrame,
    columns: Mapping[str, str],
    entry: Mapping[str, Any],
    folder: Path,
    xyz: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Return the cell of each transcript, -1 outside."""
    if "polygons" in entry:
        sign = -1.0 if entry.get("flip_y") else 1.0
        return _inside([folder / p for p in entry["polygons"]], xyz, sign)
    if "cell" not in columns:
        return np.full(len(table), -1, np.int64)
    cell = table[columns["cell"]].to_numpy()
    outside = cell == entry.get("outside", -1)
    key = cell.astype(str)
    if "field" in columns:
        key = np.char.add(np.char.add(table[columns["field"]].to_numpy().astype(str), " "), key)
    out = np.full(len(table), -1, np.int64)
    out[~outside] = np.unique(key[~outside], return_inverse=True)[1]
    return out


def _inside(paths: list[Path], xyz: NDArray[np.float64], sign: float) -> NDArray[np.int64]:
    """Return the polygon that each transcript lies in; each z has a file, cells share names."""
    tables = [pd.read_parquet(p) for p in paths]
    names = np.unique(np.concatenate([t["poly_ID"].astype(str).unique() for t in tables]))
    row = {name: i for i, name in enumerate(names)}
    out = np.full(len(xyz), -1, np.int64)
    planes = np.unique(xyz[:, 2]) if xyz.shape[1] > 2 else [0.0]
    for plane, table in zip(planes, tables, strict=False):
        at = np.flatnonzero(xyz[:, 2] == plane) if xyz.shape[1] > 2 else np.arange(len(xyz))
        for name, ring in table.groupby(table["poly_ID"].astype(str), sort=True):
            corners = np.stack([ring["x"].to_numpy(float), sign * ring["y"].to_numpy(float)], 1)
            inside = points_inside(np.ascontiguousarray(xyz[at, :2]), corners)
            out[at[inside]] = row[str(name)]
    return out


@numba.njit(cache=True, nogil=True)
def points_inside(points: NDArray[np.float64], ring: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which points (m, 2) lie inside a polygon (k, 2), by crossings of a ray."""
    out = np.zeros(len(points), np.bool_)
    x0, x1 = ring[:, 0].min(), ring[:, 0].max()
    y0, y1 = ring[:, 1].min(), ring[:, 1].max()
    for p in range(len(points)):
        x, y = points[p, 0], points[p, 1]
        if x < x0 or x > x1 or y < y0 or y > y1:
            continue
        inside, j = False, len(ring) - 1
        for i in range(len(ring)):
            crosses = (ring[i, 1] > y) != (ring[j, 1] > y)
            if crosses:
                at = ring[i, 0] + (y - ring[i, 1]) * (ring[j, 0] - ring[i, 0]) / (
                    ring[j, 1] - ring[i, 1]
                )
                if x < at:
                    inside = not inside
            j = i
        out[p] = inside
    return out
