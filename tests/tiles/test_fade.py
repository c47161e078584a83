from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backend.tiles.fade import LEVELS, TOWARDS_ZERO, Faded, faded_colours
from backend.tiles.palette import to_oklab
from backend.tiles.shade import number_colours

STEPS = 61


class Fixed:
    """A painter that always draws the same."""

    def __init__(self, index: list[int]) -> None:
        self.index = np.array(index, np.uint16)
        self.colours = number_colours("ink-light", STEPS)

    def pixels(self, *args: Any) -> None:
        args[-1][...] = self.index

    def cells(self, *_: Any) -> Any:
        return self.index


@pytest.mark.parametrize("palette", ["ink-light", "ink-dark"])
def test_certain_values_keep_their_colours(palette: str) -> None:
    plain, faded = number_colours(palette, STEPS).rgba, faded_colours(palette, STEPS).rgba
    assert len(faded) == 3 + LEVELS * STEPS <= 256
    np.testing.assert_array_equal(faded[: 3 + STEPS], plain)


@pytest.mark.parametrize("palette", ["ink-light", "ink-dark"])
def test_uncertain_values_lose_chroma_keep_lightness_and_move_towards_zero(palette: str) -> None:
    plain = to_oklab(number_colours(palette, STEPS).rgba[3:, :3])
    least = to_oklab(faded_colours(palette, STEPS).rgba[-STEPS:, :3])
    at = 40
    moved = plain[round(at * (1 - TOWARDS_ZERO))]
    assert least[at, 0] == pytest.approx(moved[0], abs=0.01)
    assert np.hypot(*least[at, 1:]) == pytest.approx(0.1 * np.hypot(*moved[1:]), abs=0.01)


def test_two_indices_make_one() -> None:
    nothing, none, zero, low, high = 0, 1, 2, 3, 3 + STEPS - 1
    value = Fixed([nothing, none, zero, high, high, low])
    certainty = Fixed([0, 3, 3, 3 + LEVELS - 1, 3, 1])
    painter = Faded(value, certainty, "ink-light", STEPS)
    expected = [nothing, none, zero, high, high + (LEVELS - 1) * STEPS, low]
    assert painter.cells().tolist() == expected
    out = np.zeros(6, np.uint16)
    painter.pixels(out)
    assert out.tolist() == expected
