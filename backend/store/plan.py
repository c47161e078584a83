"""The plan of an atlas: what is known of its sections before any is written."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from backend.core.data import SectionData, SectionInfo
from backend.core.errors import BadRequest
from backend.core.geometry import Bounds
from backend.store.slots import PlannedSection, SlotPlan, storage_order

#: What files say where the species is not known.
_NO_SPECIES = ("", "unknown")


def one_species(plan: Sequence[PlannedSection]) -> None:
    """Refuse sections of several species.

    Raises
    ------
    BadRequest
    """
    species = sorted({s.species.lower() for s in plan} - set(_NO_SPECIES))
    if len(species) > 1:
        raise BadRequest(
            f"Sections are of several species: {', '.join(species)}.",
            "Build one atlas per species, since symbols are compared within a species.",
        )


def plan_of(data: SectionData, simulated: bool = False, **more: Any) -> PlannedSection:
    """Return the plan of a section in memory; ``more`` are further fields of the plan."""
    left, top = (float(v) for v in data.xy.min(axis=0))
    right, bottom = (float(v) for v in data.xy.max(axis=0))
    fields = {
        "title": data.title,
        "dataset": data.dataset,
        "technology": data.technology,
        "species": data.species,
        "xy_unit": data.xy_unit,
        "simulated": simulated,
    }
    extent = Bounds(left, top, right, bottom)
    return PlannedSection(id=data.id, n_cells=data.n_cells, extent=extent, **{**fields, **more})


def records_of(plan: Sequence[PlannedSection], slots: SlotPlan) -> dict[str, SectionInfo]:
    """Return the sections in storage order with their slots and first rows."""
    order = storage_order(slots.slots)
    firsts = [0, *accumulate(plan[i].n_cells for i in order)]
    infos = {}
    for first, i in zip(firsts, order, strict=False):
        fields = {name: getattr(plan[i], name) for name in PlannedSection.__dataclass_fields__}
        infos[plan[i].id] = SectionInfo(
            **fields,
            first=first,
            slot=slots.slots[i],
            origin=slots.origin(i, plan[i].extent),
            side=slots.side(i),
            radius=0.0,
            n_genes=0,
        )
    return infos
