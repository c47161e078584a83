"""A look at spots and their image before they are enhanced: sections, pixels, how the two fit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from backend.core.settings import Limits
from backend.intake.check import inspect
from backend.intake.fields import index_of, length_of, texts
from backend.intake.findings import Finding
from backend.intake.overlay import SIDE, is_inside, pitch_of, spots_over
from backend.intake.picture import picture_size, thumbnail
from backend.intake.places import find_coordinates
from backend.intake.read import SECTION_COLUMNS

#: Fields of obsm tried for pixel coordinates of the image, in this order.
PIXELS = ("pixel", "pixels", "image_px", "spatial_px", "X_pixel")
#: Findings that are about this atlas's genes, which an enhancement does not need.
ELSEWHERE = ("genes", "species")
#: Sections listed at most.
MOST_SECTIONS = 200
#: How much alike the directions to neighbours must be for a lattice, 0 to 1.
REGULAR = 0.6


def look_at_spots(path: Path, filename: str, image: Path | None, limits: Limits) -> dict[str, Any]:
    """Return what a file of spots holds, and how its image fits.

    Parameters
    ----------
    path : Path
        .h5ad file.
    filename : str
        The client's name of it.
    image : Path or None
    limits : Limits

    Returns
    -------
    dict
        ``ok``; ``faults``, each with what, where, expected, remedy; ``n_spots``, ``n_genes``;
        ``unit`` of the coordinates; ``sections``: list of {name, spots, pitch, shape, pitch_px,
        outside}, the last two None without an image; ``pixels``: field of pixels, or "".
    """
    card = inspect(path, filename, SimpleNamespace(symbol=[], ensembl=[]), limits)
    blocked = [f for f in card.findings if _blocks(f)]
    found: dict[str, Any] = {
        "ok": not blocked,
        "faults": [_fault(f.as_fault()) for f in blocked],
        "n_spots": card.n_cells,
        "n_genes": card.n_genes,
        "unit": card.xy_unit,
        "sections": [],
        "pixels": "",
    }
    if blocked:
        return found
    with h5py.File(path, "r") as file:
        xy, names, field, places = _places(file)
    size = picture_size(image) if image is not None else None
    found["pixels"] = field
    found["sections"] = [
        _section(name, names == name, xy, places, size)
        for name in list(dict.fromkeys(names.tolist()))[:MOST_SECTIONS]
    ]
    return found


def draw_spots(path: Path, image: Path, section: str, target: Path) -> None:
    """Write a JPEG of an image with the spots of a section: orange inside it, blue outside.

    Parameters
    ----------
    path : Path
        .h5ad file that was looked at before.
    image : Path
    section : str
        As ``look_at_spots`` names it; all where empty.
    target : Path
    """
    with h5py.File(path, "r") as file:
        _, names, _, places = _places(file)
    if places is None:
        thumbnail(image, SIDE).save(target, "JPEG", quality=85)
        return
    chosen = places[(names == section) | (section == "")]
    picture = spots_over(chosen, picture_size(image), lambda side: thumbnail(image, side))
    picture.save(target, "JPEG", quality=85)


def _places(
    file: h5py.File,
) -> tuple[NDArray[np.float64], NDArray[Any], str, NDArray[np.float64] | None]:
    """Return coordinates, names of sections, the field of pixels and the pixels."""
    n = length_of(index_of(file["obs"]))
    placed = find_coordinates(file, n)
    xy = placed[0][:, :2] if placed else np.zeros((n, 2))
    obs = file["obs"]
    column = next((c for c in SECTION_COLUMNS if c in obs), None)
    names = np.array(texts(obs[column], 200) if column else [""] * n, dtype=object)
    obsm = file.get("obsm", {})
    field = next((f for f in PIXELS if f in obsm and obsm[f].shape[:1] == (n,)), "")
    pixels = np.asarray(obsm[field][:, :2], np.float64) if field else None
    return xy, names, f"obsm/{field}" if field else "", pixels


def shape_of(xy: NDArray[np.floating]) -> str:
    """Return the lattice that spots of a section lie on: square, hexagon, or "" for neither.

    Notes
    -----
    Steps to the nearest neighbours of a square lattice point into directions that repeat every 90
    degrees, of a hexagonal one every 60; of cells in tissue, into all.
    """
    if len(xy) < 8:
        return ""
    apart, found = cKDTree(xy).query(xy, 7)
    pitch = float(np.median(apart[:, 1]))
    near = (apart[:, 1:] > 0) & (apart[:, 1:] <= 1.3 * pitch)
    steps = (xy[found[:, 1:]] - xy[:, None])[near]
    if not len(steps):
        return ""
    angle = np.arctan2(steps[:, 1], steps[:, 0])
    square, hexagon = (float(abs(np.exp(1j * fold * angle).mean())) for fold in (4, 6))
    if max(square, hexagon) < REGULAR:
        return ""
    return "square" if square >= hexagon else "hexagon"


def _section(
    name: str,
    rows: NDArray[np.bool_],
    xy: NDArray[np.float64],
    places: NDArray[np.float64] | None,
    size: tuple[int, int] | None,
) -> dict[str, Any]:
    has_both = places is not None and size is not None
    found: dict[str, Any] = {"name": name, "spots": int(rows.sum())}
    found |= {"pitch": pitch_of(xy[rows]), "shape": shape_of(xy[rows])}
    if not has_both:
        return {**found, "pitch_px": None, "outside": None}
    assert places is not None
    assert size is not None
    inside = is_inside(places[rows], size)
    return {**found, "pitch_px": pitch_of(places[rows]), "outside": float(1 - inside.mean())}


def _blocks(finding: Finding) -> bool:
    """Return whether a finding stands in the way: values that are no counts do, too."""
    if finding.key in ELSEWHERE:
        return False
    return finding.state == "blocked" or (finding.key == "counts" and finding.state != "ok")


def _fault(fault: Any) -> dict[str, str]:
    return {name: getattr(fault, name) for name in ("what", "where", "expected", "remedy")}
