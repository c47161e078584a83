"""Sessions: an opaque random owner in a signed cookie, and the key that signs it."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
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
    if not path.exists():
        # Written whole beside its place: another process finds no key, or all of it.
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(32))
        with suppress(FileExistsError):
            os.link(beside, path)
        beside.unlink()
    return path.read_bytes()
