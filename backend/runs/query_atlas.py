"""A mapped query as an atlas of its own: same format, same latent space, same categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import Label, Provenance, SectionData, TaskResult, units_of
from backend.core.job import RunContext
from backend.core.layers import LIKELIEST, likely_layers
from backend.core.trust import FEW_BRIDGE_GENES, FEW_BRIDGES
from backend.models.fusemap.model import Model
from backend.models.fusemap.tasks import embed
from backend.runs.embed import gene_rows, quantised
from backend.runs.levels import LabelTable, label_tables
from backend.store.atlas import Atlas
from backend.store.result import write_result
from backend.store.write import AtlasWriter, plan_of

#: Prefix of a label that the query brought along under the name of a predicted one.
GIVEN = "given_"
#: One standard deviation of the embedding on the plane of a section without coordinates.
SIDE = 300.0


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
    annotated = [_annotated(laid_out(section, result), result) for section in sections]
    plan = [
        plan_of(s, parent=_parent(result, s.id), notes=_notes(given, atlas))
        for s, given in zip(annotated, sections, strict=True)
    ]
    writer = AtlasWriter(
        path,
        sections[0].title,
        atlas.simulated,
        (genes, [ensembl.get(g.upper(), "") for g in genes]),
        plan,
        _record(result),
    )
    for section in annotated:
        writer.add(section)
    writer.finish()
    ctx.step(0.6, "Writing the embedding of the query")
    _write_embedding(path, model, result, checkpoint, ctx)
    return path


def laid_out(section: SectionData, result: TaskResult) -> SectionData:
    """Return the section with a place for every cell, by its embedding where it has none."""
    if section.has_places:
        return section
    z = next(
        m.values for m in result.matrices if m.section == section.id and m.name == "embedding:cell"
    )
    centred = np.asarray(z - z.mean(axis=0), dtype=np.float64)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    plane = centred @ vectors[:, ::-1][:, :2]
    plane = np.pad(plane, ((0, 0), (0, 2 - plane.shape[1])))
    spread = max(float(plane.std()), 1e-9)
    xy = np.ascontiguousarray(SIDE * plane / spread, dtype=np.float32)
    return replace(section, xy=xy, xy_unit="px")


def _notes(section: SectionData, atlas: Atlas) -> tuple[str, ...]:
    """Say what a person should know of the section."""
    mapped = f"Mapped into {atlas.name}."
    if section.has_places:
        return (mapped,)
    return mapped, "It has no coordinates: cells are laid out by their embedding, not by tissue."


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
    for table in label_tables(result, section.id):
        if table.label in labels:
            numbers |= _likeliest(table, labels[table.label])
    units = units_of(columns)
    return replace(section, labels={**labels, **given}, numbers=numbers, number_units=units)


def _likeliest(table: LabelTable, label: Label) -> dict[Any, NDArray[np.float32]]:
    """Return hidden layers of the likeliest classes, the best first."""
    place = {c.name: i for i, c in enumerate(label.categories)}
    names = np.column_stack([table.best, table.runner_ups])
    chances = np.column_stack([table.probability, table.runner_up_probability])
    out: dict[Any, NDArray[np.float32]] = {}
    for rank in range(min(LIKELIEST, names.shape[1])):
        code, chance = likely_layers(table.label, rank)
        out[code] = np.array([place[n] for n in names[:, rank]], dtype=np.float32)
        out[chance] = chances[:, rank].astype(np.float32)
    return out


def _record(result: TaskResult) -> dict[str, Any]:
    """Return the provenance with the held-out test of every label."""
    assert result.provenance is not None
    made = asdict(result.provenance)
    tests = {
        section: {
            label: {
                **{name: about[name] for name in ("taxonomy", "method", "why", "compared")},
                **_small(about["held_out"]),
            }
            for label, about in figures["labels"].items()
            if "held_out" in about
        }
        for section, figures in result.figures.items()
    }
    return {**made, "parameters": {**made["parameters"], "held_out": tests}}


def _small(held_out: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in held_out.items() if k not in ("table", "nll_before", "nll_after")}


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
        TaskResult(provenance=_flagged(result, query)),
        embeddings=rows,
        genes=_gene_table(model, query.genes.symbol, result),
        checkpoint=checkpoint,
        embedded=tuple(parts),
    )


def _flagged(result: TaskResult, query: Atlas) -> Provenance:
    """Return the provenance with the data sets that share few genes with the checkpoint."""
    assert result.provenance is not None
    used = {
        info.dataset or info.id: int(result.figures[info.id]["genes"]["used"])
        for info in query.sections()
    }
    few = {name: n for name, n in used.items() if n < FEW_BRIDGES}
    parameters = {**result.provenance.parameters, FEW_BRIDGE_GENES: few}
    return replace(result.provenance, parameters=parameters)


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
