"""Parameters of a request, read strictly: a value that cannot be meant is refused, not guessed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from flask import request

from backend.core.errors import BadRequest, TooLarge
from backend.core.geometry import Bounds
from backend.core.layers import LayerKey, Style
from backend.http.styles import as_codes, as_number, as_whole, style_of

#: Bytes of a JSON body.
BODY_BYTES = 1_000_000
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
    return as_number(name, request.args.get(name))


def required_number(name: str) -> float:
    """Return a finite number that must be there."""
    value = number(name)
    if value is None:
        raise BadRequest(f"The parameter '{name}' is missing.", f"Add &{name}=...")
    return value


def whole(name: str, default: int, least: int, most: int) -> int:
    """Return a whole number within bounds."""
    return as_whole(name, request.args.get(name), default, least, most)


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
    """Return how a figure is to be drawn."""
    return style_of(request.args.get)


def codes(name: str) -> tuple[int, ...]:
    """Return codes of classes, ascending, such as ``only=1,2``."""
    return as_codes(name, request.args.get(name))


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
