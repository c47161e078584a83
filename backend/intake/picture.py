"""Tissue images as they are sent: JPEG, PNG or TIFF, checked before their pixels are read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from backend.core.errors import BadFile, Fault, TooLarge

#: Formats that are read, and what their files are called.
FORMATS = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",), "TIFF": (".tif", ".tiff")}
SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)
#: Pixels per pitch that an image is read with at least, where it has them.
ENOUGH_PIXELS = 64
#: Pixels of an image at most: 2.4 GB once decoded.
MOST_PIXELS = 800_000_000


@dataclass(frozen=True, slots=True)
class Picture:
    """An image in memory.

    Parameters
    ----------
    rgb : (h, w, 3) uint8
    reduced : int
        How many pixels of the file make one of ``rgb``; divide pixel coordinates by it.
    """

    rgb: NDArray[np.uint8]
    reduced: int = 1


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
        If it has more than 800 million pixels.
    """
    with _opened(path, name) as image:
        return image.size


def suffix_of(path: Path) -> str:
    """Return the usual suffix of an image's format, such as ``.jpg``."""
    with _opened(path) as image:
        return FORMATS[str(image.format)][0]


def thumbnail(path: Path, side: int) -> Image.Image:
    """Return an image of at most ``side`` pixels on either side, as RGB."""
    with _opened(path) as image:
        image.draft("RGB", (side, side))
        small = image.convert("RGB")
    small.thumbnail((side, side))
    return small


def read_picture(path: Path, pitch: float = 1.0) -> Picture:
    """Return an image as RGB bytes, reduced where subspots would still be 64 pixels apart.

    Parameters
    ----------
    path : Path
    pitch : float
        Distance of neighbouring subspots in pixels of the file. JPEG files are reduced by a power
        of two while they are decoded, which is faster than decoding them in full.

    Raises
    ------
    BadFile, TooLarge
        As ``picture_size``; also for a damaged file.
    """
    with _opened(path) as image:
        size = image.size
        shrink = 1
        while pitch / (2 * shrink) >= ENOUGH_PIXELS and shrink < 8:
            shrink *= 2
        # Halves that are not whole would shift coordinates by part of a pixel only.
        image.draft("RGB", (size[0] // shrink, size[1] // shrink))
        try:
            rgb = np.asarray(image.convert("RGB"))
        except (OSError, ValueError, SyntaxError) as error:
            raise _bad(path.name, f"its pixels cannot be read ({error})") from error
    return Picture(rgb, round(size[0] / rgb.shape[1]))


@contextmanager
def _opened(path: Path, name: str = "") -> Iterator[Image.Image]:
    """Open an image of a format that is read and a size that is allowed."""
    called = name or path.name
    with warnings.catch_warnings():
        # The size is checked here, with a message of our own.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            image = Image.open(path, formats=list(FORMATS))
        except Image.DecompressionBombError as error:
            raise _too_large(called, str(error)) from error
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
            raise _bad(called, "it is not an image that can be read") from error
    with image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise _too_large(called, f"{width:,} x {height:,} pixels")
        yield image


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


def _too_large(name: str, size: str) -> TooLarge:
    """Return the error of an image with too many pixels."""
    return TooLarge(
        f"{name} has {size}; {MOST_PIXELS:,} can be read.",
        "Export the image at half the resolution and halve the pixel coordinates with it; "
        f"{ENOUGH_PIXELS} pixels per subspot are enough.",
    )
