"""Colour and texture maps of a stained tissue image, averaged over small blocks of pixels.

Stains are separated after Ruifrok and Johnston, "Quantification of histochemical staining by color
deconvolution", Anal Quant Cytol Histol 23 (2001): optical density is linear in the amount of stain.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Map = NDArray[np.float32]

#: Optical densities of haematoxylin, eosin and a third stain in red, green, blue.
STAINS = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))
#: Mean optical density below which a pixel shows the bare slide.
BARE = 0.06
#: Percentiles of haematoxylin over the tissue; nuclei lie above them.
NUCLEAR = (60.0, 80.0, 92.0)
#: Widths of the texture filters, pixels.
TEXTURE = (1.0, 2.0, 4.0)
#: Rows that a filter sees beyond a strip: four times the widest.
HALO = 16
#: Rows of pixels that are worked on at once, to keep memory small.
STRIP = 256
#: Maps of which the local spread is a feature too.
SPREAD = ("haematoxylin", "eosin", "saturation", "density green")

MEANS = (
    *(f"density {colour}" for colour in ("red", "green", "blue")),
    *("haematoxylin", "eosin", "saturation"),
    *(f"haematoxylin above {percent:.0f} %" for percent in NUCLEAR),
    "background",
    *(
        f"{texture} {width:.0f} px"
        for width in TEXTURE
        for texture in ("gradient", "bright spots", "dark spots")
    ),
)
#: The maps in the order of ``block_maps``: 19 to be averaged, and squares of the 4 of SPREAD.
MAPS = (*MEANS, *(f"{name} squared" for name in SPREAD))


def block_maps(rgb: NDArray[np.uint8], block: int) -> Map:
    """Return the maps of an image as means over blocks of pixels.

    Parameters
    ----------
    rgb : (h, w, 3) uint8
    block : int
        Side of a block, pixels; rows and columns that do not fill a block are left out.

    Returns
    -------
    (23, h // block, w // block) float32, in the order of MAPS
    """
    cuts = _nuclear_cuts(rgb)
    rows = rgb.shape[0] // block
    out = np.empty((len(MAPS), rows, rgb.shape[1] // block), np.float32)

    def fill(first: int) -> None:
        last = min(first + max(STRIP // block, 1), rows)
        out[:, first:last] = _strip(rgb, first * block, last * block, block, cuts)

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 4)) as threads:
        list(threads.map(fill, range(0, rows, max(STRIP // block, 1))))
    return out


def optical_density(rgb: NDArray[np.uint8]) -> Map:
    """Return -log10 of the transmitted light per channel, 0 for white; same shape as rgb."""
    table = -np.log10((np.arange(256) + 1) / 256).astype(np.float32)
    return table[rgb]


def stains(density: Map) -> tuple[Map, Map]:
    """Return the amounts of haematoxylin and eosin of optical densities (..., 3)."""
    basis = np.array(STAINS)
    unmix = np.linalg.inv(basis / np.linalg.norm(basis, axis=1, keepdims=True)).astype(np.float32)
    amounts = density @ unmix[:, :2]
    return amounts[..., 0], amounts[..., 1]


def saturation(rgb: NDArray[np.uint8]) -> Map:
    """Return the saturation of colours (..., 3), 0 for grey and 1 for pure colours."""
    low, high = rgb.min(axis=-1), rgb.max(axis=-1)
    return (high - low) / np.maximum(high, 1).astype(np.float32)


def _nuclear_cuts(rgb: NDArray[np.uint8]) -> Map:
    """Return the percentiles of haematoxylin over the tissue, from some 250,000 pixels."""
    step = max(int((rgb.shape[0] * rgb.shape[1] / 250_000) ** 0.5), 1)
    density = optical_density(rgb[::step, ::step])
    tissue = density.mean(axis=-1) >= BARE
    amount = stains(density)[0]
    return np.percentile(amount[tissue] if tissue.any() else amount, NUCLEAR).astype(np.float32)


def _strip(rgb: NDArray[np.uint8], first: int, last: int, block: int, cuts: Map) -> Map:
    """Return the block means of rows first .. last - 1."""
    top = max(first - HALO, 0)
    around = rgb[top : last + HALO]
    keep = slice(first - top, last - top)
    means = [_block_means(values[keep], block) for values in _maps(around, cuts)]
    return np.stack(means)


def _maps(rgb: NDArray[np.uint8], cuts: Map) -> Iterator[Map]:
    """Yield the maps of MAPS at every pixel."""
    density = optical_density(rgb)
    haematoxylin, eosin = stains(density)
    colourful = saturation(rgb)
    yield from (density[..., 0], density[..., 1], density[..., 2])
    yield from (haematoxylin, eosin, colourful)
    for cut in cuts:
        yield (haematoxylin > cut).astype(np.float32)
    yield (density.mean(axis=-1) < BARE).astype(np.float32)
    for width in TEXTURE:
        yield from _texture(haematoxylin, width)
    for values in (haematoxylin, eosin, colourful, density[..., 1]):
        yield values * values


def _texture(values: Map, width: float) -> tuple[Map, Map, Map]:
    """Return the gradient's length and both signs of the Laplacian, of a smoothed map."""
    smooth = gaussian_filter(values, width, truncate=HALO / max(TEXTURE))
    padded = np.pad(smooth, 1, mode="edge")
    up, down = padded[:-2, 1:-1], padded[2:, 1:-1]
    left, right = padded[1:-1, :-2], padded[1:-1, 2:]
    slope = np.hypot(right - left, down - up) * np.float32(width / 2)
    # Times width squared, so that features of every width have one unit.
    curve = (up + down + left + right - 4 * smooth) * np.float32(width**2)
    return slope, np.maximum(-curve, 0), np.maximum(curve, 0)


def _block_means(values: Map, block: int) -> Map:
    """Return means over square blocks."""
    rows, columns = values.shape[0] // block, values.shape[1] // block
    cut = values[: rows * block, : columns * block]
    return cut.reshape(rows, block, columns, block).mean(axis=(1, 3), dtype=np.float32)
