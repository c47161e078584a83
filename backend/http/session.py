"""Sessions: an opaque random owner in a signed cookie, and the key that signs it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from flask import session

_OWNER = "owner"


def owner() -> str:
    """Return the opaque id of this session; a new one where the browser has none."""
    found = session.get(_OWNER)
    if not isinstance(found, str) or len(found) != 32:
        found = secrets.token_hex(16)
        session[_OWNER] = found
        session.permanent = True
    return found


def signing_key(path: Path) -> bytes:
    """Return the installation's key, made once and readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(handle, "wb") as file:
        file.write(secrets.token_bytes(32))
    return path.read_bytes()
