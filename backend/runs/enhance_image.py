"""The tissue image of spots: where its pixels are, whether it fits, and its features."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, UnidentifiedImageError

from backend.core.data import SectionData
from backend.core.errors import BadFile, BadRequest, Fault, TooLarge
from backend.models.soscope.image_bank import image_bank
from backend.models.soscope.layouts import Layout

#: Fields of obsm tried for pixel coordinates, in this order.
PIXELS = ("pixel", "pixels", "image_px", "spatial_px", "X_pixel")
#: Instead of a field: the image covers the grid of spots exactly.
STRETCH = "stretch"
#: Pixels read at most; JPEG images above are read at half, a quarter or an eighth of their size.
MOST_PIXELS = 250_000_000
#: Share of spots that may lie outside the image.
MOST_OUTSIDE = 0.02
#: Side of the overlay that shows where spots lie.
OVERLAY = 1200


@dataclass(frozen=True, slots=True)
class TissueImage:
    """An image in memory, and the places of spots in it.

    rgb : (h, w, 3) uint8; spots : (N, 2) float64, x and y in its pixels; source : file or field.
    """

    rgb: NDArray[np.uint8]
    spots: NDArray[np.float64]
    source: str


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
        inside = None if image is not None else _inside(file)
        if image is None and inside is None:
            return None
        rows = _rows(file, section)
        if image is not None:
            rgb, reduced = read_image(image)
            source = image.name
        else:
            assert inside is not None
            rgb, reduced, source = inside.rgb, 1.0, inside.source
        if pixels == STRETCH:
            return TissueImage(rgb, stretched(section.xy, rgb.shape[:2]), source)
        places, field = _places(file, pixels, rows)
        if scale is None:
            scale = inside.scale if inside is not None else _scale_of(file, field, rgb, reduced)
    return TissueImage(rgb, places * scale / reduced, source)


def read_image(path: Path) -> tuple[NDArray[np.uint8], float]:
    """Return an image as RGB bytes, and by how much it was reduced on reading.

    Raises
    ------
    BadFile, TooLarge
    """
    if not path.is_file():
        raise BadFile(
            path.name, [Fault("there is no such file", str(path), "an image", "Check it.")]
        )
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(path) as picture:
            whole = picture.size
            if whole[0] * whole[1] > MOST_PIXELS:
                _draft(picture, path.name)
            reduced = whole[0] / picture.size[0]
            return np.asarray(picture.convert("RGB")), reduced
    except (UnidentifiedImageError, OSError) as error:
        fault = Fault(f"cannot be read ({str(error)[:100]})", "image", "JPEG, PNG or TIFF",
                      "Save it again.")  # fmt: skip
        raise BadFile(path.name, [fault]) from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def image_features(
    image: TissueImage, layout: Layout, section: SectionData, overlay: Path | None = None
) -> NDArray[np.float32]:
    """Return the features of the image around subspots, (n, 69).

    Parameters
    ----------
    image : TissueImage
    layout : Layout
        Of the section; its spots are those of the image, in order.
    section : SectionData
    overlay : Path or None
        Where a picture of spots over the image is written if they do not fit.

    Raises
    ------
    BadRequest
        If spots lie outside the image, or subspots are smaller than a pixel.
    """
    refuse_outside(image, section.title, overlay)
    places, pitch = subspot_pixels(image.spots, layout)
    return image_bank(image.rgb, places, pitch)[0]


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
    size = image.rgb.shape[1::-1]
    outside = ~_inside_image(image)
    share = float(outside.mean())
    if share <= MOST_OUTSIDE:
        return
    low, high = image.spots.min(axis=0), image.spots.max(axis=0)
    hints = [
        f"Spots reach from ({low[0]:.0f}, {low[1]:.0f}) to ({high[0]:.0f}, {high[1]:.0f}) pixels.",
        "Give the image that the coordinates belong to, or pixels per unit by the scale.",
    ]
    if overlay is not None:
        draw_overlay(image, overlay)
        hints.append(f"See {overlay}.")
    raise BadRequest(
        f"Section '{title}': {share:.0%} of the spots ({int(outside.sum()):,} of {len(outside):,}) "
        f"lie outside the image of {size[0]:,} x {size[1]:,} pixels.",
        *hints,
    )


def draw_overlay(image: TissueImage, path: Path) -> None:
    """Write a PNG of the image with its spots, both whole: in orange inside, in blue outside."""
    size = np.array(image.rgb.shape[1::-1], np.float64)
    inside = _inside_image(image)
    low = np.minimum(image.spots.min(axis=0), 0)
    high = np.maximum(image.spots.max(axis=0), size)
    zoom = OVERLAY / float((high - low).max())
    canvas = Image.new("RGB", _pair((high - low) * zoom + 1), "#dddddd")
    small = Image.fromarray(image.rgb).resize(_pair(np.maximum(size * zoom, 1)))
    canvas.paste(small, _pair(-low * zoom))
    draw = ImageDraw.Draw(canvas)
    for (x, y), good in zip((image.spots - low) * zoom, inside, strict=True):
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill="#f07b26" if good else "#3f6fe8")
    content = io.BytesIO()
    canvas.save(content, "PNG")
    path.write_bytes(content.getvalue())


def _inside_image(image: TissueImage) -> NDArray[np.bool_]:
    """Return which spots lie inside the image."""
    height, width = image.rgb.shape[:2]
    x, y = image.spots.T
    return np.asarray((x >= 0) & (y >= 0) & (x < width) & (y < height))


def _pair(values: NDArray[np.float64]) -> tuple[int, int]:
    return int(values[0]), int(values[1])


@dataclass(frozen=True, slots=True)
class _Inside:
    """Image and scale that a file of 10x brings along."""

    rgb: NDArray[np.uint8]
    scale: float
    source: str


def _inside(file: h5py.File) -> _Inside | None:
    """Return the finest image of ``uns['spatial']`` with its scale factor."""
    spatial = file.get("uns/spatial")
    if not isinstance(spatial, h5py.Group) or not len(spatial):
        return None
    library = next(iter(spatial))
    images = spatial.get(f"{library}/images")
    if not isinstance(images, h5py.Group) or not len(images):
        return None
    name = next((n for n in ("hires", "lowres") if n in images), next(iter(images)))
    place = f"uns['spatial']['{library}']"
    factor = spatial.get(f"{library}/scalefactors/tissue_{name}_scalef")
    if factor is None:
        fault = Fault(
            f"the image '{name}' has no scale factor", f"{place}['scalefactors']",
            f"tissue_{name}_scalef, pixels of the image per unit of obsm['spatial']",
            "Add it, or send the image by itself with its scale.",
        )  # fmt: skip
        raise BadFile(Path(file.filename).name, [fault])
    return _Inside(
        _bytes_of(np.asarray(images[name])), float(np.asarray(factor)), f"{place} {name}"
    )


def _bytes_of(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an image of 10x, bytes or shares, as RGB bytes."""
    if values.dtype != np.uint8:
        top = 255.0 if float(values.max(initial=0)) <= 1.0 else 1.0
        values = np.clip(values * top, 0, 255).astype(np.uint8)
    if values.ndim == 2:
        values = np.repeat(values[:, :, None], 3, axis=2)
    return np.ascontiguousarray(values[:, :, :3])


def _rows(file: h5py.File, section: SectionData) -> NDArray[np.int64]:
    """Return the rows of the file that the spots of a section are in."""
    obs = file["obs"]
    index = obs.attrs.get("_index", "_index")
    names = [n.decode() if isinstance(n, bytes) else str(n) for n in obs[index][:]]
    place = {name: i for i, name in enumerate(names)}
    try:
        return np.array([place[str(name)] for name in section.names], np.int64)
    except KeyError as error:
        raise BadRequest(
            f"Spot {error} of section '{section.title}' is not among the names of obs.",
            "Let the index of obs hold the names of spots.",
        ) from error


def _places(
    file: h5py.File, pixels: str, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], str]:
    """Return pixel coordinates of some rows, and their field."""
    obsm = file.get("obsm", {})
    there = list(obsm)
    tried = [pixels.removeprefix("obsm/")] if pixels else [*PIXELS]
    if not pixels and "uns/spatial" in file:
        tried.append("spatial")
    found = next((name for name in tried if name in there), None)
    if found is None:
        listed = ", ".join(f"obsm/{name}" for name in there) or "nothing"
        fault = Fault(
            f"no pixel coordinates; obsm has {listed}", f"obsm['{tried[0]}']",
            "x and y of each spot in pixels of the image, and scale factors where they are of "
            "another resolution",
            "Name the field (--pixels obsm/KEY) and the scale (--scale), or --pixels stretch "
            "where the image covers the grid of spots.",
        )  # fmt: skip
        raise BadFile(Path(file.filename).name, [fault])
    return np.asarray(obsm[found][:], np.float64)[rows, :2], found


def _scale_of(file: h5py.File, field: str, rgb: NDArray[np.uint8], reduced: float) -> float:
    """Return pixels of an image file per unit: 1, unless it is one of the sizes that 10x names."""
    spatial = file.get("uns/spatial")
    if field != "spatial" or not isinstance(spatial, h5py.Group) or not len(spatial):
        return 1.0
    library = next(iter(spatial))
    size = np.array(rgb.shape[:2]) * reduced
    for name in ("hires", "lowres"):
        shown = spatial.get(f"{library}/images/{name}")
        factor = spatial.get(f"{library}/scalefactors/tissue_{name}_scalef")
        if shown is not None and factor is not None and (size == shown.shape[:2]).all():
            return float(np.asarray(factor))
    return 1.0


def _draft(picture: Any, name: str) -> None:
    """Read a JPEG at a part of its size; refuse others that are too large."""
    width, height = picture.size
    part = int(np.ceil(np.sqrt(width * height / MOST_PIXELS)))
    if picture.format == "JPEG" and part <= 8:
        picture.draft("RGB", (width // part, height // part))
        if picture.size[0] * picture.size[1] <= MOST_PIXELS:
            return
    raise TooLarge(
        f"'{name}' has {width:,} x {height:,} pixels; {MOST_PIXELS:,} are read at most.",
        f"Save it at 1/{part} of its size and give the scale (--scale {1 / part:.3g}).",
        "Large JPEG images are read at a half, a quarter or an eighth of their size; what is read "
        "is looked at in blocks, spots are fitted in tiles.",
    )
