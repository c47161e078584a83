"""Common coordinates of cells: the array of places, and what is known of how they were found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.errors import BadRequest
from backend.store import flat, schema
from backend.store.atlas import Atlas
from backend.store.flat import Rows

#: Makes an array of a write: (logical name, shape, dtype, attributes, fill).
Create = Callable[[str, tuple[int, ...], Any, dict[str, Any], float], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class SpaceResult:
    """Places to be written, and their records.

    Parameters
    ----------
    places : mapping of section to (n, 3) float32
        Micrometres of the space, in row order of the section.
    records : mapping of section to dict
        Transform, scores or the reason of a refusal; JSON. Sections without places lose those
        that they had; sections not named here keep theirs.
    about : dict
        Name, axes, unit and licence of the space; JSON.
    outline : (m, 3) float32 or None
        Points on the surface of the reference.
    volume : (a, d, m) int16 or None
        Labels of the reference.
    volume_about : dict
        Where its first voxel lies, its step and its tree of regions; JSON.
    """

    places: Mapping[str, NDArray[np.float32]]
    records: Mapping[str, Mapping[str, Any]]
    about: Mapping[str, Any] = field(default_factory=dict)
    outline: NDArray[np.float32] | None = None
    volume: NDArray[np.int16] | None = None
    volume_about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Space:
    """What an atlas holds of a common space.

    Parameters
    ----------
    xyz : (N, 3) float32
        nan where a cell has no place.
    about, records : dict
        As they were written.
    outline : (m, 3) float32
    """

    xyz: Rows
    about: Mapping[str, Any]
    records: Mapping[str, Mapping[str, Any]]
    outline: NDArray[np.float32]


def read_space(atlas: Atlas) -> Space | None:
    """Return the common coordinates of an atlas, or None where nothing is registered."""
    folder = atlas.array_path(schema.XYZ)
    if folder is None:
        return None
    found = flat.read_header(folder)["attributes"]
    surface = atlas.array_path(schema.OUTLINE)
    outline = np.zeros((0, 3), np.float32) if surface is None else flat.read(surface)[:]
    return Space(flat.read(folder), found["about"], found["records"], np.asarray(outline))


def read_volume(atlas: Atlas) -> tuple[NDArray[np.int16], Mapping[str, Any]] | None:
    """Return the labels of the reference that an atlas keeps, and what is known of them."""
    folder = atlas.array_path(schema.VOLUME)
    if folder is None:
        return None
    about = flat.read_header(folder)["attributes"]
    return np.asarray(flat.read(folder)[:]).reshape(about["shape"]), about


def write_space(
    create: Create, atlas: Atlas, result: SpaceResult, provenance: dict[str, Any] | None
) -> None:
    """Write places and records into new arrays of an update.

    Raises
    ------
    BadRequest
        If places do not fit their section.
    """
    before = read_space(atlas)
    known = {} if before is None else dict(before.records)
    records = {**known, **{s: dict(r) for s, r in result.records.items()}}
    attributes = {"about": dict(result.about), "records": records, "provenance": provenance}
    rows = create(schema.XYZ, (atlas.n_cells, 3), np.float32, attributes, np.nan)
    for info in atlas.sections():
        found = result.places.get(info.id)
        if found is not None:
            if found.shape != (info.n_cells, 3):
                raise BadRequest(
                    f"Places of section '{info.id}' have shape {found.shape}.",
                    f"Give one per cell: ({info.n_cells}, 3).",
                )
            rows[info.rows] = found
        elif before is not None and info.id not in result.records:
            rows[info.rows] = before.xyz[info.rows]
    if result.outline is not None:
        outline = create(schema.OUTLINE, result.outline.shape, np.float32, {}, 0.0)
        outline[...] = result.outline
    if result.volume is not None:
        about = {**result.volume_about, "shape": list(result.volume.shape)}
        volume = create(schema.VOLUME, (result.volume.size,), np.int16, about, 0.0)
        volume[...] = result.volume.ravel()
