"""Palettes by name, low to high, and the flat colours of zero and of no value.

Stops of ``ink`` and ``div`` are those of the screen design, built in OKLCH with monotone lightness
(Ottosson, "A perceptual color space for image processing", 2020); between stops, colours are
interpolated in OKLab. Viridis and magma: van der Walt and Smith (2015).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from backend.core.errors import BadRequest, did_you_mean

_INK_LIGHT = "#dfdfd6 #abd093 #5bc28c #00ae99 #0093a3 #00749e #195689 #303d67 #2d2a44"
_INK_DARK = "#333239 #374674 #14629b #0082ad #00a2ac #00bb9e #77cd92 #bbdb96 #ebe8b3"
_VIRIDIS = "#440154 #482878 #3e4989 #31688e #26828e #1f9e89 #35b779 #6ece58 #b5de2b #fde725"
_MAGMA = "#000004 #180f3d #440f76 #721f81 #9e2f7f #cd4071 #f1605d #fd9668 #feca8d #fcfdbf"
_DIV_LIGHT = "#066bb8 #4d89c4 #7ea6cf #acc2d9 #dbdee1 #d6b8a9 #c99479 #ba6f47 #a84800"
_DIV_DARK = "#63b0fc #5990c8 #4f7296 #435467 #36383a #644d41 #90624a #bf7853 #ef8f5b"
_GREY_LIGHT = "#dcdee1 #14181d"
_GREY_DARK = "#33383e #f4f6f8"

# Two genes laid over one another: orange and blue, told apart by colour-blind eyes. On the light
# canvas colours multiply (both: dark), on the dark one light adds up (both: white).
_FIRST_LIGHT, _FIRST_DARK = "#f4f1ee #eeb98a #d9772b", "#16130f #8a4d16 #ff9838"
_SECOND_LIGHT, _SECOND_DARK = "#eef1f4 #8fb8e2 #2f7fd0", "#0f1316 #1f4f85 #4a9dff"

#: Colour stops by palette name. A name without a theme suits both canvases.
STOPS: dict[str, tuple[str, ...]] = {
    name: tuple(stops.split())
    for name, stops in {
        "ink-light": _INK_LIGHT,
        "ink-dark": _INK_DARK,
        "viridis-light": _VIRIDIS,
        "viridis-dark": _VIRIDIS,
        "viridis": _VIRIDIS,
        "magma-light": _MAGMA,
        "magma-dark": _MAGMA,
        "magma": _MAGMA,
        "grey-light": _GREY_LIGHT,
        "grey-dark": _GREY_DARK,
        "grey": _GREY_LIGHT,
        "div-light": _DIV_LIGHT,
        "div-dark": _DIV_DARK,
        "first-light": _FIRST_LIGHT,
        "first-dark": _FIRST_DARK,
        "second-light": _SECOND_LIGHT,
        "second-dark": _SECOND_DARK,
    }.items()
}
RGBA = tuple[int, int, int, int]
Theme = Literal["light", "dark", "both"]
#: Flat colours of the value zero, and of cells without a value, by theme.
ZERO: dict[Theme, RGBA] = {
    "light": (0xE2, 0xE5, 0xE9, 255),
    "dark": (0x30, 0x36, 0x3D, 255),
    "both": (0x8A, 0x94, 0x9F, 70),
}
NONE: dict[Theme, RGBA] = {
    "light": (0xC3, 0xC8, 0xCE, 255),
    "dark": (0x4A, 0x52, 0x5B, 255),
    "both": (0x9A, 0xA3, 0xAD, 255),
}


def palette_names() -> tuple[str, ...]:
    """Return the names of all palettes."""
    return tuple(STOPS)


def check_palette(name: str) -> None:
    """Raise BadRequest if there is no palette of this name."""
    _stops(name)


def palette(name: str, steps: int = 256) -> NDArray[np.uint8]:
    """Return the colours of a palette, low to high.

    Parameters
    ----------
    name : str
    steps : int

    Returns
    -------
    (steps, 3) uint8

    Raises
    ------
    BadRequest
        If there is no palette of this name.
    """
    stops = to_oklab(np.array([parse_colour(c) for c in _stops(name)]))
    at = np.linspace(0, len(stops) - 1, steps)
    lab = np.column_stack([np.interp(at, np.arange(len(stops)), stops[:, k]) for k in range(3)])
    return from_oklab(lab)


def theme_of(name: str) -> Theme:
    """Return the canvas a palette is made for."""
    if name.endswith("-dark"):
        return "dark"
    return "light" if name.endswith("-light") else "both"


def parse_colour(text: str) -> tuple[int, int, int]:
    """Return red, green and blue of ``#rrggbb``; the grey of no value for anything else."""
    try:
        number = int(text.removeprefix("#"), 16)
    except (ValueError, AttributeError):
        return NONE["both"][:3]
    return number >> 16 & 255, number >> 8 & 255, number & 255


def to_oklab(rgb: NDArray[Any]) -> NDArray[np.float64]:
    """Return OKLab of sRGB colours (n, 3) with channels 0 .. 255."""
    unit = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T)


def from_oklab(lab: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return sRGB (n, 3) uint8 of OKLab colours, clipped to the gamut."""
    lms = (lab @ np.linalg.inv(_TO_LAB).T) ** 3
    linear = np.clip(lms @ np.linalg.inv(_TO_LMS).T, 0, 1)
    unit = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(unit * 255), dtype=np.uint8)


def _stops(name: str) -> tuple[str, ...]:
    if name not in STOPS:
        raise BadRequest(
            f"There is no palette '{name[:40]}'.",
            f"Palettes are {', '.join(STOPS)}.",
            *filter(None, [did_you_mean(name[:40], STOPS)]),
        )
    return STOPS[name]


_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def client_palettes(steps: int = 33) -> dict[str, list[str]]:
    """Return evenly spaced CSS colours of every palette; the content of assets/palettes.json."""
    return {
        name: [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in palette(name, steps)]
        for name in palette_names()
    }
