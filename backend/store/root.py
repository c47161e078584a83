"""The root attributes of a store: what makes a folder an atlas of this format."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.core.errors import BadStore
from backend.store import flat, schema
from backend.store.place import Place

#: Ending of the folder that an atlas is written into until it is whole.
PARTIAL = ".partial"
#: Folder of a half-built atlas with what is needed to go on.
WORK = ".build"


def read_root(folder: Place) -> dict[str, Any]:
    """Return the root attributes of an atlas.

    Raises
    ------
    BadStore
        If there is no atlas, only half of one, or one of another format version.
    """
    if isinstance(folder, Path):
        _refuse_half_built(folder)
        if not folder.is_dir():
            raise BadStore(
                f"There is no atlas at {folder}.",
                "Build one: python -m backend build OUT.zarr FILES.",
            )
    attributes: dict[str, Any] = _header(folder).get("attributes", {})
    if attributes.get("format") != schema.FORMAT:
        raise BadStore(
            f"{folder} is a zarr folder, but not an atlas.",
            "Build one: python -m backend build OUT.zarr FILES.",
        )
    found = attributes.get("format_version")
    if isinstance(found, int) and found > schema.FORMAT_VERSION:
        raise BadStore(
            f"{folder} was written by a newer program: format version {found}; this program "
            f"reads versions {_versions()}.",
            "Update this program.",
        )
    if found not in schema.READABLE:
        raise BadStore(
            f"{folder} has format version {found}; this program reads versions {_versions()}.",
            "Build the atlas again with this program.",
        )
    return attributes


def _header(folder: Place) -> dict[str, Any]:
    """Return the metadata of the root; say what is wrong with an address."""
    if isinstance(folder, Path):
        return flat.read_header(folder)
    try:
        return flat.read_header(folder)
    except BadStore as error:
        raise BadStore(
            f"There is no atlas at {folder}, or it cannot be read: {error.__cause__}.",
            "Check the address, and that you may read it.",
        ) from error.__cause__


def _versions() -> str:
    return f"{schema.READABLE[0]} to {schema.READABLE[-1]}"


def half_built(path: Path) -> tuple[int, int] | None:
    """Return how many sections of how many are written of an atlas to be, or None.

    Parameters
    ----------
    path : Path
        Of the atlas, or of its staging folder.
    """
    staging = path if path.name.endswith(PARTIAL) else path.with_name(path.name + PARTIAL)
    work = staging / WORK
    if path.exists() and path != staging:
        return None
    if not work.is_dir():
        return None
    try:
        total = int(json.loads((work / "plan.json").read_text("utf-8"))["sections"])
    except (OSError, ValueError, KeyError):
        total = 0
    return len(list((work / "done").glob("*.json"))), total


def _refuse_half_built(path: Path) -> None:
    found = half_built(path)
    if found is not None:
        raise BadStore(
            f"The atlas at {path} is half built: {found[0]} of {found[1]} sections are written.",
            "Repeat the command that began it; it goes on where it stopped.",
        )


def remove_work(path: Path) -> None:
    """Remove from a finished atlas what was only needed to finish it."""
    shutil.rmtree(path / WORK, ignore_errors=True)


def edition_of(attributes: Mapping[str, Any]) -> str:
    """Return the version and a digest of when and as what the store was made, such as 3-1f0c9a2e.

    Two stores made at one place one after the other differ, although both begin at version 1.
    """
    made = f"{attributes['name']}|{attributes['created']}|{len(attributes['sections'])}"
    return f"{attributes['version']}-{hashlib.sha256(made.encode()).hexdigest()[:8]}"
