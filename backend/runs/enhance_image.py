"""The tissue image of spots: where its pixels are, whether it fits, and its features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backend.core.data import SectionData
from backend.core.errors import BadRequest
from backend.intake.overlay import is_inside, spots_over
from backend.intake.picture import Box, Picture, picture_size, read_picture, reduced, thumbnail
from backend.models.soscope.image_bank import Frame, frame_of, image_bank
from backend.models.soscope.image_weights import ImageWeights
from backend.models.soscope.layouts import Layout
from backend.runs.enhance_inside import image_inside, pixels_of, rows_of, scale_of

#: Instead of a field: the image covers the grid of spots exactly.
STRETCH = "stretch"
#: Share of spots that may lie outside the image.
MOST_OUTSIDE = 0.02


@dataclass(frozen=True, slots=True)
class TissueImage:
    """An image, in a file or in memory, and the places of spots in it.

    Parameters
    ----------
    size : (width, height)
        Pixels of the whole image.
    spots : (N, 2) float64
        x and y in these pixels.
    source : str
        File or field.
    content : Path or (h, w, 3) uint8
        The file is read in parts, as they are asked for.
    """

    size: tuple[int, int]
    spots: NDArray[np.float64]
    source: str
    content: Path | NDArray[np.uint8]

    def read(self, reduce: int = 1, box: Box | None = None) -> Picture:
        """Return a part of the image; see ``read_picture``."""
        if isinstance(self.content, Path):
            return read_picture(self.content, reduce, box)
        left, top, right, bottom = box or (0, 0, *self.size)
        left, top = max(left, 0), max(top, 0)
        return Picture(self.content[top:bottom, left:right], 1, left, top)

    def small(self, side: int) -> Image.Image:
        """Return the whole image, at most ``side`` pixels wide or high."""
        if isinstance(self.content, Path):
            return thumbnail(self.content, side)
        picture = Image.fromarray(self.content)
        picture.thumbnail((side, side))
        return picture


def image_of_file(
    h5ad: Path,
    section: SectionData,
    image: Path | None,
    pixels: str = "",
    scale: float | None = None,
) -> TissueImage | None:
    """Return the image of a section, or None where no image is named and the file has none.

    Parameters
    ----------
    h5ad : Path
        File that the section was read from; its ``uns['spatial']`` is looked at as 10x writes it.
    section : SectionData
    image : Path or None
        An image file instead of the one inside the file.
    pixels : str
        ``obsm/KEY`` with pixel coordinates, or "stretch"; found where empty.
    scale : float or None
        Pixels of the image per unit of these coordinates; from the file's scale factors where
        None, else 1.

    Raises
    ------
    BadFile, BadRequest, TooLarge
    """
    with h5py.File(h5ad, "r") as file:
        inside = None if image is not None else image_inside(file)
        content: Path | NDArray[np.uint8]
        if image is not None:
            content, size, source = image, picture_size(image), image.name
        elif inside is not None:
            height, width = inside.rgb.shape[:2]
            content, size, source = inside.rgb, (width, height), inside.source
        else:
            return None
        if pixels == STRETCH:
            return TissueImage(size, stretched(section.xy, size[::-1]), source, content)
        places, field = pixels_of(file, pixels, rows_of(file, section))
        if scale is None:
            scale = inside.scale if inside is not None else scale_of(file, field, size)
    return TissueImage(size, places * scale, source, content)


def image_features(
    image: TissueImage,
    layout: Layout,
    section: SectionData,
    overlay: Path | None = None,
    weights: ImageWeights | None = None,
) -> NDArray[np.float32]:
    """Return the features of the image around subspots, (n, 69), or (n, 448) of a network.

    Parameters
    ----------
    image : TissueImage
    layout : Layout
        Of the section; its spots are those of the image, in order.
    section : SectionData
    overlay : Path or None
        Where a picture of spots over the image is written if they do not fit.
    weights : ImageWeights or None
        Of a network that describes the image in place of the bank of colours and textures.

    Raises
    ------
    BadRequest
        If spots lie outside the image, or subspots are smaller than a pixel.
    """
    refuse_outside(image, section.title, overlay)
    places, pitch = subspot_pixels(image.spots, layout)
    shape = image.size[::-1]
    if weights is None:
        seen = _framed(image, frame_of(shape, places, pitch))
        return image_bank(seen.rgb, seen.places(places), pitch / seen.reduced)[0]
    # torch is loaded here, and for these features only.
    from backend.models.soscope.image_cnn import cnn_frame, image_cnn

    micrometres = float(layout.steps[0]) if section.xy_unit == "um" else 0.0
    seen = _framed(image, cnn_frame(shape, places, pitch, micrometres))
    return image_cnn(seen.rgb, seen.places(places), pitch / seen.reduced, weights)


def subspot_pixels(spots: NDArray[np.float64], layout: Layout) -> tuple[NDArray[np.float64], float]:
    """Return the subspots of one section in pixels, (n, 2), and their pitch in pixels.

    Parameters
    ----------
    spots : (N, 2) float64
        Spots in pixels.
    layout : Layout
        One section.
    """
    design = np.column_stack([layout.spots, np.ones(layout.n_spots)])
    turn = np.linalg.lstsq(design, spots, rcond=None)[0][:2]
    places = spots[layout.parent] + (layout.xy - layout.spots[layout.parent]) @ turn
    return places, float(layout.steps[0] * np.sqrt(abs(np.linalg.det(turn))))


def stretched(xy: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return spots in pixels of an image (h, w) that covers their grid, half a pitch around."""
    places = np.asarray(xy, np.float64)
    steps = [float(np.min(np.diff(np.unique(np.round(axis, 3))))) for axis in places.T]
    low, high = places.min(axis=0) - np.array(steps) / 2, places.max(axis=0) + np.array(steps) / 2
    return (places - low) / (high - low) * np.array(shape[::-1])


def refuse_outside(image: TissueImage, title: str, overlay: Path | None) -> None:
    """Raise BadRequest if spots lie outside the image, with a picture of where they are."""
    outside = ~is_inside(image.spots, image.size)
    share = float(outside.mean())
    if share <= MOST_OUTSIDE:
        return
    low, high = image.spots.min(axis=0), image.spots.max(axis=0)
    hints = [
        f"Spots reach from ({low[0]:.0f}, {low[1]:.0f}) to ({high[0]:.0f}, {high[1]:.0f}) pixels.",
        "Give the image that the coordinates belong to, or pixels per unit by the scale.",
    ]
    if overlay is not None:
        spots_over(image.spots, image.size, image.small).save(overlay)
        hints.append(f"See {overlay}.")
    raise BadRequest(
        f"Section '{title}': {share:.0%} of the spots ({int(outside.sum()):,} of {len(outside):,}) "
        f"lie outside the image of {image.size[0]:,} x {image.size[1]:,} pixels.",
        *hints,
    )


def _framed(image: TissueImage, frame: Frame) -> Picture:
    """Return what a frame shows of an image, reduced as far as it asks."""
    seen = image.read(frame.reduce, (frame.left, frame.top, frame.right, frame.bottom))
    rest = frame.reduce // seen.reduced
    return Picture(reduced(seen.rgb, rest), rest * seen.reduced, seen.left, seen.top)
