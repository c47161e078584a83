"""Parts of a TIFF image, one tile or strip at a time, so that a slide is never in memory whole."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

WIDTH, HEIGHT, PLANES, PREDICTOR = 256, 257, 284, 317
STRIP_OFFSETS, STRIP_ROWS, STRIP_BYTES = 273, 278, 279
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES = 322, 323, 324, 325
#: What says how pixels are kept: bits, compression, colours, samples, predictor, JPEG tables, ...
KEPT = (258, 259, 262, 277, PLANES, PREDICTOR, 320, 338, 339, 347, 530, 531, 532)


@dataclass(frozen=True, slots=True)
class Segments:
    """Where the tiles or strips of an image are.

    Parameters
    ----------
    size, part : (width, height)
        Of the image, and of a tile or strip; the last strip may be lower.
    is_tiled : bool
    offsets, lengths : tuple of int
        Bytes in the file, row by row of parts.
    tags : mapping
        Those of KEPT that the file has, with their types.
    prefix : bytes
        Byte order.
    """

    size: tuple[int, int]
    part: tuple[int, int]
    is_tiled: bool
    offsets: tuple[int, ...]
    lengths: tuple[int, ...]
    tags: dict[int, tuple[int, Any]]
    prefix: bytes

    @property
    def across(self) -> int:
        """Number of parts in a row of parts."""
        return -(-self.size[0] // self.part[0])


def segments_of(image: Any) -> Segments | None:
    """Return the parts of an opened TIFF image; None where its colours are kept apart.

    Parameters
    ----------
    image : PIL.TiffImagePlugin.TiffImageFile
    """
    tags = image.tag_v2
    is_tiled = TILE_OFFSETS in tags
    offsets = tags.get(TILE_OFFSETS if is_tiled else STRIP_OFFSETS)
    lengths = tags.get(TILE_BYTES if is_tiled else STRIP_BYTES)
    if offsets is None or lengths is None or tags.get(PLANES, 1) != 1:
        return None
    width, height = image.size
    part = (tags[TILE_WIDTH], tags[TILE_HEIGHT]) if is_tiled else (width, tags.get(STRIP_ROWS))
    part = (int(part[0]), min(int(part[1] or height), height if not is_tiled else 1 << 30))
    kept = {tag: (tags.tagtype[tag], tags[tag]) for tag in KEPT if tag in tags}
    prefix = b"MM" if image.tag_v2.prefix == b"MM" else b"II"
    found = Segments((width, height), part, is_tiled, tuple(offsets), tuple(lengths), kept, prefix)
    rows = -(-height // part[1])
    return found if len(found.offsets) == len(found.lengths) == found.across * rows else None


def region(path: Path, segments: Segments, box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Return the pixels of a box (left, top, right, bottom), (h, w, 3); white beyond the image.

    Raises
    ------
    OSError, ValueError, SyntaxError
        If a part cannot be decoded.
    """
    left, top, right, bottom = box
    out = np.full((bottom - top, right - left, 3), 255, np.uint8)
    with path.open("rb") as file:
        for index, x, y in _touched(segments, box):
            file.seek(segments.offsets[index])
            content = file.read(segments.lengths[index])
            pixels = _decoded(segments, content, _height(segments, y))
            x0, y0 = max(x, left), max(y, top)
            x1 = min(x + pixels.shape[1], right, segments.size[0])
            y1 = min(y + pixels.shape[0], bottom, segments.size[1])
            out[y0 - top : y1 - top, x0 - left : x1 - left] = pixels[
                y0 - y : y1 - y, x0 - x : x1 - x
            ]
    return out


def _touched(segments: Segments, box: tuple[int, int, int, int]) -> Iterator[tuple[int, int, int]]:
    """Yield number and first pixel of every part that a box touches."""
    left, top = max(box[0], 0), max(box[1], 0)
    right, bottom = min(box[2], segments.size[0]), min(box[3], segments.size[1])
    width, height = segments.part
    for row in range(top // height, -(-bottom // height)):
        for column in range(left // width, -(-right // width)):
            yield row * segments.across + column, column * width, row * height


def _height(segments: Segments, y: int) -> int:
    """Return the rows that a part has: tiles are filled up, strips are not."""
    return segments.part[1] if segments.is_tiled else min(segments.part[1], segments.size[1] - y)


def _decoded(segments: Segments, content: bytes, height: int) -> NDArray[np.uint8]:
    """Return the pixels of one part, read as a small TIFF of its own."""
    tags = ImageFileDirectory_v2(prefix=segments.prefix)
    for tag, (kind, value) in segments.tags.items():
        tags.tagtype[tag] = kind
        tags[tag] = value
    own = {WIDTH: segments.part[0], HEIGHT: height, STRIP_ROWS: height, STRIP_BYTES: len(content)}
    for tag, number in {**own, STRIP_OFFSETS: 0}.items():
        tags.tagtype[tag] = 4  # unsigned, 32 bits
        tags[tag] = number
    file = io.BytesIO()
    tags.save(file)
    file.write(content)
    file.seek(0)
    with Image.open(file, formats=["TIFF"]) as image:
        return np.asarray(image.convert("RGB"))
