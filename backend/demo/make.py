"""Making the demo atlas: simulated sections, a few at a time, into a store."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, as_completed
from contextlib import contextmanager
from pathlib import Path

from backend.core.data import Provenance
from backend.core.errors import Cancelled
from backend.core.geometry import Bounds
from backend.core.job import RunContext
from backend.demo.factors import NOTE, WIDTH, Factors, embed, factors_of
from backend.demo.genes import GeneModel, gene_model
from backend.demo.processes import processes
from backend.demo.section import SectionSpec, layout, section_data, truth
from backend.demo.sections import plan_sections
from backend.demo.technologies import limited, technologies
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
#: Bytes of a stored value, and values above zero for each count of a typical cell.
_VALUE_BYTES, _VALUES_PER_COUNT = 1.5, 0.6


def make_demo(
    out: Path,
    *,
    sections: int = 20,
    cells: int = 200_000,
    genes: int = 3000,
    seed: int = 0,
    embedded: bool = False,
    dims: int = WIDTH,
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
    workers = min(MOST_PROCESSES, os.cpu_count() or 1) if cells >= MANY_CELLS else 1
    with processes(workers) as pool:
        planned = _plan(specs, pool, ctx.part(0.0, 0.15))
        factors = factors_of(model, dims) if embedded else None
        about = {"made by": "demo", "simulated": True, "cells": cells, "genes": genes, "seed": seed}
        writer = _writer(Path(out), planned, specs, model, about, factors, workers)
        with _discarding(writer):
            _write(writer, specs, model, factors, pool, ctx.part(0.15, 1.0))
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
def _discarding(writer: AtlasWriter) -> Iterator[None]:
    """Leave nothing behind where the run is cancelled."""
    try:
        yield
    except Cancelled:
        shutil.rmtree(writer.staging, ignore_errors=True)
        raise


def _plan(
    specs: Sequence[SectionSpec], pool: Executor | None, ctx: RunContext
) -> list[PlannedSection]:
    """Return what the store must know of sections beforehand; their cells are placed for that."""
    found = map(_planned, specs) if pool is None else pool.map(_planned, specs, chunksize=4)
    planned = []
    for place, spec in enumerate(specs):
        ctx.step(place / len(specs), f"Placing cells of {spec.title}")
        planned.append(next(found))
    return planned


def _write(
    writer: AtlasWriter,
    specs: Sequence[SectionSpec],
    model: GeneModel,
    factors: Factors | None,
    pool: Executor | None,
    ctx: RunContext,
) -> None:
    """Write the sections that are pending, then finish."""
    pending = set(writer.pending)
    total = sum(spec.n_cells for spec in specs)
    done = sum(spec.n_cells for spec in specs if spec.id not in pending)
    left = [spec for spec in specs if spec.id in pending]
    if pool is None:
        for spec in left:
            part = ctx.part(0.95 * done / total, 0.95 * (done + spec.n_cells) / total)
            _add(writer, spec, model, factors, part)
            done += spec.n_cells
            ctx.step(0.95 * done / total, f"Wrote {spec.title}")
    else:
        # The largest first, so that all processes end at about the same time.
        left.sort(key=lambda spec: -spec.n_cells)
        running = {pool.submit(_add, writer, spec, model, factors): spec for spec in left}
        for future in as_completed(running):
            future.result()
            done += running[future].n_cells
            ctx.step(0.95 * done / total, f"Wrote {running[future].title}")
    ctx.step(0.95, "Building the overview")
    writer.finish()


def _add(
    writer: AtlasWriter,
    spec: SectionSpec,
    model: GeneModel,
    factors: Factors | None,
    ctx: RunContext | None = None,
) -> None:
    """Simulate a section and write it."""
    part = ctx or RunContext()
    known = truth(spec)
    most = None if factors is None else OPEN_GENES
    data = section_data(
        spec,
        model,
        lambda f: part.step(f, f"Simulating {spec.title}"),
        known=known,
        most_genes=most,
        clusters=factors is not None,
    )
    writer.add(data, None if factors is None else (embed(factors, known.cells), None))


def _expression_bytes(spec: SectionSpec, genes: int, most: int | None) -> int:
    """Return about how many bytes the counts of a section take in the store."""
    technology = limited(technologies()[spec.technology], genes, most)
    panel = technology.panel * genes / 3000 if technology.is_open else technology.panel
    values = min(_VALUES_PER_COUNT * technology.median, 0.9 * min(panel, genes))
    return int(_VALUE_BYTES * values * spec.n_cells)


def _planned(spec: SectionSpec) -> PlannedSection:
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
