"""A tissue image beside an upload: sent like any file, then put beside the section it shows."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from backend.core.errors import TooLarge
from backend.intake.picture import picture_size, suffix_of
from backend.intake.uploads import Uploads

#: Bytes of an image at most.
MOST_BYTES = 500_000_000
#: Stem of the image's file in the folder of the upload that it belongs to.
STEM = "image"
#: Note beside the upload that says what the image is.
NOTE = "picture"


def attach_image(uploads: Uploads, upload_id: str, image_id: str, owner: str) -> dict[str, Any]:
    """Put a finished upload, an image, beside another; it is no upload of its own any more.

    Parameters
    ----------
    uploads : Uploads
    upload_id, image_id : str
        Finished uploads of this owner: a section, and the image of its tissue.
    owner : str

    Returns
    -------
    dict
        ``name``, ``width``, ``height``, ``size`` and ``sha256`` of the image.

    Raises
    ------
    BadFile
        If it is no JPEG, PNG or TIFF image.
    TooLarge
        If it has too many bytes or pixels.
    UnknownUpload, Incomplete
    """
    section, image = uploads.path(upload_id, owner), uploads.path(image_id, owner)
    record = uploads.get(image_id, owner)
    if record.size > MOST_BYTES:
        raise TooLarge(
            f"{record.name} has {record.size:,} bytes; {MOST_BYTES:,} are allowed for an image.",
            "Export it at half the resolution, or as JPEG.",
        )
    width, height = picture_size(image, record.name)
    found = {"name": record.name, "width": width, "height": height, "size": record.size}
    detach_image(section)
    # What the bytes are decides the suffix, whatever the client called the file.
    os.replace(image, section.with_name(STEM + suffix_of(image)))
    about = {**found, "sha256": record.sha256}
    uploads.keep(upload_id, NOTE, about)
    uploads.delete(image_id, owner)
    return about


def detach_image(section: Path) -> None:
    """Forget the image beside an uploaded section, if there is one."""
    for old in [*section.parent.glob(f"{STEM}.*"), section.with_name(f"{NOTE}.json")]:
        old.unlink(missing_ok=True)


def image_of(section: Path) -> Path | None:
    """Return the image beside an uploaded section, or None."""
    return next(iter(sorted(section.parent.glob(f"{STEM}.*"))), None)


def image_note(section: Path) -> dict[str, Any] | None:
    """Return what the image beside an uploaded section is, or None."""
    note = section.with_name(f"{NOTE}.json")
    if not note.is_file():
        return None
    found: dict[str, Any] = json.loads(note.read_text())
    return found
