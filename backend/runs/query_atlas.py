"""A mapped query as an atlas of its own: same format, same latent space, same categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import Label, SectionData, TaskResult
from backend.core.job import RunContext
from backend.models.fusemap.model import Model
from backend.models.fusemap.tasks import embed
from backend.runs.embed import gene_rows, quantised
from backend.store.atlas import Atlas
from backend.store.result import write_result
from backend.store.write import AtlasWriter, plan_of

#: Prefix of a label that the query brought along under the name of a predicted one.
GIVEN = "given_"


def write_query_atlas(
    path: Path,
    sections: Sequence[SectionData],
    result: TaskResult,
    model: Model,
    atlas: Atlas,
    checkpoint: str,
    ctx: RunContext,
) -> Path:
    """Write the annotated ``sections`` as an atlas.

    Parameters
    ----------
    path : Path
        Must not exist.
    sections : sequence of SectionData
    result : TaskResult
        Of ``annotate``; columns become labels and confidence layers, unknown genes join the table.
    model : Model
    atlas : Atlas
        The one that the query was mapped into; its Ensembl ids are taken over.
    checkpoint : str
    ctx : RunContext

    Notes
    -----
    Each section's ``parent`` is the id of the most similar atlas section.
    """
    ctx.step(0.1, "Writing the query as an atlas")
    genes = _genes(model, sections)
    ensembl = dict(zip(map(str.upper, atlas.genes.symbol), atlas.genes.ensembl, strict=False))
    annotated = [_annotated(section, result) for section in sections]
    plan = [
        plan_of(s, parent=_parent(result, s.id), notes=(f"Mapped into {atlas.name}.",))
        for s in annotated
    ]
    assert result.provenance is not None
    writer = AtlasWriter(
        path,
        sections[0].title,
        atlas.simulated,
        (genes, [ensembl.get(g.upper(), "") for g in genes]),
        plan,
        asdict(result.provenance),
    )
    for section in annotated:
        writer.add(section)
    writer.finish()
    ctx.step(0.6, "Writing the embedding of the query")
    _write_embedding(path, model, result, checkpoint, ctx)
    return path


def _genes(model: Model, sections: Sequence[SectionData]) -> tuple[str, ...]:
    """Return all genes of the checkpoint, then those that only the query has."""
    known = {g.upper() for g in model.genes}
    new = {g.upper(): g for s in sections for g in s.genes if g.upper() not in known}
    return (*model.genes, *new.values())


def _parent(result: TaskResult, section: str) -> str:
    """Return the most similar atlas section."""
    ranked = result.figures[section]["nearest"]
    return str(ranked[0]["section"]) if ranked else ""


def _annotated(section: SectionData, result: TaskResult) -> SectionData:
    """Return the section with predicted labels and confidence; its own labels are kept beside."""
    columns = [c for c in result.columns if c.section == section.id]
    labels = {c.layer.name: Label(c.values, c.categories) for c in columns if c.categories}
    given = {
        (f"{GIVEN}{name}" if name in labels else name): label
        for name, label in section.labels.items()
    }
    numbers: dict[Any, NDArray[np.float32]] = dict(section.numbers)
    numbers |= {c.layer: c.values for c in columns if not c.categories}
    return replace(section, labels={**labels, **given}, numbers=numbers)


def _write_embedding(
    path: Path, model: Model, result: TaskResult, checkpoint: str, ctx: RunContext
) -> None:
    """Embed the stored sections, whose cells are in storage order, and write the gene table."""
    query = Atlas.open(path)
    parts = {info.id: embed(query.load(info.id), model, ctx) for info in query.sections()}
    rows = {}
    for name, of_cells in (
        ("cell", {s: p.z for s, p in parts.items()}),
        ("niche", {s: p.z_niche for s, p in parts.items()}),
    ):
        small, scale = quantised(of_cells)
        rows[name] = (np.concatenate([small[i.id] for i in query.sections()]), scale)
    write_result(
        path,
        TaskResult(provenance=result.provenance),
        embeddings=rows,
        genes=_gene_table(model, query.genes.symbol, result),
        checkpoint=checkpoint,
        embedded=tuple(parts),
    )


def _gene_table(
    model: Model, symbols: tuple[str, ...], result: TaskResult
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return the checkpoint's gene table, with genes of the query that it does not know."""
    embedding, offset, trust = gene_rows(model, symbols)
    place = {s.upper(): i for i, s in enumerate(symbols)}
    for m in result.matrices:
        if m.name == "gene:new":
            for gene, column in zip(m.columns, m.values.T, strict=True):
                row = place[gene.upper()]
                embedding[row], offset[row] = column[:-1], column[-1]
    return embedding, offset, trust
