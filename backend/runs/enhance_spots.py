"""Spots as files have them: of one modality or several, and with single cells as their subspots."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from backend.core.data import Label, SectionData
from backend.core.errors import BadFile, BadRequest, Fault
from backend.core.settings import Limits
from backend.intake.mapping import ReadMapping
from backend.intake.multiomics import TYPE_COLUMNS, read_multiomics
from backend.intake.read import read_h5ad
from backend.intake.structure import check_signature, check_structure
from backend.models.soscope.lattice import fit_lattice
from backend.models.soscope.layouts import Layout, cells_in_spots

#: Width of a spot in pitches where it is not given: 55 of 100 um in Visium, 100 of 200 in ST.
SPOT_WIDTH = 0.55


@dataclass(frozen=True, slots=True)
class CellsInSpots:
    """Spots that hold cells, the layout of these cells, and the names of the cells."""

    section: SectionData
    layout: Layout
    names: NDArray[Any]


def read_spots(path: Path, mapping: ReadMapping | None) -> list[SectionData]:
    """Return the sections of a file after a look at what it declares.

    A .h5mu file, or one whose var tells modalities apart, is one section with all of them.

    Raises
    ------
    BadFile
    """
    if not path.is_file():
        fault = Fault("there is no such file", str(path), "an .h5ad file", "Check its name.")
        raise BadFile(path.name, [fault])
    found = [f for f in [check_signature(path)] if f is not None]
    several = False
    if not found:
        with h5py.File(path, "r") as file:
            found = check_structure(file, Limits())
            several = not found and _has_modalities(file)
    if found:
        raise BadFile(path.name, [f.as_fault() for f in found])
    return [read_multiomics([path], mapping=mapping)] if several else read_h5ad(path, mapping)


def cells_of(section: SectionData, cells: SectionData, width: float = 0.0) -> CellsInSpots:
    """Return single cells as the subspots of the spots that they lie in.

    Parameters
    ----------
    section : SectionData
        Spots.
    cells : SectionData
        Cells in the same frame; their counts are not looked at.
    width : float
        Width of a spot in the unit of the coordinates; .55 pitches where 0.

    Raises
    ------
    BadRequest
        If no cell lies in a spot.
    """
    spots, places = np.asarray(section.xy, np.float64), np.asarray(cells.xy, np.float64)
    reach = (width or SPOT_WIDTH * fit_lattice(spots).pitch) / 2
    near = cKDTree(spots).sparse_distance_matrix(cKDTree(places), reach, output_type="coo_matrix")
    # A cell right at the centre is at distance 0, which the sparse result keeps as an entry.
    ones = np.ones(len(near.row), bool)
    mask = csr_matrix((ones, (near.row, near.col)), shape=(len(spots), len(places)))
    layout, kept, used = cells_in_spots(places, spots, mask)
    return CellsInSpots(only(section, used), layout, cells.names[kept])


def only(section: SectionData, rows: NDArray[np.int64]) -> SectionData:
    """Return some spots of a section."""
    return replace(
        section,
        xy=section.xy[rows],
        counts=section.counts[rows],
        names=section.names[rows],
        labels={n: Label(v.codes[rows], v.categories) for n, v in section.labels.items()},
        numbers={key: values[rows] for key, values in section.numbers.items()},
        modalities=tuple(
            replace(m, values=m.values[rows], present=m.present[rows]) for m in section.modalities
        ),
        embedding=None if section.embedding is None else section.embedding[rows],
    )


def images_by_section(texts: list[str]) -> dict[str, Path]:
    """Return image files by section from ``SECTION=FILE`` or, of one section, ``FILE``.

    Raises
    ------
    BadRequest
        If one of several names no section.
    """
    found: dict[str, Path] = {}
    for text in texts:
        section, sign, file = text.partition("=")
        if not sign or Path(text).is_file():
            section, file = "", text
        if section in found or (len(texts) > 1 and not section):
            raise BadRequest(
                f"--image '{text[:80]}' does not say which section it shows.",
                "Give --image SECTION=FILE for each.",
            )
        found[section] = Path(file)
    return found


def _has_modalities(file: h5py.File) -> bool:
    """Return whether a file holds several modalities of the same spots."""
    if isinstance(file.get("mod"), h5py.Group):
        return True
    var = file.get("var")
    for name in TYPE_COLUMNS:
        if isinstance(var, h5py.Group) and name in var:
            column = var[name]
            if isinstance(column, h5py.Group) and "categories" in column:
                return len(column["categories"]) > 1
            if isinstance(column, h5py.Dataset):
                return len(np.unique(column[:])) > 1
    return False
