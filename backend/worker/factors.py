"""The verb that finds factors and gene programs of several sections of the atlas, or of uploads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backend.core.errors import BadRequest
from backend.core.job import RunContext
from backend.intake.mapping import safe_id
from backend.worker.asked import params_of, text_of
from backend.worker.work import Work

#: Cells of a job at most: more is for the command line.
MOST_CELLS = 600_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person chooses; see ``SectionsParams``."""

    factors: int = 0
    domains: int = 0
    hold: float = 5.0
    truth: str = ""
    checks: bool = True


def integrate_sections(work: Work) -> Mapping[str, Any]:
    """Find factors: a file to take away, programs as a table, and an atlas of the sections.

    ``atlas.zarr`` holds the sections in an order of its own: ``figures["order"]`` gives, for every
    section of the figures, its number k in ``query-<job>.<k>``.
    """
    # torch is loaded here, in the process of the job.
    from backend.models.inspire.tasks import SectionsParams
    from backend.runs.factors import all_genes, factor_sections
    from backend.runs.factors_atlas import write_factors_atlas
    from backend.runs.factors_stack import stack
    from backend.store.atlas import Atlas

    asked = params_of(Asked, work.job.params)
    params = SectionsParams(asked.factors, asked.domains, asked.hold, asked.truth, asked.checks)
    sections = _sections(work)
    cells = sum(s.n_cells for s in sections)
    if cells > MOST_CELLS:
        raise BadRequest(
            f"{cells:,} cells are too many for a job; {MOST_CELLS:,} are the most.",
            "Choose fewer sections, or use: python -m backend factors ATLAS.zarr -o OUT.h5ad",
        )
    context: RunContext = work.context.part(0.0, 0.9)
    result = factor_sections(
        sections,
        params,
        context,
        gene_sets=_gene_sets(work, text_of(work.job.params, "sets")),
        out_h5ad=work.folder / "factors.h5ad",
        out_csv=work.folder / "factors.csv",
    )
    work.context.step(0.93, "Writing the sections")
    write_factors_atlas(work.folder / "atlas.zarr", sections, result, all_genes(sections))
    stored = [info.id for info in Atlas.open(work.folder / "atlas.zarr").sections()]
    figures = {**result.figures, "order": [stored.index(s.id) for s in sections]}
    if all(s.has_places for s in sections):
        marks = [n for n in text_of(work.job.params, "landmarks").split(",") if n]
        figures["stack"] = stack(sections, result, marks, work.context.seed)
    (work.folder / "factors.json").write_text(json.dumps(figures, default=list))
    return {
        "section": f"query-{work.job.id}",
        "n_cells": cells,
        "n_sections": len(sections),
        "n_factors": len(figures["factors"]),
        "figures": figures,
    }


def _sections(work: Work) -> list[Any]:
    from backend.intake.read import read_h5ad
    from backend.runs.factors import sections_of_atlas

    if "uploads" not in work.job.inputs:
        named = work.sections()
        work.context.step(0.0, "Reading the sections")
        return sections_of_atlas(work.atlas, named)
    found = []
    for name, path in work.uploads():
        stem = Path(name).stem
        for i, section in enumerate(read_h5ad(path)):
            found.append(replace(section, id=safe_id(f"{stem}-{i}" if i else stem), title=stem))
    return found


def _gene_sets(work: Work, name: str) -> Mapping[str, list[str]] | None:
    """Return the gene sets of a file in the folder of tables that this server offers."""
    from backend.runs.factors import read_gene_sets

    if not name:
        return None
    folder = work.settings.pairs
    files = {p.name: p for p in sorted(folder.glob("*.gmt*"))} if folder else {}
    if name not in files:
        listed = ", ".join(files) or "none"
        raise BadRequest(f"There is no file of gene sets '{name[:60]}'.", f"There is {listed}.")
    return read_gene_sets(files[name])
