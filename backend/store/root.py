"""The root attributes of a store: what makes a folder an atlas of this format."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.core.errors import BadStore
from backend.store import flat, schema


def read_root(folder: Path) -> dict[str, Any]:
    """Return the root attributes of an atlas.

    Raises
    ------
    BadStore
        If the folder is no atlas, or one of another format version.
    """
    if not folder.is_dir():
        raise BadStore(
            f"There is no atlas at {folder}.", "Build one: python -m backend build OUT.zarr FILES."
        )
    attributes: dict[str, Any] = flat.read_header(folder).get("attributes", {})
    if attributes.get("format") != schema.FORMAT:
        raise BadStore(
            f"{folder} is a zarr folder, but not an atlas.",
            "Build one: python -m backend build OUT.zarr FILES.",
        )
    if attributes.get("format_version") != schema.FORMAT_VERSION:
        raise BadStore(
            f"{folder} has format version {attributes.get('format_version')}; "
            f"this program reads version {schema.FORMAT_VERSION}.",
            "Build the atlas again with this program.",
        )
    return attributes


def edition_of(attributes: Mapping[str, Any]) -> str:
    """Return the version and a digest of when and as what the store was made, such as 3-1f0c9a2e.

    Two stores made at one place one after the other differ, although both begin at version 1.
    """
    made = f"{attributes['name']}|{attributes['created']}|{len(attributes['sections'])}"
    return f"{attributes['version']}-{hashlib.sha256(made.encode()).hexdigest()[:8]}"
