"""Making the demo atlas: simulated sections, one at a time, into a store."""

from __future__ import annotations

import shutil
from pathlib import Path

from backend.core.data import SectionData
from backend.core.errors import Cancelled
from backend.core.geometry import Bounds
from backend.core.job import RunContext
from backend.demo.genes import GeneModel, gene_model
from backend.demo.section import SectionSpec, layout, section_data
from backend.demo.sections import plan_sections
from backend.store.write import AtlasWriter, PlannedSection

NAME = "Simulated mouse brain"
NOTES = (
    "Simulated: positions, counts and labels were made by the demo's own plan of a mouse-like "
    "brain. Nothing was measured; do not quote any value.",
)
CITATION = "Simulated by Molecular Atlas Explorer"


def make_demo(
    out: Path,
    *,
    sections: int = 20,
    cells: int = 200_000,
    genes: int = 3000,
    seed: int = 0,
    ctx: RunContext | None = None,
) -> None:
    """Write the simulated atlas, whole or not at all.

    One section is in memory at a time, and of it about 4 million (cell, gene) entries besides the
    counts that are not zero.

    Raises
    ------
    StoreExists
        If ``out`` exists.
    BadRequest
        If the numbers make no atlas.
    Cancelled
        If the run was stopped; nothing is left behind.
    """
    ctx = ctx or RunContext(seed=seed)
    model = gene_model(genes, seed)
    ctx.step(0.0, "Placing cells")
    specs = plan_sections(sections, cells, seed)
    planned = [_planned(spec, ctx.part(0.0, 0.15), i, sections) for i, spec in enumerate(specs)]
    symbols = (model.symbols, [""] * genes)
    writer = AtlasWriter(Path(out), NAME, True, symbols, planned, _provenance(cells, genes, seed))
    try:
        _write(writer, specs, model, ctx.part(0.15, 1.0))
    except Cancelled:
        shutil.rmtree(writer.staging, ignore_errors=True)
        raise
    ctx.step(1.0, "The demo atlas is ready")


def _write(
    writer: AtlasWriter, specs: tuple[SectionSpec, ...], model: GeneModel, ctx: RunContext
) -> None:
    """Write the sections that are pending, then finish."""
    pending = set(writer.pending)
    total = sum(spec.n_cells for spec in specs)
    done = 0
    for spec in specs:
        share = spec.n_cells / total
        part = ctx.part(0.95 * done / total, 0.95 * (done / total + share))
        if spec.id in pending:
            writer.add(_section(spec, model, part))
        done += spec.n_cells
        ctx.step(0.95 * done / total, f"Wrote {spec.title}")
    ctx.step(0.95, "Building the overview")
    writer.finish()


def _section(spec: SectionSpec, model: GeneModel, ctx: RunContext) -> SectionData:
    return section_data(spec, model, lambda f: ctx.step(f, f"Simulating {spec.title}"))


def _planned(spec: SectionSpec, ctx: RunContext, place: int, count: int) -> PlannedSection:
    """Return what the store must know of a section beforehand; its cells are placed for that."""
    ctx.step(place / count, f"Placing cells of {spec.title}")
    xy = layout(spec).xy
    (left, top), (right, bottom) = xy.min(axis=0).tolist(), xy.max(axis=0).tolist()
    name = spec.title.split(", ")[1]
    return PlannedSection(
        id=spec.id,
        n_cells=len(xy),
        extent=Bounds(left, top, right, bottom),
        title=spec.title,
        dataset=name.removesuffix(" (simulated)"),
        technology=name,
        axis=spec.axis,
        position=spec.position,
        animal=spec.animal,
        licence="none needed: simulated",
        citation=CITATION,
        simulated=True,
        notes=NOTES,
    )


def _provenance(cells: int, genes: int, seed: int) -> dict[str, object]:
    return {"made by": "demo", "simulated": True, "cells": cells, "genes": genes, "seed": seed}
