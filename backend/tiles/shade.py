"""From values to colour indices, and from those to the image of a tile.

A tile is an image of colour indices. Index 0 is transparent, 1 is no value; for numbers 2 is zero
and the ramp follows, for labels the categories follow, then the same categories drawn faint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from backend.core.layers import Category, LayerKey
from backend.tiles.discs import COVERAGE
from backend.tiles.palette import (
    NONE,
    ZERO,
    check_palette,
    palette,
    palette_names,
    parse_colour,
    theme_of,
)
from backend.tiles.png import indexed_png, rgba_png

__all__ = ["check_palette", "palette", "palette_names"]

#: Opacity of categories that are not isolated: 12 %.
FAINT = 31
#: Ramp colours of a tile of pixels, and of one with discs, whose edges need room in the palette.
STEPS, DISC_STEPS = 252, 61
#: Kinds of layers whose value zero means that nothing was found.
ZERO_IS_NOTHING = ("measured", "imputed", "factor", "density")
_NO_VALUE, _ZERO, _RAMP, _FIRST = 1, 2, 3, 2


class Range(NamedTuple):
    """How a number becomes a place on the ramp.

    ``zero`` draws the value zero in its flat colour; ``log`` spreads low values out.
    """

    lo: float
    hi: float
    zero: bool = False
    log: bool = False


def value_range(key: LayerKey, span: tuple[float, float], name: str) -> Range:
    """Return how the values of a layer are placed on a palette."""
    zero = key.kind in ZERO_IS_NOTHING and not name.startswith("div")
    return Range(span[0], span[1], zero, key.kind == "density")


def number_colours(name: str, steps: int) -> NDArray[np.uint8]:
    """Return the colour table of a numeric layer: empty, no value, zero, ramp; (k, 4) uint8."""
    theme = theme_of(name)
    ramp = np.column_stack([palette(name, steps), np.full(steps, 255, np.uint8)])
    head = np.array([(0, 0, 0, 0), NONE[theme], ZERO[theme]], np.uint8)
    return np.concatenate([head, ramp.astype(np.uint8)])


def label_colours(categories: Sequence[Category]) -> NDArray[np.uint8]:
    """Return the colour table of a label: empty, no value, categories, all of them faint.

    Returns
    -------
    (3 + 2 k, 4) uint8
        The same in both themes.
    """
    colours = np.full((len(categories) + 1, 4), 255, np.uint8)
    colours[0] = NONE["both"]
    colours[1:, :3] = np.array([parse_colour(c.colour) for c in categories]).reshape(-1, 3)
    faint = colours.copy()
    faint[:, 3] = FAINT
    faint = np.concatenate([faint[1:], faint[:1]])
    return np.concatenate([np.zeros((1, 4), np.uint8), colours, faint])


def wanted_codes(only: Sequence[int], n: int) -> NDArray[np.bool_]:
    """Return which of n categories are drawn in full; all of them where ``only`` is empty."""
    wanted = np.full(n, not only)
    wanted[[c for c in only if 0 <= c < n]] = True
    return wanted


def index_labels(codes: NDArray[np.int16], wanted: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Return the colour index of codes; -1 is no value, -2 is empty."""
    n = len(wanted)
    full = np.arange(_FIRST, _FIRST + n)
    none = _NO_VALUE if wanted.all() else _FIRST + 2 * n
    table = np.concatenate([[0, none], np.where(wanted, full, full + n)]).astype(np.uint16)
    return table[codes.astype(np.int32) + 2]


def index_numbers(values: NDArray[np.float32], scale: Range, steps: int) -> NDArray[np.uint16]:
    """Return the colour index of numbers; infinite is no value, nan is empty."""
    out = np.empty(values.shape, np.uint16)
    lo, width = float(scale.lo), float(scale.hi - scale.lo)
    _index_numbers(values.ravel(), lo, width, steps, scale.zero, scale.log, out.reshape(-1))
    return out


def image_png(
    index: NDArray[np.uint16], colours: NDArray[np.uint8], cover: NDArray[np.uint8] | None = None
) -> bytes:
    """Return a PNG of colour indices.

    Parameters
    ----------
    index : (h, w) uint16
    colours : (k, 4) uint8
        RGBA; index 0 must be transparent.
    cover : (h, w) uint8, optional
        Covered part of each pixel, 1 .. COVERAGE; all are full where not given.

    Notes
    -----
    Up to 256 colours make an indexed image, more an RGBA one; colours are exact in both.
    """
    if cover is not None:
        shades = np.arange(1, COVERAGE + 1)
        colours = np.repeat(colours, COVERAGE, axis=0)
        parts = np.tile(shades, len(colours) // COVERAGE) / COVERAGE
        colours[:, 3] = np.rint(colours[:, 3] * parts)
    packed = np.empty(index.shape, np.uint8)
    used = np.empty(256, np.int64)
    flat = np.zeros(0, np.uint8) if cover is None else cover.ravel()
    n = _pack(index.ravel(), flat, len(colours), packed.reshape(-1), used)
    if n <= 256:
        return indexed_png(packed, colours[used[:n]])
    full = index.astype(np.int64)
    if cover is not None:
        full = full * COVERAGE + np.where(full > 0, cover.astype(np.int64) - 1, 0)
    return rgba_png(colours[full])


@numba.njit(cache=True, nogil=True)
def _index_numbers(
    values: Any, lo: float, width: float, steps: int, zero: bool, log: bool, out: Any
) -> None:
    for i in range(len(values)):
        v = values[i]
        if np.isnan(v):
            out[i] = 0
        elif np.isinf(v):
            out[i] = 1
        elif zero and v == 0:
            out[i] = 2
        else:
            t = (v - lo) / width if width > 0 else (1.0 if v > lo else 0.0)
            t = min(1.0, max(0.0, t))
            if log:
                t = np.log1p(9.0 * t) / np.log(10.0)
            out[i] = 3 + np.int64(t * (steps - 1) + 0.5)


@numba.njit(cache=True, nogil=True)
def _pack(index: Any, cover: Any, n_colours: int, packed: Any, used: Any) -> Any:
    """Give the colours in use places 0 .. 255; return how many there are, 257 for too many."""
    place = np.full(n_colours, -1, np.int64)
    used[0] = 0
    place[0] = 0
    n = 1
    for i in range(len(index)):
        colour = np.int64(index[i])
        if len(cover) and colour > 0:
            colour = colour * 4 + np.int64(cover[i]) - 1
        if place[colour] < 0:
            if n == 256:
                return 257
            place[colour] = n
            used[n] = colour
            n += 1
        packed[i] = place[colour]
    return n
