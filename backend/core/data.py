"""Sections in memory and on record, and what a task returns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.geometry import Bounds, Slot
from backend.core.layers import Category, LayerKey


@dataclass(frozen=True, slots=True)
class Label:
    """Codes of one label for the cells of a section.

    codes : (n,) int16, place in ``categories`` or -1 where missing.
    """

    codes: NDArray[np.int16]
    categories: tuple[Category, ...]


ModalityKind = Literal["rna", "protein", "atac", "image", "other"]


@dataclass(frozen=True, slots=True)
class Modality:
    """What one modality measured in the spots of a section.

    Parameters
    ----------
    name : str
        As the file calls it; shown to people and part of layer names.
    kind : str
        Decides the preprocessing: counts of RNA, of proteins, of accessible chromatin; features of
        an image; or other numbers.
    values : (n, p) csr_matrix or array of float32
        Raw counts, but for "image" and "other". Rows of spots without the modality are zero.
    features : tuple of str
        p names.
    present : (n,) bool
        Whether the spot has the modality at all.
    """

    name: str
    kind: ModalityKind
    values: csr_matrix | NDArray[np.float32]
    features: tuple[str, ...]
    present: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SectionData:
    """One section in memory.

    Parameters
    ----------
    id, title : str
    xy : (n, 2) float32
        Micrometres (or source units where ``xy_unit`` says so), y growing downwards; nan where
        the cells have no places, as dissociated ones.
    counts : (n, g) csr_matrix of float32
        Raw counts where ``unit`` is "counts"; (n, 0) for a section with labels only.
    genes : tuple of str
        g symbols, unique.
    names : (n,) str array
        Cell ids as in the source.
    labels : mapping of str to Label
    numbers : mapping of LayerKey to (n,) float32
    number_units : mapping of LayerKey to str
        Units of those that have one.
    unit : str
        "counts", or what X holds instead; models must not treat the latter as counts.
    modalities : tuple of Modality
        All modalities of a multi-omics section, RNA included; empty for other sections.
    embedding : (n, d) float32 or None
        Places of the cells in a space that the source brought along.
    """

    id: str
    title: str
    xy: NDArray[np.float32]
    counts: csr_matrix
    genes: tuple[str, ...]
    names: NDArray[Any]
    labels: Mapping[str, Label] = field(default_factory=dict)
    numbers: Mapping[LayerKey, NDArray[np.float32]] = field(default_factory=dict)
    unit: str = "counts"
    xy_unit: str = "um"
    technology: str = ""
    dataset: str = ""
    species: str = "mouse"
    modalities: tuple[Modality, ...] = ()
    embedding: NDArray[np.float32] | None = None
    number_units: Mapping[LayerKey, str] = field(default_factory=dict)

    @property
    def n_cells(self) -> int:
        """Number of cells or spots."""
        return int(self.xy.shape[0])

    @property
    def has_places(self) -> bool:
        """Whether the cells have coordinates."""
        return bool(np.isfinite(self.xy).all())

    @property
    def is_counts(self) -> bool:
        """Whether ``counts`` holds raw or expected counts."""
        return "counts" in self.unit


#: How units of expression end that a model gave to parts of spots.
OF_SUBSPOTS = ("per spot area", "shared out")
#: Note of spots that subspots were made of.
AS_MEASURED = "Spots as measured."
#: Half the distance of neighbours, micrometres, from which these are spots.
SPOT_RADIUS = 20.0
#: Technologies that see single cells, however few of them a section keeps.
OF_CELLS = ("merfish", "starmap", "xenium", "iss", "seqfish", "osmfish", "smfish", "cosmx")


@dataclass(frozen=True, slots=True)
class SectionInfo:
    """What the store records of a section.

    Parameters
    ----------
    first, n_cells : int
        The section's rows are first .. first + n_cells - 1 of the atlas.
    slot : Slot
        Node of the atlas quadtree that the section owns.
    origin : (float, float)
        Section coordinates of the slot's top left corner, in the unit of the section.
    side : float
        Side of the slot in the same unit.
    extent : Bounds
        Smallest rectangle with all cells, section coordinates.
    radius : float
        Radius of a drawn cell or spot: half the median distance to the nearest neighbour.
    unit : str
        What the expression is ("counts", "expected counts", "volume-normalised", "none").
    position : float or None
        Millimetres along ``axis``.
    """

    id: str
    title: str
    dataset: str
    technology: str
    species: str
    first: int
    n_cells: int
    slot: Slot
    origin: tuple[float, float]
    side: float
    extent: Bounds
    radius: float
    n_genes: int
    unit: str = "counts"
    xy_unit: str = "um"
    axis: str = ""
    position: float | None = None
    animal: str = ""
    parent: str = ""
    licence: str = ""
    citation: str = ""
    simulated: bool = False
    notes: tuple[str, ...] = ()

    @property
    def noun(self) -> str:
        """What its rows are: cell, spot or subspot."""
        if self.unit.endswith(OF_SUBSPOTS):
            return "subspot"
        is_wide = self.xy_unit == "um" and self.radius >= SPOT_RADIUS
        is_array = is_wide and not self.technology.casefold().startswith(OF_CELLS)
        return "spot" if is_array or AS_MEASURED in self.notes else "cell"

    @property
    def rows(self) -> slice:
        """Rows of the atlas that belong to this section."""
        return slice(self.first, self.first + self.n_cells)


@dataclass(frozen=True, slots=True)
class QuerySection:
    """A checked upload: the section, and how its genes fit a checkpoint."""

    data: SectionData
    matched: tuple[str, ...]
    unknown: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a result comes from: model, version, parameters, seed, data."""

    model: str
    version: str
    parameters: Mapping[str, Any]
    seed: int
    data: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """One value per cell of a section: a label (codes with categories) or a number."""

    section: str
    layer: LayerKey
    values: NDArray[Any]
    categories: tuple[Category, ...] = ()
    unit: str = ""


def units_of(columns: Iterable[Column]) -> dict[LayerKey, str]:
    """Return the units of the numbers among some columns, of those that have one."""
    return {c.layer: c.unit for c in columns if c.unit and not c.categories}


@dataclass(frozen=True, slots=True)
class Matrix:
    """A dense (rows, columns) table with names, such as class probabilities of a section."""

    section: str
    name: str
    values: NDArray[np.float32]
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What a model task returns: columns per section, matrices, new sections, figures."""

    columns: tuple[Column, ...] = ()
    matrices: tuple[Matrix, ...] = ()
    sections: tuple[SectionData, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    provenance: Provenance | None = None
