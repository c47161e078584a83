"""Tissue images as they are sent: JPEG, PNG or TIFF, checked before their pixels are read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from backend.core.errors import BadFile, Fault, TooLarge
from backend.intake.tiff import Segments, region, segments_of

#: Left, top, right, bottom in pixels of the file.
Box = tuple[int, int, int, int]
#: Formats that are read, and what their files are called.
FORMATS = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",), "TIFF": (".tif", ".tiff")}
SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)
ImageFile = JpegImageFile | PngImageFile | TiffImageFile
#: First bytes of files, and what reads them; TIFF in either byte order, small or big.
STARTS: dict[bytes, type[ImageFile]] = {
    b"\xff\xd8\xff": JpegImageFile,
    b"\x89PNG": PngImageFile,
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), TiffImageFile),
}
#: How pixels may be kept: bytes of grey or colour.
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
#: Pixels decoded at once at most, 530 MB; TIFF images are read in windows of BAND pixels.
MOST_PIXELS, BAND = 178_000_000, 16_000_000
#: A JPEG is decoded at an eighth of its size at least.
MOST_DRAFT = 8


@dataclass(frozen=True, slots=True)
class Picture:
    """A part of an image in memory.

    Parameters
    ----------
    rgb : (h, w, 3) uint8
    reduced : int
        How many pixels of the file, in both directions, make one of ``rgb``.
    left, top : int
        Pixel of the file at which it begins.
    """

    rgb: NDArray[np.uint8]
    reduced: int = 1
    left: int = 0
    top: int = 0

    def places(self, pixels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return places in pixels of the file as places in ``rgb``, (n, 2)."""
        return np.asarray((pixels - np.array([self.left, self.top])) / self.reduced, np.float64)


def picture_size(path: Path, name: str = "") -> tuple[int, int]:
    """Return width and height in pixels, without reading the pixels.

    Parameters
    ----------
    path : Path
    name : str
        What messages call the file; that of ``path`` where empty.

    Raises
    ------
    BadFile
        If it is not a JPEG, PNG or TIFF image of grey or colour.
    TooLarge
        If it can be read neither in windows nor reduced, and has more than 178 million pixels.
    """
    with _opened(path, name) as image:
        return image.size


def suffix_of(path: Path) -> str:
    """Return the usual suffix of an image's format, such as ``.jpg``."""
    with _opened(path) as image:
        return FORMATS[str(image.format)][0]


def thumbnail(path: Path, side: int) -> Image.Image:
    """Return an image of at most ``side`` pixels on either side, as RGB."""
    small = Image.fromarray(read_picture(path, max(max(picture_size(path)) // side, 1)).rgb)
    small.thumbnail((side, side))
    return small


def read_picture(path: Path, reduce: int = 1, box: Box | None = None) -> Picture:
    """Return a part of an image as RGB bytes, reduced as far as its format makes that cheap.

    Parameters
    ----------
    path : Path
    reduce : int
        How many pixels of the file may make one at most, in both directions; what is left to do is
        the caller's. JPEG files are decoded at a half, a quarter or an eighth of their size where
        that is enough, and where they are too large to be decoded whole; TIFF files tile by tile
        or strip by strip, so that only what is returned is ever in memory.
    box : (left, top, right, bottom), optional
        Pixels of the file that are wanted; all where None.

    Raises
    ------
    BadFile, TooLarge
        As ``picture_size``; also for a damaged file.
    """
    with _opened(path) as image:
        wanted = _within(box, image.size)
        segments = _segments(image)
        try:
            if segments is None:
                return _cut(image, reduce, wanted)
            return _windows(path, segments, reduce, wanted)
        except (OSError, ValueError, SyntaxError) as error:
            raise _bad(path.name, f"its pixels cannot be read ({error})") from error


def reduced(rgb: NDArray[np.uint8], by: int) -> NDArray[np.uint8]:
    """Return an image of which each pixel is the mean of by x by pixels."""
    if by == 1:
        return rgb
    return np.asarray(Image.fromarray(np.ascontiguousarray(rgb)).reduce(by))


def _within(box: Box | None, size: tuple[int, int]) -> Box:
    """Return a box cut to the image."""
    left, top, right, bottom = box or (0, 0, *size)
    return max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1])


def _cut(image: Any, reduce: int, box: Box) -> Picture:
    """Return a part of an image that is decoded whole, a JPEG at a part of its size."""
    width, height = image.size
    shrink = 1
    while 2 * shrink <= min(reduce, MOST_DRAFT) or width * height > MOST_PIXELS * shrink**2:
        shrink *= 2
    # Halves that are not whole would shift coordinates by part of a pixel only.
    image.draft("RGB", (width // shrink, height // shrink))
    by = round(width / image.size[0])
    left, top = box[0] // by, box[1] // by
    part = image.convert("RGB").crop((left, top, -(-box[2] // by), -(-box[3] // by)))
    return Picture(np.asarray(part), by, left * by, top * by)


def _windows(path: Path, segments: Segments, reduce: int, box: Box) -> Picture:
    """Return a part of a TIFF image, read and reduced some rows of pixels at a time."""
    left, top, right, bottom = box
    rows = max(BAND // max(right - left, 1) // reduce, 1) * reduce
    parts = [
        reduced(region(path, segments, (left, first, right, min(first + rows, bottom))), reduce)
        for first in range(top, bottom, rows)
    ]
    return Picture(np.concatenate(parts), reduce, left, top)


def _segments(image: Any) -> Segments | None:
    """Return the parts of a TIFF image that can be read one by one, or None."""
    found = segments_of(image) if image.format == "TIFF" else None
    if found is None or found.part[0] * found.part[1] > MOST_PIXELS:
        return None
    return found


@contextmanager
def _opened(path: Path, name: str = "") -> Iterator[ImageFile]:
    """Open an image of a format that is read and a size that can be read."""
    called = name or path.name
    with warnings.catch_warnings():
        # The size is checked here, with a message of our own.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            image = _reader(path)(path)
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
            raise _bad(called, "it is not an image that can be read") from error
        with image:
            if image.mode not in MODES:
                kind = f"its pixels are of kind {image.mode}, not bytes of grey or colour"
                raise _bad(called, kind)
            if image.size[0] * image.size[1] > _most(image):
                raise _too_large(called, image.size)
            yield image


def _reader(path: Path) -> type[ImageFile]:
    """Return what reads a file, by its first bytes; PIL.Image.open refuses large slides.

    Raises
    ------
    OSError
    """
    with path.open("rb") as file:
        first = file.read(4)
    for start, reader in STARTS.items():
        if first.startswith(start):
            return reader
    raise UnidentifiedImageError("unknown first bytes")


def _most(image: Any) -> int:
    """Return how many pixels an image may have, by how it can be read."""
    if image.format == "JPEG" and not image.info.get("progressive"):
        return MOST_PIXELS * MOST_DRAFT**2
    if _segments(image) is not None:
        return 1 << 60
    # A progressive JPEG is in memory whole before any of it can be reduced.
    return MOST_PIXELS


def _bad(name: str, what: str) -> BadFile:
    """Return the error of a file that is no readable image."""
    return BadFile(
        name,
        [
            Fault(
                what,
                name,
                "a JPEG, PNG or TIFF image of the tissue",
                "Export the image again as JPEG, PNG or TIFF.",
            )
        ],
    )


def _too_large(name: str, size: tuple[int, int]) -> TooLarge:
    """Return the error of an image with too many pixels for how it is kept."""
    return TooLarge(
        f"{name} has {size[0]:,} x {size[1]:,} pixels; {MOST_PIXELS:,} can be decoded at once.",
        "Save it as a tiled TIFF, which is read in windows whatever its size, or as a baseline "
        "JPEG, which is read at a half, a quarter or an eighth of its size. Coordinates stay.",
    )
