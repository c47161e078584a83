from __future__ import annotations

import zlib

import numpy as np
import pytest

from backend.tiles.png import indexed_png, rgba_png
from tests.tiles.conftest import pixels


@pytest.mark.parametrize("compress", [None, zlib.compress], ids=["fastest", "zlib"])
def test_indexed_pictures_decode_to_their_colours(compress: object) -> None:
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (256, 4)).astype(np.uint8)
    index = rng.integers(0, 256, (40, 70)).astype(np.uint8)
    found = pixels(indexed_png(index, colours, compress))
    assert np.array_equal(found, colours[index])


def test_a_palette_without_transparency_decodes_too() -> None:
    colours = np.array([[1, 2, 3, 255], [4, 5, 6, 255]], np.uint8)
    png = indexed_png(np.array([[0, 1]], np.uint8), colours)
    assert b"tRNS" not in png
    assert np.array_equal(pixels(png)[0], colours)


def test_rgba_pictures_decode_to_their_pixels() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (9, 5, 4)).astype(np.uint8)
    assert np.array_equal(pixels(rgba_png(picture)), picture)
