"""Uploaded spots before a run: their card, kept beside the upload, and spots over the image."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.core.errors import BadFile, BadRequest, Fault
from backend.core.settings import Limits
from backend.intake.attached import image_note, image_of
from backend.intake.check import spots
from backend.intake.spots import draw_spots
from backend.intake.uploads import Uploads

#: Note beside an upload with its card; it is looked at once for each image.
SPOTS = "spots.json"


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
