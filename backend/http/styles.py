"""How a tile or a figure is to be drawn, from the texts of a query."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from backend.core.errors import BadRequest
from backend.core.layers import Style

_PALETTE = re.compile(r"[a-z0-9-]{1,40}")
_WHOLE = re.compile(r"-?\d{1,18}")
_CODES = re.compile(r"\d{1,5}(,\d{1,5}){0,999}")


def style_of(get: Callable[[str], str | None]) -> Style:
    """Return the style that parameters ask for.

    Parameters
    ----------
    get : callable (name) -> str or None
        The text of a parameter.

    Raises
    ------
    BadRequest
        If a parameter cannot be read.
    """
    palette = get("palette") or Style().palette
    if not _PALETTE.fullmatch(palette):
        raise BadRequest("That is no name of a palette.", "For example ink-light or viridis.")
    lo, hi = as_number("lo", get("lo")), as_number("hi", get("hi"))
    if lo is not None and hi is not None and lo > hi:
        raise BadRequest(f"The range {lo:g} to {hi:g} is upside down.", "Give lo below hi.")
    size = as_whole("size", get("size"), 256, 256, 512)
    if size not in (256, 512):
        raise BadRequest("Tiles have 256 or 512 pixels.", "Use size=256 or size=512.")
    least = as_number("least", get("least"))
    fade = as_whole("fade", get("fade"), 0, 0, 1) == 1
    return Style(palette, lo, hi, size, as_codes("only", get("only")), least, fade)


def as_number(name: str, text: str | None) -> float | None:
    """Return a finite number, or None where the text is absent."""
    if text is None or text == "":
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadRequest(f"'{name}={text[:40]}' is not a finite number.")
    return value


def as_whole(name: str, text: str | None, default: int, least: int, most: int) -> int:
    """Return a whole number within bounds."""
    if text is None or text == "":
        return default
    if not _WHOLE.fullmatch(text) or not least <= int(text) <= most:
        raise BadRequest(f"'{name}={text[:40]}' is not a whole number from {least} to {most}.")
    return int(text)


def as_codes(name: str, text: str | None) -> tuple[int, ...]:
    """Return codes of classes, ascending, such as ``only=1,2``."""
    if not text:
        return ()
    if not _CODES.fullmatch(text):
        raise BadRequest(f"'{name}' is not a list of codes.", "Send them as only=1,2,3.")
    return tuple(sorted({int(code) for code in text.split(",")}))
