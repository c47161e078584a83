"""Colour tables, and the colour indices of labels.

A tile is an image of colour indices. Index 0 is transparent, 1 is no value; for numbers 2 is zero
and the ramp follows, for labels the categories follow, then the same categories drawn faint.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from backend.core.layers import Category, LayerKey
from backend.tiles.image import Colours
from backend.tiles.palette import (
    NONE,
    ZERO,
    check_palette,
    palette,
    palette_names,
    parse_colour,
    theme_of,
)
from backend.tiles.raster import Range

__all__ = ["check_palette", "palette", "palette_names"]

#: Opacity of categories that are not isolated: 12 %.
FAINT = 31
#: Ramp colours of a tile of pixels, and of one with discs, whose edges need room in the palette.
STEPS, DISC_STEPS = 252, 61
#: Kinds of layers whose value zero means that nothing was found.
ZERO_IS_NOTHING = ("measured", "imputed", "factor", "density")
#: Index of no value, and of the first category.
_NO_VALUE, _FIRST = 1, 2


def value_range(key: LayerKey, span: tuple[float, float], name: str) -> Range:
    """Return how the values of a layer are placed on a palette."""
    zero = key.kind in ZERO_IS_NOTHING and not name.startswith("div")
    return Range(span[0], span[1], zero, key.kind == "density")


@lru_cache(maxsize=64)
def number_colours(name: str, steps: int) -> Colours:
    """Return the colour table of a numeric layer: empty, no value, zero, ramp."""
    theme = theme_of(name)
    ramp = np.column_stack([palette(name, steps), np.full(steps, 255, np.uint8)])
    head = np.array([(0, 0, 0, 0), NONE[theme], ZERO[theme]], np.uint8)
    return Colours(np.concatenate([head, ramp.astype(np.uint8)]))


def label_colours(categories: Sequence[Category]) -> Colours:
    """Return the colour table of a label: empty, no value, categories, all of them faint.

    It has 3 + 2 k colours, the same in both themes.
    """
    colours = np.full((len(categories) + 1, 4), 255, np.uint8)
    colours[0] = NONE["both"]
    colours[1:, :3] = np.array([parse_colour(c.colour) for c in categories]).reshape(-1, 3)
    faint = colours.copy()
    faint[:, 3] = FAINT
    faint = np.concatenate([faint[1:], faint[:1]])
    return Colours(np.concatenate([np.zeros((1, 4), np.uint8), colours, faint]))


def wanted_codes(only: Sequence[int], n: int) -> NDArray[np.bool_]:
    """Return which of n categories are drawn in full; all of them where ``only`` is empty."""
    wanted = np.full(n, not only)
    wanted[[c for c in only if 0 <= c < n]] = True
    return wanted


def label_table(wanted: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Return the colour index of nothing (code -2), of no label (-1), of each category."""
    n = len(wanted)
    full = np.arange(_FIRST, _FIRST + n)
    none = _NO_VALUE if wanted.all() else _FIRST + 2 * n
    return np.concatenate([[0, none], np.where(wanted, full, full + n)]).astype(np.uint16)


def index_labels(codes: NDArray[np.int16], table: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the colour index of codes by a ``label_table``."""
    return np.take(table, codes.astype(np.intp) + 2)
