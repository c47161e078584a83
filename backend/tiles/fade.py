"""Fading what is uncertain: lower chroma at the same lightness, and a step towards zero.

A value is drawn by two painters of the same plane, one of the layer and one of the certainty of its
cells; the two colour indices make one. Never by transparency: density would lie.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from backend.tiles.image import Colours
from backend.tiles.palette import from_oklab, to_oklab
from backend.tiles.raster import Range
from backend.tiles.shade import number_colours

#: Steps of certainty; with the ramp of a tile with discs the table still fits one palette.
LEVELS = 4
#: At certainty 0 a value is drawn this much nearer to zero, with this share of its chroma.
TOWARDS_ZERO, LEAST_CHROMA = 0.35, 0.1
#: Range of certainty.
WHOLE = Range(0.0, 1.0)
#: Indices before the ramp: nothing, no value, zero.
_HEAD = 3

Index = NDArray[np.uint16]


class Drawing(Protocol):
    """A painter of any plane."""

    colours: Colours

    def pixels(self, *args: Any) -> None:
        """Write colour indices into the last argument, (size, size) uint16."""

    def cells(self, *args: Any) -> Index:
        """Return the colour index of single cells, (m,)."""


class Faded:
    """Draws a numeric layer with uncertain cells faded.

    Parameters
    ----------
    value : Drawing
        Of the layer, with a ramp of ``steps``.
    certainty : Drawing
        Of the certainty of imputation, with a ramp of ``LEVELS``.
    palette : str
    steps : int
    """

    def __init__(self, value: Drawing, certainty: Drawing, palette: str, steps: int) -> None:
        self._value, self._certainty, self._steps = value, certainty, steps
        self.colours = faded_colours(palette, steps)

    def pixels(self, *args: Any) -> None:
        """Write the colour indices of cells smaller than pixels into the last argument."""
        *where, out = args
        certain = np.zeros_like(out)
        self._value.pixels(*where, out)
        self._certainty.pixels(*where, certain)
        out[...] = self._joined(out, certain)

    def cells(self, *args: Any) -> Index:
        """Return the colour index of single cells, (m,)."""
        return self._joined(self._value.cells(*args), self._certainty.cells(*args))

    def _joined(self, value: Index, certain: Index) -> Index:
        """One index of two; a cell of unknown certainty is not faded."""
        level = np.where(certain >= _HEAD, certain - np.uint16(_HEAD), np.uint16(LEVELS - 1))
        shift = (LEVELS - 1 - level) * self._steps
        return np.where(value >= _HEAD, value + shift, value).astype(np.uint16)


@lru_cache(maxsize=64)
def faded_colours(palette: str, steps: int) -> Colours:
    """Return nothing, no value and zero, then the ramp from certain to uncertain."""
    plain = number_colours(palette, steps).rgba
    head, ramp = plain[:_HEAD], plain[_HEAD:]
    parts = [head]
    for level in range(LEVELS - 1, -1, -1):
        certainty = level / (LEVELS - 1)
        lower = np.rint(np.arange(steps) * (1 - TOWARDS_ZERO * (1 - certainty))).astype(int)
        parts.append(_paler(ramp[lower], LEAST_CHROMA + (1 - LEAST_CHROMA) * certainty))
    return Colours(np.concatenate(parts))


def _paler(rgba: NDArray[np.uint8], chroma: float) -> NDArray[np.uint8]:
    """Return colours with a share of their chroma, lightness and hue kept (OKLCH)."""
    lab = to_oklab(rgba[:, :3]) * (1.0, chroma, chroma)
    return np.column_stack([from_oklab(lab), rgba[:, 3]])
