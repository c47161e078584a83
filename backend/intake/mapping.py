"""How the columns of a file become sections, labels and coordinates. Values only, no reading."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

#: Columns tried for each role when a file is read without instructions; the first that fits wins.
GUESSES: Mapping[str, tuple[str, ...]] = {
    "class": ("class", "cell_class", "class_name", "class_label", "major_type"),
    "type": (
        "type", "cell_type", "celltype", "CellType", "cell_types", "subclass", "subclass_name",
        "annotation", "cluster_name", "Main_molecular_cell_type",
    ),
    "subtype": ("subtype", "cell_subtype", "supertype", "Sub_molecular_cell_type"),
    "region": (
        "region", "brain_region", "layer", "domain", "tissue_region", "parcellation_division",
        "Main_molecular_tissue_region", "layer_guess", "ground_truth",
    ),
}  # fmt: skip
#: Fields tried for coordinates, in this order.
OBSM = ("spatial", "X_spatial", "spatial3d", "spatial_um")
OBS_PAIRS = (
    ("x_um", "y_um"), ("x", "y"), ("X", "Y"), ("center_x", "center_y"),
    ("x_centroid", "y_centroid"), ("centroid_x", "centroid_y"), ("x_section", "y_section"),
)  # fmt: skip
#: Fields tried for raw counts, in this order.
COUNTS = ("layers/counts", "X", "layers/raw_counts", "layers/raw", "raw/X")
#: Columns tried for gene symbols and Ensembl ids beside the index of var.
SYMBOLS = ("symbol", "gene_symbol", "gene_name", "gene_symbols", "gene_short_name", "feature_name")
ENSEMBL = ("ensembl", "ensembl_id", "gene_id", "gene_ids", "gene_identifier")


@dataclass(frozen=True, slots=True)
class LabelMap:
    """One label of a file.

    Parameters
    ----------
    column : str
        Column of obs, or of the table.
    names : mapping
        Name in the file to name in the atlas; names not listed stay.
    drop : frozenset of str
        Names in the file that mean missing.
    parents : mapping
        Name in the atlas to the name of its parent.
    colours : mapping
        Name in the atlas to #rrggbb.
    parent_from : str
        Role of another label of the file; its commonest name among the cells of a class becomes
        the parent of that class.
    """

    column: str
    names: Mapping[str, str] = field(default_factory=dict)
    drop: frozenset[str] = frozenset()
    parents: Mapping[str, str] = field(default_factory=dict)
    colours: Mapping[str, str] = field(default_factory=dict)
    parent_from: str = ""


@dataclass(frozen=True, slots=True)
class ReadMapping:
    """How one file is read; everything that is None is guessed from the file.

    Parameters
    ----------
    section : str or None
        Column that tells sections apart; one section per file where the file has none.
    skip : frozenset of str
        Values of that column that are left out.
    only : frozenset of str
        Values of that column that are kept; all where empty.
    id, title : str
        Templates; ``{section}`` is the value of the column, ``{file}`` the name of the file.
    xy : str or None
        ``obsm/KEY`` or ``obs/X, obs/Y``.
    need_places : bool
        Whether a file without coordinates is refused; its cells have nan where not.
    scale : float
        Units of the atlas per unit of the file; ``xy_unit`` names the former.
    flip_x, flip_y : bool
        Mirror the section; applied before ``rotate``.
    rotate : float
        Degrees, clockwise on a screen.
    labels : mapping of role to LabelMap, or None
    numbers : mapping of layer key to column
    counts : str or None
        ``X``, ``layers/NAME`` or ``raw/X``.
    embedding : str or None
        ``obsm/KEY`` with the places of cells in a space of any model; the same number of
        dimensions in all files of an atlas.
    unit : str or None
        What the counts are; "counts" where they are whole numbers, else "normalised".
    symbol : str or None
        Column of var with symbols; the index of var where there is none.
    names : str or None
        Column with the ids of cells; the index where there is none.
    position : float or str or None
        Millimetres along ``axis``, or the column that says so.
    animal : str
        An animal, or ``obs/COLUMN``.
    """

    dataset: str = ""
    section: str | None = None
    skip: frozenset[str] = frozenset()
    only: frozenset[str] = frozenset()
    id: str = ""
    title: str = ""
    xy: str | None = None
    xy_unit: str = "um"
    need_places: bool = True
    scale: float = 1.0
    flip_x: bool = False
    flip_y: bool = False
    rotate: float = 0.0
    labels: Mapping[str, LabelMap] | None = None
    numbers: Mapping[str, str] = field(default_factory=dict)
    counts: str | None = None
    embedding: str | None = None
    unit: str | None = None
    symbol: str | None = None
    names: str | None = None
    technology: str = ""
    species: str = ""
    axis: str = ""
    position: float | str | None = None
    animal: str = ""
    licence: str = ""
    citation: str = ""
    notes: tuple[str, ...] = ()


def safe_id(text: str) -> str:
    """Return ``text`` as a section id: letters, digits, point, dash and underscore."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip("_.")[:80] or "section"
