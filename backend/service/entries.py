"""What the explorer is told of an atlas and of each of its sections."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionInfo
from backend.service.layers import bridges_note
from backend.service.planes import Plane
from backend.service.space import summary_of
from backend.store.atlas import Atlas
from backend.store.space import Space
from backend.tiles.layouts import layout_names


def atlas_entry(atlas: Atlas) -> dict[str, Any]:
    """Return name, size, geometry, labels and layouts of an atlas."""
    sections = atlas.sections()
    embedding = atlas.embedding("cell")
    return {
        "name": atlas.name,
        "simulated": atlas.simulated,
        "n_cells": atlas.n_cells,
        "n_sections": len(sections),
        "n_genes": len(atlas.genes.symbol),
        "n_imputable": _n_imputable(atlas.genes.embedding),
        "version": atlas.version,
        "edition": atlas.edition,
        "world_um": atlas.world_um,
        "grid_level": atlas.grid_level,
        "species": sorted({s.species for s in sections}),
        "technologies": sorted({s.technology for s in sections}),
        "has_imputation": embedding is not None and atlas.genes.embedding is not None,
        "labels": list(atlas.labels()),
        "layouts": list(layout_names(atlas)),
    }


def _n_imputable(embedding: NDArray[np.float32] | None) -> int:
    return 0 if embedding is None else int(np.any(embedding, axis=1).sum())


def section_entry(plane: Plane, info: SectionInfo, space: Space | None) -> dict[str, Any]:
    """Return what the store records of a section, its place on the plane and in the common brain.

    Parameters
    ----------
    space : Space or None
        Common coordinates of the plane's atlas, where it has any.
    """
    embedding = plane.atlas.embedding("cell")
    return {
        **asdict(info),
        "noun": info.noun,
        "slot": list(info.slot),
        "extent": list(info.extent),
        "bounds": list(plane.bounds(info)),
        "world_um": plane.atlas.world_um,
        "edition": plane.atlas.edition,
        "embedded": embedding is not None and info.id in embedding.sections,
        "few_bridges": bridges_note(plane.atlas, info.id),
        "registered": summary_of(space, info.id),
    }
