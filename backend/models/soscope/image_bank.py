"""Sixty-nine numbers of colour and texture of a tissue image around each subspot.

Optical density of red, green and blue; haematoxylin and eosin; saturation; nuclei as the area with
haematoxylin above its 60th, 80th and 92nd percentile; bare slide; gradient and bright and dark
spots (both signs of the Laplacian of Gaussian) at 1, 2 and 4 pixels: 19 maps, as means in Gaussian
windows of three widths, and the local spread of four of them. No weights, no downloads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backend.core.errors import BadRequest
from backend.models.soscope.image_maps import MEANS, SPREAD, block_maps
from backend.models.soscope.image_windows import window_means

#: Widths of the windows in subspot pitches; the second where a pitch is only some pixels.
WINDOWS = (0.16, 0.4, 0.8)
COARSE_WINDOWS = (0.3, 0.7, 1.5)
#: Pixels per pitch below which the coarse windows are taken.
FEW_PIXELS = 24.0
#: Pixels per pitch that are enough: finer images are reduced to about this.
ENOUGH_PIXELS = 64.0
#: Pixels of the reduced image at most, so that the time is bounded whatever the slide.
MOST_PIXELS = 12e6

NAMES = tuple(
    f"{name}, window {k + 1}"
    for k in range(len(WINDOWS))
    for name in (*MEANS, *(f"spread of {spread}" for spread in SPREAD))
)


@dataclass(frozen=True, slots=True)
class Frame:
    """The part of an image that is looked at: its corners in pixels, and the reduction."""

    left: int
    top: int
    right: int
    bottom: int
    reduce: int


def image_bank(
    rgb: NDArray[np.uint8], centres: NDArray[np.floating], pitch: float
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return the features of an image around subspots, and their names.

    Parameters
    ----------
    rgb : (h, w, 3) uint8
    centres : (n, 2) float
        x and y of the subspots, pixels; the first pixel reaches from 0 to 1.
    pitch : float
        Distance of neighbouring subspots, pixels.

    Returns
    -------
    (n, 69) float32, and NAMES
        Not scaled; see ``image_features`` for what a kernel takes.

    Raises
    ------
    BadRequest
        If the image is not RGB bytes, or subspots are smaller than a pixel.
    """
    check_image(rgb, centres, pitch)
    frame = frame_of(rgb.shape[:2], centres, pitch)
    seen = _reduced(rgb, frame)
    scale = pitch / frame.reduce
    widths = WINDOWS if scale >= FEW_PIXELS else COARSE_WINDOWS
    # Blocks half as wide as the narrowest window lose nothing that the window would show.
    block = max(int(widths[0] * scale / 2), 1)
    maps = block_maps(seen, block)
    points = (centres - [frame.left, frame.top]) / (frame.reduce * block)
    parts = [_features(window_means(maps, points, width * scale / block)) for width in widths]
    return np.concatenate(parts, axis=1), NAMES


def frame_of(shape: tuple[int, ...], centres: NDArray[np.floating], pitch: float) -> Frame:
    """Return what has to be seen of an image (h, w) for subspots at some pixels."""
    return framed(shape, centres, pitch, ENOUGH_PIXELS, 3 * COARSE_WINDOWS[-1] * pitch)


def framed(
    shape: tuple[int, ...],
    centres: NDArray[np.floating],
    pitch: float,
    enough: float,
    margin: float,
) -> Frame:
    """Return the part of an image around subspots, reduced so that it can be looked at in time.

    Parameters
    ----------
    shape : (h, w)
    centres : (n, 2) float
    pitch : float
        Distance of neighbouring subspots, pixels.
    enough : float
        Pixels per pitch that need not be exceeded.
    margin : float
        Pixels that are seen around the outermost subspots.
    """
    low = np.floor(np.maximum(centres.min(axis=0) - margin, 0)).astype(int)
    high = np.ceil(np.minimum(centres.max(axis=0) + margin, shape[1::-1])).astype(int)
    area = float(np.prod(np.maximum(high - low, 1)))
    reduce = max(int(pitch / enough), int(np.ceil((area / MOST_PIXELS) ** 0.5)), 1)
    # However large the slide, a subspot keeps some pixels.
    reduce = min(reduce, max(int(pitch / 8), 1))
    return Frame(int(low[0]), int(low[1]), int(high[0]), int(high[1]), reduce)


def check_image(rgb: NDArray[np.uint8], centres: NDArray[np.floating], pitch: float) -> None:
    """Raise unless the image is RGB bytes, holds some subspots, and shows them."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise BadRequest(
            f"The image is {rgb.dtype} of shape {rgb.shape}.", "Expected: red, green, blue bytes."
        )
    if not pitch >= 1:
        raise BadRequest(
            f"Subspots are {pitch:.2g} pixels apart: smaller than a pixel of the image.",
            "Choose a smaller factor, or send an image of higher resolution.",
        )
    size = np.array(rgb.shape[1::-1])
    outside = ~((centres >= 0) & (centres <= size)).all(axis=1)
    if outside.all():
        raise BadRequest(
            f"All {len(centres):,} subspots lie outside the image of {size[0]} x {size[1]} pixels.",
            "Check that the pixel coordinates belong to this image and its scale.",
        )


def _reduced(rgb: NDArray[np.uint8], frame: Frame) -> NDArray[np.uint8]:
    """Return the framed part of an image, each pixel the mean of reduce x reduce."""
    part = rgb[frame.top : frame.bottom, frame.left : frame.right]
    if frame.reduce == 1:
        return part
    return np.asarray(Image.fromarray(np.ascontiguousarray(part)).reduce(frame.reduce))


def _features(means: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the means (n, 19) and spreads (n, 4), from means of maps and of squares (n, 23)."""
    first = [MEANS.index(name) for name in SPREAD]
    variance = means[:, len(MEANS) :] - means[:, first] ** 2
    spread = np.sqrt(np.maximum(variance, 0))
    return np.concatenate([means[:, : len(MEANS)], spread], axis=1)
