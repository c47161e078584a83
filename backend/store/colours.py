"""Colours of categories: those of the file, else generated in OKLCH from name and parent.

Up to twelve categories get colours that also differ under simulated colour blindness. Beyond, the
parent gives the hue and the child the lightness; fibre tracts, ventricles and meninges are grey.
Lightness stays between 0.42 and 0.88, so that a colour works on a light and on a dark canvas.
OKLab: Ottosson, "A perceptual color space for image processing" (2020).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.core.layers import Category

#: Colours of up to twelve categories; the first nine are those of the screen design.
FEW = (
    "#f07b26", "#7a87fb", "#007973", "#7340af", "#b892a1", "#f4c50e",
    "#a54700", "#00edba", "#adb3ff", "#c72f78", "#5f9a16", "#3fb6e8",
)  # fmt: skip
#: Hue angles of families, degrees, spaced so that no two adjoining ones look alike.
HUES = (250.0, 50.0, 175.0, 125.0, 325.0, 85.0, 5.0, 215.0, 290.0, 150.0, 28.0, 105.0)
#: Families that are drawn in grey.
GREY = re.compile(
    r"fib(re|er)|white matter|corpus callosum|\bcc\b|ventric|mening|choroid plexus"
    r"|non-neuronal|outside",
    re.IGNORECASE,
)
_LIGHTEST, _DARKEST = 0.87, 0.42
_CHROMA = 0.13
_COLOUR = re.compile(r"#[0-9a-f]{6}", re.IGNORECASE)


def is_colour(text: object) -> bool:
    """Return whether ``text`` is a colour of the form #rrggbb."""
    return isinstance(text, str) and _COLOUR.fullmatch(text) is not None


def complete(categories: Iterable[Category]) -> tuple[Category, ...]:
    """Return the categories with a colour for each that has none.

    The colours depend on names and parents only, not on the order of the categories.
    """
    known = list(categories)
    chosen = generate(known) if any(not is_colour(c.colour) for c in known) else {}
    return tuple(c if is_colour(c.colour) else c._replace(colour=chosen[c.name]) for c in known)


def generate(categories: Sequence[Category]) -> dict[str, str]:
    """Return a colour for every category name; a family keeps the hue of colours it was given."""
    names = in_order({c.name for c in categories})
    if len(names) <= len(FEW):
        return dict(zip(names, FEW, strict=False))
    parents = {c.name: c.parent for c in categories}
    if not any(parents.values()):
        return _without_parents(names)
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(parents[name] or name, []).append(name)
    colours: dict[str, str] = {}
    hue = 0
    for family in in_order(families):
        grey = GREY.search(family) is not None
        given = [c.colour for c in categories if (c.parent or c.name) == family]
        angle = _hue_of([colour for colour in given if is_colour(colour)])
        if angle is None:
            angle = HUES[hue % len(HUES)] + 11 * (hue // len(HUES))
            hue += 0 if grey else 1
        colours |= _shades(families[family], angle, 0.015 if grey else _CHROMA)
    return colours


def in_order(names: Iterable[str]) -> list[str]:
    """Return names in natural order; those that differ in case only by their letters.

    Without that, colours of such names would change from one run to the next.
    """
    return sorted(names, key=lambda name: (natural(name), name))


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key under which "L2" comes before "L10"."""
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(p), "") if p.isdigit() else (1, 0, p.casefold()) for p in parts]


def _hue_of(colours: Sequence[str]) -> float | None:
    """Return the mean hue of colours, degrees, or None where they are none or grey."""
    if not colours:
        return None
    _, a, b = np.mean([oklab(colour) for colour in colours], axis=0)
    return math.degrees(math.atan2(b, a)) if math.hypot(a, b) > 0.02 else None


def _without_parents(names: list[str]) -> dict[str, str]:
    """Deal names over the hues in turn, so that neighbours in the alphabet differ."""
    colours: dict[str, str] = {}
    for i, hue in enumerate(HUES):
        colours |= _shades(names[i :: len(HUES)], hue, _CHROMA)
    return colours


def _shades(names: list[str], hue: float, chroma: float) -> dict[str, str]:
    """Return shades of one hue; names that follow one another get far lightnesses."""
    n = len(names)
    if n == 1:
        return {names[0]: oklch_hex(0.64, chroma, hue)}
    step = _coprime_near(n, 0.618)
    colours = {}
    for i, name in enumerate(names):
        place = (i * step % n) / (n - 1)
        light = _LIGHTEST - (_LIGHTEST - _DARKEST) * place
        colours[name] = oklch_hex(light, chroma, hue + (8.0 if i % 2 else -8.0))
    return colours


def _coprime_near(n: int, share: float) -> int:
    """Return the step nearest to share * n that visits all n places."""
    wanted = max(1, round(n * share))
    return min((s for s in range(1, n + 1) if math.gcd(s, n) == 1), key=lambda s: abs(s - wanted))


def oklch_hex(lightness: float, chroma: float, hue: float) -> str:
    """Return #rrggbb of an OKLCH colour, with the chroma lowered until sRGB can show it."""
    for share in np.linspace(1, 0, 41):
        rgb = _linear_rgb(lightness, chroma * share, hue)
        if np.all((rgb >= -1e-6) & (rgb <= 1 + 1e-6)):
            break
    rgb = np.clip(rgb, 0, 1)
    gamma = np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(float(v) * 255):02x}" for v in gamma)


def oklab(colour: str) -> NDArray[np.float64]:
    """Return the OKLab coordinates (L, a, b) of #rrggbb."""
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    lms = np.cbrt(np.array(_RGB_TO_LMS) @ linear)
    return np.asarray(np.array(_LMS_TO_LAB) @ lms, dtype=np.float64)


def _linear_rgb(lightness: float, chroma: float, hue: float) -> NDArray[np.float64]:
    """Return linear sRGB, possibly outside 0..1."""
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    lms = np.linalg.solve(np.array(_LMS_TO_LAB), np.array([lightness, a, b])) ** 3
    return np.asarray(np.linalg.solve(np.array(_RGB_TO_LMS), lms), dtype=np.float64)


_RGB_TO_LMS = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_LMS_TO_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
