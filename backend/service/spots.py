"""Uploaded spots before a run: their card, kept beside the upload, and spots over the image."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from backend.core.errors import BadFile, BadRequest, Fault
from backend.core.settings import Limits
from backend.intake.attached import image_note, image_of
from backend.intake.check import spots
from backend.intake.spots import draw_spots, shape_of
from backend.intake.uploads import Uploads
from backend.store.atlas import Atlas

#: Note beside an upload with its card; it is looked at once for each image.
SPOTS = "spots.json"
#: Half the distance of neighbours, micrometres, from which they may be spots; spots at most.
LEAST_RADIUS, MOST_SPOTS = 10.0, 60_000


def spot_sections(atlas: Atlas) -> list[dict[str, Any]]:
    """Return the sections of an atlas whose cells lie on a lattice and have counts.

    Returns
    -------
    list of dict
        ``id``, ``title``, ``spots``, ``shape`` (square or hexagon), ``pitch`` and ``unit``.
    """
    found = []
    for section in atlas.sections():
        wide = section.radius >= LEAST_RADIUS or section.xy_unit != "um"
        if not (wide and section.n_genes and section.n_cells <= MOST_SPOTS):
            continue
        if "counts" not in section.unit:
            continue
        shape = shape_of(np.asarray(atlas.xy[section.rows], np.float64))
        if shape:
            found.append(
                {
                    "id": section.id,
                    "title": section.title,
                    "spots": section.n_cells,
                    "shape": shape,
                    "pitch": 2 * section.radius,
                    "unit": section.xy_unit,
                }
            )
    return found


def spots_card(uploads: Uploads, upload_id: str, owner: str, limits: Limits) -> dict[str, Any]:
    """Return what a finished upload of spots holds and how its image fits, looked at once."""
    path = uploads.path(upload_id, owner)
    note = Path(SPOTS).stem
    kept = uploads.recall(upload_id, note)
    if kept is not None:
        return kept
    about = image_note(path)
    card = spots(path, uploads.get(upload_id, owner).name, image_of(path), limits)
    found = {**card, "image": about}
    uploads.keep(upload_id, note, found)
    return found


def refuse_spots(name: str, card: Mapping[str, Any]) -> None:
    """Raise BadFile with all that is wrong with a file of spots, if anything is."""
    if not card["ok"]:
        raise BadFile(name, [Fault(**fault) for fault in card["faults"]])


def spots_overlay(uploads: Uploads, upload_id: str, section: str, owner: str) -> Path:
    """Return a JPEG of the image beside an upload with the spots of a section over it.

    Raises
    ------
    BadRequest
        If there is no image beside the upload.
    """
    path = uploads.path(upload_id, owner)
    image = image_of(path)
    if image is None:
        raise BadRequest("There is no image beside this upload.", "Send one first.")
    about = image_note(path) or {}
    known = hashlib.sha256(f"{section}\n{about.get('sha256')}".encode()).hexdigest()[:16]
    target = path.with_name(f"overlay-{known}.jpg")
    if not target.is_file():
        draft = target.with_suffix(".part")
        draw_spots(path, image, section, draft)
        draft.replace(target)
    return target
