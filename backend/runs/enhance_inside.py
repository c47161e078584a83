"""What a file of spots says of its image: pixel coordinates, scale factors, the image itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionData
from backend.core.errors import BadFile, BadRequest, Fault
from backend.intake.spots import PIXELS


@dataclass(frozen=True, slots=True)
class Inside:
    """Image and scale that a file of 10x brings along.

    rgb : (h, w, 3) uint8; scale : pixels per unit of obsm['spatial']; source : field.
    """

    rgb: NDArray[np.uint8]
    scale: float
    source: str


def image_inside(file: h5py.File) -> Inside | None:
    """Return the finest image of ``uns['spatial']`` with its scale factor.

    Raises
    ------
    BadFile
        If there is an image, but no scale factor.
    """
    library = _library(file)
    if library is None:
        return None
    images = library.get("images")
    if not isinstance(images, h5py.Group) or not len(images):
        return None
    name = next((n for n in ("hires", "lowres") if n in images), next(iter(images)))
    place = f"uns['spatial']['{library.name.split('/')[-1]}']"
    factor = library.get(f"scalefactors/tissue_{name}_scalef")
    if factor is None:
        fault = Fault(
            f"the image '{name}' has no scale factor", f"{place}['scalefactors']",
            f"tissue_{name}_scalef, pixels of the image per unit of obsm['spatial']",
            "Add it, or send the image by itself with its scale.",
        )  # fmt: skip
        raise BadFile(Path(file.filename).name, [fault])
    return Inside(_bytes_of(np.asarray(images[name])), float(np.asarray(factor)), f"{place} {name}")


def rows_of(file: h5py.File, section: SectionData) -> NDArray[np.int64]:
    """Return the rows of the file that the spots of a section are in.

    Raises
    ------
    BadRequest
    """
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


def pixels_of(
    file: h5py.File, field: str, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], str]:
    """Return pixel coordinates of some rows, and their field.

    Parameters
    ----------
    file : h5py.File
    field : str
        ``obsm/KEY``; found where empty.
    rows : (n,) int64

    Raises
    ------
    BadFile
    """
    obsm = file.get("obsm", {})
    there = list(obsm)
    tried = [field.removeprefix("obsm/")] if field else [*PIXELS]
    if not field and "uns/spatial" in file:
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


def scale_of(file: h5py.File, field: str, size: tuple[int, int]) -> float:
    """Return pixels of an image file (width, height) per unit of a field of pixels.

    1, unless the image has one of the sizes that 10x names.
    """
    library = _library(file)
    if field != "spatial" or library is None:
        return 1.0
    for name in ("hires", "lowres"):
        shown = library.get(f"images/{name}")
        factor = library.get(f"scalefactors/tissue_{name}_scalef")
        if shown is not None and factor is not None and shown.shape[1::-1] == size:
            return float(np.asarray(factor))
    return 1.0


def _library(file: h5py.File) -> h5py.Group | None:
    """Return the first library of ``uns['spatial']``."""
    spatial = file.get("uns/spatial")
    if not isinstance(spatial, h5py.Group) or not len(spatial):
        return None
    library = spatial[next(iter(spatial))]
    return library if isinstance(library, h5py.Group) else None


def _bytes_of(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an image of 10x, bytes or shares, as RGB bytes."""
    if values.dtype != np.uint8:
        top = 255.0 if float(values.max(initial=0)) <= 1.0 else 1.0
        values = np.clip(values * top, 0, 255).astype(np.uint8)
    if values.ndim == 2:
        values = np.repeat(values[:, :, None], 3, axis=2)
    return np.ascontiguousarray(values[:, :, :3])
