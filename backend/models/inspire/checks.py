"""What sections must be to be integrated; everything that is wrong is said at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from backend.core.data import SectionData
from backend.core.errors import BadFile, BadRequest, Fault

#: Cells below which a section has nothing to say of factors.
LEAST_CELLS = 30
#: Genes that two sections must share, directly or through others.
LEAST_SHARED = 10


def refuse_faults(sections: Sequence[SectionData], radius: float | None = None) -> None:
    """Raise for all that keeps sections from being integrated.

    Parameters
    ----------
    sections : sequence of SectionData
    radius : float, optional
        Distance in the unit of the sections within which every cell must have a neighbour.

    Raises
    ------
    BadRequest
        A single section; sections of several species; panels that share too few genes.
    BadFile
        Faults of one section: too few cells, no counts, values that are no counts, isolated cells.
    """
    if len(sections) < 2:
        raise BadRequest(
            f"{len(sections)} section was given; factors across sections need two or more.",
            "For domains of one section use 'weights' (SpatialGlue takes RNA alone as well), or "
            "give the section together with another of the same tissue.",
        )
    for section in sections:
        faults = list(_faults(section, radius))
        if faults:
            raise BadFile(section.title, faults)
    _refuse_species(sections)
    _refuse_panels(sections)


def _faults(section: SectionData, radius: float | None) -> Iterator[Fault]:
    data = section.counts.data
    if section.n_cells < LEAST_CELLS:
        yield Fault(f"there are {section.n_cells:,} cells", "cells", f"at least {LEAST_CELLS}",
                    "Leave the section out, or lower the filter that emptied it.")  # fmt: skip
    if not section.genes or not section.counts.nnz:
        yield Fault("there is no count", "X", "raw counts", "Give the section with expression.")
        return
    if not np.isfinite(data).all() or (data < 0).any():
        yield Fault("values are negative or not finite", "X", "raw counts, from zero up",
                    "Give the raw counts, not scaled values.")  # fmt: skip
    elif not section.is_counts or not _are_counts(section):
        yield Fault(
            f"values are {section.unit}, such as {_odd(section):.3g}", "X",
            "raw counts: whole numbers", "Give the raw counts (layers['counts']).",
        )  # fmt: skip
    else:
        empty = int((np.asarray(section.counts.sum(axis=1)).ravel() == 0).sum())
        if empty == section.n_cells:
            yield Fault("no cell has a count", "X", "cells with counts", "Leave the section out.")
    if radius is not None and section.has_places:
        alone = isolated(section, radius)
        if alone:
            yield Fault(f"{alone:,} of {section.n_cells:,} cells have no neighbour within "
                        f"{radius:g} {section.xy_unit}", "obsm['spatial']",
                        "a neighbour of every cell", "Give a larger radius, or none.")  # fmt: skip


def _are_counts(section: SectionData) -> bool:
    data = section.counts.data
    # Expected counts, such as those of a deconvolution, are fractional and allowed when so called.
    return "expected" in section.unit or bool(np.allclose(data, np.rint(data), atol=1e-3))


def _odd(section: SectionData) -> float:
    data = section.counts.data
    off = np.abs(data - np.rint(data))
    return float(data[int(np.argmax(off))])


def isolated(section: SectionData, radius: float) -> int:
    """Return how many cells have no other within ``radius``."""
    from scipy.spatial import cKDTree

    tree = cKDTree(section.xy.astype(np.float64))
    distance, _ = tree.query(section.xy.astype(np.float64), 2)
    return int((distance[:, 1] >= radius).sum())


def _refuse_species(sections: Sequence[SectionData]) -> None:
    species = {s.species for s in sections if s.species}
    if len(species) > 1:
        listed = "; ".join(f"{s.title}: {s.species}" for s in sections)
        raise BadRequest(
            "The sections are of several species, whose genes have other names.",
            listed,
            "Integrate each species by itself.",
        )


def _refuse_panels(sections: Sequence[SectionData]) -> None:
    """Refuse sections that no chain of shared genes joins to the others."""
    panels = [{g.upper() for g in s.genes} for s in sections]
    joined, rest = {0}, set(range(1, len(sections)))
    while True:
        near = {j for j in rest if any(len(panels[i] & panels[j]) >= LEAST_SHARED for i in joined)}
        if not near:
            break
        joined, rest = joined | near, rest - near
    if rest:
        pairs = [
            f"{sections[i].title} and {sections[j].title} share {len(panels[i] & panels[j])}"
            for j in sorted(rest)
            for i in sorted(joined)
        ]
        raise BadRequest(
            f"{len(rest)} of {len(sections)} sections share too few genes with the others; "
            f"{LEAST_SHARED} are needed.",
            *pairs[:6],
            "Use sections of panels that overlap, and the same kind of gene names.",
        )
