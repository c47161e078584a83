"""A section of an atlas in memory, with all that models and exports need of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from backend.core.data import Label, SectionData
from backend.store import schema

if TYPE_CHECKING:
    from backend.store.atlas import Atlas


def load_section(atlas: Atlas, section_id: str) -> SectionData:
    """Return a section with its counts, labels and numbers, rows in storage order."""
    section = atlas.section(section_id)
    keys = atlas.layers(section.id)
    measured = atlas.expression(section.id)
    genes = () if measured is None else tuple(atlas.genes.symbol[g] for g in measured.genes)
    counts = (
        csr_matrix((section.n_cells, 0), dtype=np.float32)
        if measured is None
        else measured.matrix()
    )
    return SectionData(
        id=section.id,
        title=section.title,
        xy=np.array(atlas.xy[section.rows], dtype=np.float32),
        counts=counts,
        genes=genes,
        names=np.array(atlas.names(section.rows), dtype=object),
        labels={
            key.name: Label(
                np.array(atlas.label(key.name).codes[section.rows], dtype=np.int16),
                atlas.label(key.name).categories,
            )
            for key in keys
            if key.kind == "label"
        },
        numbers={
            key: np.array(atlas.number(key).values[section.rows], dtype=np.float32)
            for key in keys
            if key.kind in schema.NUMBER_KINDS
        },
        unit=section.unit,
        xy_unit=section.xy_unit,
        technology=section.technology,
        dataset=section.dataset,
        species=section.species,
    )
