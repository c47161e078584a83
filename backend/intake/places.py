"""Coordinates of an upload: where they are, whether they can be used, and in which unit."""

from __future__ import annotations

from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from backend.intake.fields import numbers
from backend.intake.findings import Finding
from backend.intake.mapping import OBS_PAIRS, OBSM

#: Fields tried beyond those that are read without being told.
MORE_OBSM = ("X_spatial3d", "spatial_coords", "xy", "X_xy", "coordinates", "centroids")
MORE_PAIRS = (
    ("spatial_x", "spatial_y"), ("x_slide_mm", "y_slide_mm"),
    ("CenterX_global_px", "CenterY_global_px"), ("pxl_col_in_fullres", "pxl_row_in_fullres"),
    ("imagecol", "imagerow"), ("array_col", "array_row"),
)  # fmt: skip
#: Cells looked at for the spacing.
NEIGHBOURHOOD = 50_000
#: Pitches of spot arrays, micrometres.
PITCHES = (2.0, 8.0, 10.0, 16.0, 20.0, 25.0, 50.0, 55.0, 100.0, 200.0)
_WHERE = "obsm['spatial']"
_SET = "adata.obsm['spatial'] = xy   # (cells, 2), micrometres"


class Spacing(NamedTuple):
    """Median distance to the nearest neighbour, whether it is a lattice, and the likely unit."""

    distance: float
    is_lattice: bool
    unit: str


def find_coordinates(file: h5py.File, n_cells: int) -> tuple[NDArray[np.float64], str] | None:
    """Return coordinates (n, 2 or 3) and the field they came from, or None."""
    obsm = file.get("obsm")
    if isinstance(obsm, h5py.Group):
        names = [n for n in (*OBSM, *MORE_OBSM) if n in obsm] + sorted(
            n for n in obsm if "spatial" in n.lower()
        )
        for name in names:
            xy = _obsm(obsm[name], n_cells)
            if xy is not None:
                return xy, f"obsm/{name}"
    obs = file.get("obs")
    for pair in (*OBS_PAIRS, *MORE_PAIRS) if isinstance(obs, h5py.Group) else ():
        read = [numbers(obs[name]) for name in pair if name in obs]
        columns = [c for c in read if c is not None and len(c) == n_cells]
        if len(columns) == 2:
            return np.stack(columns, axis=1), f"obs/{pair[0]}, obs/{pair[1]}"
    return None


def _obsm(node: Any, n_cells: int) -> NDArray[np.float64] | None:
    if isinstance(node, h5py.Group):
        index = str(node.attrs.get("_index", "_index"))
        columns = [numbers(node[n]) for n in node if n != index and n != "_index"]
        found = [c for c in columns if c is not None and len(c) == n_cells]
        return np.stack(found[:3], axis=1) if len(found) >= 2 else None
    good = isinstance(node, h5py.Dataset) and node.ndim == 2 and node.dtype.kind in "fiu"
    if not good or node.shape[0] != n_cells or node.shape[1] not in (2, 3):
        return None
    return np.asarray(node[:], dtype=np.float64)


def check_coordinates(file: h5py.File, n_cells: int) -> tuple[list[Finding], str, str]:
    """Return findings on the coordinates, their field and their unit."""
    found = find_coordinates(file, n_cells)
    if found is None:
        return [_missing(file)], "", ""
    xy, field = found
    bad = int((~np.isfinite(xy).all(axis=1)).sum())
    if bad:
        text = "Finite coordinates for every cell."
        fix = "Drop these cells: adata = adata[np.isfinite(adata.obsm['spatial']).all(1)]"
        title = "Coordinates are missing (NaN or infinite)"
        return [_blocked(title, f"{bad:,} of {n_cells:,} cells", text, fix, field)], field, ""
    if n_cells > 1 and np.all(xy == xy[0]):
        text = "A place of its own for each cell."
        return [_blocked("All cells lie at one place", "", text, _SET, field)], field, ""
    flat = xy[:, :2]
    spacing = spacing_of(flat)
    return (
        [_placed(flat, spacing, field), *_shared(flat, field), _orientation(field)],
        (field),
        spacing.unit,
    )


def spacing_of(xy: NDArray[np.float64]) -> Spacing:
    """Return the median nearest-neighbour distance of cells (n, 2) and the unit it suggests.

    Notes
    -----
    Of large sections a vertical band is measured: thinning the cells would widen the spacing.
    Cells of tissue lie 2 to 60 µm apart; spot arrays have a few known pitches.
    """
    if len(xy) < 2:
        return Spacing(0.0, False, "um")
    if len(xy) > NEIGHBOURHOOD:
        half = NEIGHBOURHOOD / len(xy) / 2
        lo, hi = np.quantile(xy[:, 0], [0.5 - half, 0.5 + half])
        xy = xy[(xy[:, 0] >= lo) & (xy[:, 0] <= hi)][: 4 * NEIGHBOURHOOD]
    distance = cKDTree(xy).query(xy, k=2)[0][:, 1]
    distance = distance[distance > 0]
    if not len(distance):
        return Spacing(0.0, False, "px")
    low, median, high = np.quantile(distance, [0.1, 0.5, 0.9])
    is_lattice = len(distance) >= 20 and high <= 1.05 * low
    return Spacing(float(median), bool(is_lattice), _unit(float(median), bool(is_lattice)))


def _unit(distance: float, is_lattice: bool) -> str:
    if is_lattice:
        if any(abs(distance - pitch) <= 0.03 * pitch for pitch in PITCHES):
            return "um"
        return "mm" if any(abs(1000 * distance - p) <= 0.03 * p for p in PITCHES) else "px"
    if distance < 0.5:
        return "mm" if 2 <= 1000 * distance <= 200 else "px"
    return "um" if 2 <= distance <= 60 else "px"


def _placed(xy: NDArray[np.float64], spacing: Spacing, field: str) -> Finding:
    span = np.ptp(xy, axis=0)
    kind = "spots on a lattice" if spacing.is_lattice else "nearest neighbours"
    value = f"{span[0]:,.4g} x {span[1]:,.4g}, {kind} {spacing.distance:.3g} apart"
    if spacing.unit == "um":
        return Finding("coordinates", "ok", "Coordinates in µm", value, f"Read from {field}.")
    name = {"mm": "millimetres", "px": "pixels or lattice steps"}[spacing.unit]
    return Finding(
        "coordinates",
        "warning",
        f"Coordinates look like {name}",
        value,
        f"Read from {field}. Neighbourhoods are unaffected; distances are not in µm.",
        "Multiply by µm per unit: adata.obsm['spatial'] *= um_per_unit",
        field,
    )


def _shared(xy: NDArray[np.float64], field: str) -> list[Finding]:
    """Return a warning where many cells share their place with another."""
    shared = len(xy) - len(np.unique(xy, axis=0))
    if shared <= 0.01 * len(xy):
        return []
    text = "Several sections in one file lie on top of each other, or cells were counted twice."
    fix = "Send one section per file."
    title = "Cells lie on top of each other"
    return [Finding("coordinates", "warning", title, f"{shared:,} cells", text, fix, field)]


def _orientation(field: str) -> Finding:
    return Finding(
        "orientation",
        "ok",
        "y is taken to grow downwards, as in images",
        "",
        "Rotation and mirroring do not change the annotation.",
        "If the section is upside down: adata.obsm['spatial'][:, 1] *= -1",
        field,
    )


def _missing(file: h5py.File) -> Finding:
    obsm = file.get("obsm")
    there = ", ".join(sorted(obsm)[:8]) if isinstance(obsm, h5py.Group) else ""
    value = f"obsm has {there}" if there else "obsm is empty"
    text = "Types can still be annotated; regions and niches cannot, and are left out."
    title = "There are no coordinates"
    return Finding("coordinates", "warning", title, value[:160], text, _SET, _WHERE)


def _blocked(title: str, value: str, text: str, fix: str, where: str) -> Finding:
    return Finding("coordinates", "blocked", title, value, text, fix, where)
