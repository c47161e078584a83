"""The canvas of a tile: discs before pixels, nothing left of the tile before."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from backend.tiles import shade
from backend.tiles.canvas import Canvas, canvas_of
from backend.tiles.discs import SUBPIXELS
from backend.tiles.nearest import COVERAGE, PARTED_FROM, Discs
from tests.tiles.conftest import MANY, pixels


@pytest.mark.parametrize("radius", [1.2, PARTED_FROM], ids=["small", "parted"])
@pytest.mark.parametrize("n", [20, 300], ids=["few colours", "many colours"])
def test_discs_lie_before_pixels(radius: float, n: int) -> None:
    size, canvas, colours = 64, Canvas(64), shade.label_colours(MANY[:n])
    rng = np.random.default_rng(0)
    xy = rng.integers(0, size * SUBPIXELS, (40, 2))
    kinds = rng.integers(2, 2 + n, 40).astype(np.uint16)
    below = rng.integers(0, 2 + n, (size, size)).astype(np.uint16)
    canvas.index[:] = below
    canvas.begin_discs(radius, len(colours.rgba))
    canvas.put_discs(xy, kinds, radius)
    index, cover = below.copy(), np.full(below.shape, COVERAGE, np.uint8)
    discs = Discs(size, size)
    discs.put(xy, kinds, radius)
    discs.draw(index, cover)
    assert np.array_equal(
        pixels(canvas.png(colours, True) or b""), pixels(colours.png(index, cover))
    )


def test_the_next_tile_begins_empty() -> None:
    colours = shade.number_colours("ink-light", shade.DISC_STEPS)
    canvas = canvas_of(256)
    canvas.index[:] = 5
    canvas.begin_discs(1.0, len(colours.rgba))
    canvas.put_discs(np.array([[640, 640]]), np.ones(1, np.uint16), 1.0)
    canvas.png(colours, True)
    again = canvas_of(256)
    assert again is canvas
    assert again.png(colours, False) is None
    for radius in (1.0, 5.0):
        again.begin_discs(radius, len(colours.rgba))
        assert again.png(colours, True) is None


def test_threads_have_canvases_of_their_own() -> None:
    found = []
    worker = threading.Thread(target=lambda: found.append(canvas_of(256)))
    worker.start()
    worker.join()
    assert found[0] is not canvas_of(256)
    assert canvas_of(512) is not canvas_of(256)
