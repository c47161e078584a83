"""Making the demo atlas: simulated sections, a few at a time, into a store."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from backend.core.data import Provenance
from backend.core.errors import Cancelled
from backend.core.geometry import Bounds
from backend.core.job import RunContext
from backend.demo.factors import NOTE, WIDTH, Factors, embed, factors_of
from backend.demo.genes import GeneModel, gene_model
from backend.demo.kept import kept_layout
from backend.demo.processes import processes
from backend.demo.section import SectionSpec, section_data, truth
from backend.demo.sections import plan_sections
from backend.demo.technologies import limited, technologies
from backend.store.parallel import run_tasks
from backend.store.root import PARTIAL
from backend.store.write import AtlasWriter, PlannedSection

NAME = "Simulated mouse brain"
NOTES = (
    "Simulated: positions, counts and labels were made by the demo's own plan of a mouse-like "
    "brain. Nothing was measured; do not quote any value.",
)
CITATION = "Simulated by Molecular Atlas Explorer"
#: Cells from which sections are made side by side; below, starting processes takes longer.
MANY_CELLS = 400_000
#: Processes, and genes of an open panel, of an atlas with its own embedding: such atlases are
#: large, and a spot sums two dozen cells for each gene.
MOST_PROCESSES, OPEN_GENES = 4, 2000
#: Ending of the folder where large demos keep the layouts of their sections, 38 bytes per cell.
LAYOUTS = ".layouts"
#: Bytes of a stored value, and values above zero for each count of a typical cell.
_VALUE_BYTES, _VALUES_PER_COUNT = 1.5, 0.6

#: Runs a function over tasks; see ``backend.store.parallel``.
Run = Callable[..., None]


def make_demo(
    out: Path,
    *,
    sections: int = 20,
    cells: int = 200_000,
    genes: int = 3000,
    seed: int = 0,
    embedded: bool = False,
    dims: int = WIDTH,
    scheduler: str | None = None,
    ctx: RunContext | None = None,
) -> None:
    """Write the simulated atlas, whole or not at all.

    Of each process one section is in memory at a time, and of it about 4 million (cell, gene)
    entries besides the counts that are not zero. A run that was killed goes on where it stopped
    when it is repeated.

    Parameters
    ----------
    embedded : bool
        Write the simulation's own factors as embeddings of cells and genes, so that every gene
        can be imputed at once, and a label of a few hundred clusters; whole-transcriptome panels
        are then cut to ``OPEN_GENES``.
    dims : int
        Dimensions of these embeddings.
    scheduler : str, optional
        Address of a Dask scheduler whose workers share the folder of ``out``; processes of this
        machine where None. The bytes are the same.

    Raises
    ------
    StoreExists
        If ``out`` exists.
    BadRequest
        If the numbers make no atlas.
    TooLarge
        If there is not enough disk or memory.
    Cancelled
        If the run was stopped; nothing is left behind.
    """
    ctx = ctx or RunContext(seed=seed)
    model = gene_model(genes, seed)
    ctx.step(0.0, "Placing cells")
    specs = plan_sections(sections, cells, seed)
    out, many = Path(out), cells >= MANY_CELLS
    workers = min(MOST_PROCESSES, os.cpu_count() or 1) if many and scheduler is None else 1
    folder = out.with_name(out.name + LAYOUTS) if many or scheduler is not None else None
    staging = out.with_name(out.name + PARTIAL)
    with _tidy(folder, staging), processes(workers) as pool:
        run = partial(run_tasks, pool=pool, scheduler=scheduler)
        planned = _plan(specs, folder, run, ctx.part(0.0, 0.15))
        factors = factors_of(model, dims) if embedded else None
        about = {"made by": "demo", "simulated": True, "cells": cells, "genes": genes, "seed": seed}
        writer = _writer(out, planned, specs, model, about, factors, workers)
        _write(writer, specs, model, factors, folder, run, ctx.part(0.15, 1.0))
    ctx.step(1.0, "The demo atlas is ready")


def _writer(
    out: Path,
    planned: Sequence[PlannedSection],
    specs: Sequence[SectionSpec],
    model: GeneModel,
    about: dict[str, object],
    factors: Factors | None,
    workers: int,
) -> AtlasWriter:
    symbols = (model.symbols, [""] * len(model.symbols))
    most = None if factors is None else OPEN_GENES
    size = sum(_expression_bytes(spec, len(model.symbols), most) for spec in specs)
    if factors is None:
        return AtlasWriter(
            out, NAME, True, symbols, planned, about, expression_bytes=size, at_once=workers
        )
    note = {"note": NOTE, "dimensions": len(factors.scale), "genes of open panels": most}
    trust = [[float("nan")] * 3] * len(model.symbols)
    return AtlasWriter(
        out,
        NAME,
        True,
        symbols,
        planned,
        about | {"embeddings": NOTE},
        scale={"cell": factors.scale},
        gene_embedding=(factors.genes, factors.offset, trust),
        checkpoint=NOTE,
        embedded_by=Provenance(NOTE, "1", note, int(str(about["seed"])), (NAME,)),
        expression_bytes=size,
        at_once=workers,
    )


@contextmanager
def _tidy(folder: Path | None, staging: Path) -> Iterator[None]:
    """Remove the kept layouts at the end; leave nothing at all where the run is cancelled."""
    try:
        yield
    except Cancelled:
        shutil.rmtree(staging, ignore_errors=True)
        _remove(folder)
        raise
    _remove(folder)


def _remove(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _plan(
    specs: Sequence[SectionSpec], folder: Path | None, run: Run, ctx: RunContext
) -> list[PlannedSection]:
    """Return what the store must know of sections beforehand; their cells are placed for that."""
    planned: dict[int, PlannedSection] = {}

    def done(place: int, found: PlannedSection) -> None:
        planned[place] = found
        ctx.step(len(planned) / len(specs), f"Placed the cells of {specs[place].title}")

    run(plan_one, [(spec, folder) for spec in specs], done)
    return [planned[place] for place in range(len(specs))]


def _write(
    writer: AtlasWriter,
    specs: Sequence[SectionSpec],
    model: GeneModel,
    factors: Factors | None,
    folder: Path | None,
    run: Run,
    ctx: RunContext,
) -> None:
    """Write the sections that are pending, then finish."""
    pending = set(writer.pending)
    total = sum(spec.n_cells for spec in specs)
    written = sum(spec.n_cells for spec in specs if spec.id not in pending)
    # The largest first, so that all processes end at about the same time.
    left = sorted((s for s in specs if s.id in pending), key=lambda spec: -spec.n_cells)

    def done(place: int, _: None) -> None:
        nonlocal written
        written += left[place].n_cells
        ctx.step(0.95 * written / total, f"Wrote {left[place].title}")

    run(write_one, [(writer, spec, model, factors, folder) for spec in left], done)
    ctx.step(0.95, "Building the overview")
    writer.finish()


def write_one(
    writer: AtlasWriter,
    spec: SectionSpec,
    model: GeneModel,
    factors: Factors | None,
    folder: Path | None,
) -> None:
    """Simulate a section and write it."""
    known = truth(spec, kept_layout(spec, folder))
    most = None if factors is None else OPEN_GENES
    data = section_data(spec, model, known=known, most_genes=most, clusters=factors is not None)
    writer.add(data, None if factors is None else (embed(factors, known.cells), None))


def _expression_bytes(spec: SectionSpec, genes: int, most: int | None) -> int:
    """Return about how many bytes the counts of a section take in the store."""
    technology = limited(technologies()[spec.technology], genes, most)
    panel = technology.panel * genes / 3000 if technology.is_open else technology.panel
    values = min(_VALUES_PER_COUNT * technology.median, 0.9 * min(panel, genes))
    return int(_VALUE_BYTES * values * spec.n_cells)


def plan_one(spec: SectionSpec, folder: Path | None) -> PlannedSection:
    """Place the cells of a section; return what the store must know of it."""
    xy = kept_layout(spec, folder).xy
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
