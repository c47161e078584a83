"""Parameters of a request, read strictly: a value that cannot be meant is refused, not guessed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from flask import request

from backend.core.errors import BadRequest, TooLarge
from backend.core.geometry import Bounds
from backend.core.layers import LayerKey, Style

#: Bytes of a JSON body.
BODY_BYTES = 1_000_000
_PALETTE = re.compile(r"[a-z0-9-]{1,40}")
_TEXT = 200


def text(name: str, default: str | None = None) -> str:
    """Return a text parameter; required where there is no default."""
    found = request.args.get(name, default)
    if found is None:
        raise BadRequest(f"The parameter '{name}' is missing.", f"Add ?{name}=...")
    if len(found) > _TEXT:
        raise BadRequest(f"'{name}' is longer than {_TEXT} characters.")
    return found


def number(name: str) -> float | None:
    """Return a finite number, or None where the parameter is absent."""
    found = request.args.get(name)
    if found is None or found == "":
        return None
    try:
        value = float(found)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadRequest(f"'{name}={found[:40]}' is not a finite number.")
    return value


def required_number(name: str) -> float:
    """Return a finite number that must be there."""
    value = number(name)
    if value is None:
        raise BadRequest(f"The parameter '{name}' is missing.", f"Add &{name}=...")
    return value


def whole(name: str, default: int, least: int, most: int) -> int:
    """Return a whole number within bounds."""
    found = request.args.get(name)
    if found is None or found == "":
        return default
    if not re.fullmatch(r"-?\d{1,18}", found) or not least <= int(found) <= most:
        raise BadRequest(f"'{name}={found[:40]}' is not a whole number from {least} to {most}.")
    return int(found)


def layer(name: str = "layer") -> LayerKey:
    """Return a layer that must be named."""
    return LayerKey.parse(text(name))


def optional_layer(name: str = "layer") -> LayerKey | None:
    """Return a layer, or None where none is named."""
    found = request.args.get(name)
    return LayerKey.parse(found) if found else None


def view(name: str = "view") -> Bounds | None:
    """Return a rectangle of the plane, left,top,right,bottom in micrometres, or None."""
    found = request.args.get(name)
    if not found:
        return None
    try:
        bounds = Bounds(*(float(part) for part in found.split(",")))
    except (TypeError, ValueError):
        bounds = Bounds(0, 0, math.nan, 0)
    if not all(map(math.isfinite, bounds)) or bounds.width < 0 or bounds.height < 0:
        raise BadRequest(f"'{name}' is not left,top,right,bottom in micrometres.")
    return bounds


def style() -> Style:
    """Return how a tile or a figure is to be drawn."""
    palette = request.args.get("palette") or Style().palette
    if not _PALETTE.fullmatch(palette):
        raise BadRequest("That is no name of a palette.", "For example ink-light or viridis.")
    lo, hi = number("lo"), number("hi")
    if lo is not None and hi is not None and lo > hi:
        raise BadRequest(f"The range {lo:g} to {hi:g} is upside down.", "Give lo below hi.")
    size = whole("size", 256, 256, 512)
    if size not in (256, 512):
        raise BadRequest("Tiles have 256 or 512 pixels.", "Use size=256 or size=512.")
    return Style(palette, lo, hi, size, codes("only"), number("least"))


def codes(name: str) -> tuple[int, ...]:
    """Return codes of classes, ascending, such as ``only=1,2``."""
    found = request.args.get(name)
    if not found:
        return ()
    if not re.fullmatch(r"\d{1,5}(,\d{1,5}){0,999}", found):
        raise BadRequest(f"'{name}' is not a list of codes.", "Send them as only=1,2,3.")
    return tuple(sorted({int(code) for code in found.split(",")}))


def body() -> dict[str, Any]:
    """Return the JSON object sent with a request.

    A page of another site cannot send this type without being asked first, so the session's
    cookie cannot be used by one.
    """
    if (request.content_length or 0) > BODY_BYTES:
        raise TooLarge(f"The request has more than {BODY_BYTES:,} bytes.")
    found = request.get_json(silent=True) if request.is_json else None
    if not isinstance(found, dict):
        raise BadRequest("The body is not a JSON object.", "Send Content-Type: application/json.")
    return found


def member(found: Mapping[str, Any], name: str, kind: type, default: Any = None) -> Any:
    """Return a member of a JSON object, of the right type; required where there is no default."""
    value = found.get(name, default)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BadRequest(f"'{name}' is missing or not {_KINDS[kind]}.")
    return value


_KINDS: dict[type, str] = {str: "a text", int: "a whole number", dict: "an object", list: "a list"}
