"""Features of a tissue image around subspots from a network whose weights a person brought.

448 numbers: the maps of three stages (textures of about 40, 100 and 200 pixels), averaged in a
Gaussian window around each subspot. No weights are shipped.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from backend.models.soscope.image_bank import Frame, check_image, framed
from backend.models.soscope.image_network import (
    REACH,
    STRIDE,
    Trunk,
    image_tensor,
    trunk_of,
)
from backend.models.soscope.image_weights import ImageWeights
from backend.models.soscope.image_windows import window_means

#: Micrometres per pixel that the network sees at least, about what a tenfold objective shows.
UM_PER_PIXEL = 1.0
#: Pixels per subspot pitch where micrometres are not known, and bounds where they are.
PIXELS, FEWEST, MOST = 64.0, 32.0, 128.0
#: Width of the window in subspot pitches.
WINDOW = 0.4
#: Pixels per side that are predicted at once; with REACH around them, 60 MB in the first stage.
CORE = 768


def cnn_frame(
    shape: tuple[int, ...], centres: NDArray[np.floating], pitch: float, pitch_um: float = 0.0
) -> Frame:
    """Return what the network has to see of an image (h, w), and how far it is reduced.

    Parameters
    ----------
    shape : (h, w)
    centres : (n, 2) float
        Subspots, pixels.
    pitch : float
        Distance of neighbouring subspots, pixels.
    pitch_um : float
        The same in micrometres; 0 where not known.
    """
    enough = float(np.clip(pitch_um / UM_PER_PIXEL, FEWEST, MOST)) if pitch_um else PIXELS
    return framed(shape, centres, pitch, enough, REACH * pitch / enough)


def image_cnn(
    rgb: NDArray[np.uint8], centres: NDArray[np.floating], pitch: float, weights: ImageWeights
) -> NDArray[np.float32]:
    """Return the features of an image around subspots, (n, 448) float32.

    Parameters
    ----------
    rgb : (h, w, 3) uint8
        At the scale that the network is to see.
    centres : (n, 2) float
        x and y of the subspots in its pixels; the first pixel reaches from 0 to 1.
    pitch : float
        Distance of neighbouring subspots, pixels.
    weights : ImageWeights

    Raises
    ------
    BadRequest
        If the image is not RGB bytes, or subspots are smaller than a pixel.
    """
    check_image(rgb, centres, pitch)
    maps = network_maps(rgb, trunk_of(weights.tensors))
    points = np.asarray(centres, np.float64) / STRIDE
    return window_means(maps, points, WINDOW * pitch / STRIDE)


def network_maps(rgb: NDArray[np.uint8], network: Trunk, core: int = CORE) -> NDArray[np.float32]:
    """Return the maps of an image, (448, h / 16, w / 16) rounded up, a window at a time.

    Parameters
    ----------
    rgb : (h, w, 3) uint8
    network : Trunk
    core : int
        Side of a window without what is seen around it, a multiple of 16 pixels.

    Notes
    -----
    Windows overlap by all that a value can depend on, so the maps are those of the whole image.
    The last rows and columns are repeated to fill up 16 pixels.
    """
    height, width = (-(-side // STRIDE) for side in rgb.shape[:2])
    fill = [(0, height * STRIDE - rgb.shape[0]), (0, width * STRIDE - rgb.shape[1]), (0, 0)]
    filled = np.pad(rgb, fill, mode="edge")
    out = np.empty((0, height, width), np.float32)
    with torch.inference_mode():
        for rows, columns in _cores(height, width, core // STRIDE):
            own, part = _window(filled, rows, columns)
            maps = network(image_tensor(part))[0].numpy()
            if not len(out):
                out = np.empty((len(maps), height, width), np.float32)
            out[:, rows, columns] = maps[:, own[0], own[1]]
    return out


def _cores(height: int, width: int, side: int) -> Iterator[tuple[slice, slice]]:
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield slice(top, min(top + side, height)), slice(left, min(left + side, width))


def _window(
    rgb: NDArray[np.uint8], rows: slice, columns: slice
) -> tuple[tuple[slice, slice], NDArray[np.uint8]]:
    """Return where a core lies in its window, in cells of the maps, and the window's pixels."""
    halo = REACH // STRIDE
    around, own = [], []
    for part in (rows, columns):
        first = max(part.start - halo, 0)
        around.append(slice(first * STRIDE, (part.stop + halo) * STRIDE))
        own.append(slice(part.start - first, part.stop - first))
    return (own[0], own[1]), rgb[around[0], around[1]]
