"""Annotate a user's file with an atlas: a copy with columns, a table, and a section to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.intake.mapping import ReadMapping
from backend.intake.read import SECTION_COLUMNS, read_h5ad
from backend.intake.source import opened
from backend.models.common.checkpoint import load_checkpoint
from backend.models.fusemap.card import CARD
from backend.models.fusemap.checks import refuse_species, refuse_stranger
from backend.models.fusemap.model import from_checkpoint
from backend.models.fusemap.switch import References
from backend.models.fusemap.tasks import AnnotateParams, annotate
from backend.runs.mapmycells import write_json
from backend.runs.query_atlas import write_query_atlas
from backend.runs.sections import checkpoint_name, use_one_thread, with_atlas_symbols
from backend.runs.tables import write_csv, write_h5ad_copy
from backend.store.atlas import Atlas


def annotate_file(
    atlas_path: Path | str,
    query_path: Path | str,
    checkpoint: Path | str,
    out_h5ad: Path | str | None = None,
    out_csv: Path | str | None = None,
    out_atlas: Path | str | None = None,
    ctx: RunContext | None = None,
    *,
    params: AnnotateParams | None = None,
    mapping: ReadMapping | None = None,
    section_id: str | None = None,
    out_json: Path | str | None = None,
) -> dict[str, Any]:
    """Annotate an .h5ad file and write what was asked for.

    Parameters
    ----------
    atlas_path, query_path, checkpoint : Path
        The query is only read.
    out_h5ad : Path or None
        A copy of the query with obs ``<label>_fusemap`` and the same with ``_confidence``,
        ``_aggregate_probability``, ``_runner_up``, ``_runner_up_probability``, ``_novelty`` and
        ``_abstained``; obsm ``X_fusemap``, ``X_fusemap_niche``; uns ``fusemap`` (JSON).
    out_csv : Path or None
        A table with the columns of MapMyCells.
    out_json : Path or None
        The JSON of MapMyCells: results, config, log, marker_genes, taxonomy_tree.
    out_atlas : Path or None
        The query as an atlas of the same format; must not exist.
    ctx : RunContext, optional
    params : AnnotateParams, optional
    mapping : ReadMapping, optional
        How to read the query; guessed where None.
    section_id : str or None
        Id of the query in its atlas; several sections get it as a prefix.

    Returns
    -------
    dict
        JSON values: ``sections`` (ids), ``cells``, and ``figures`` per section id.

    Raises
    ------
    BadFile, BadRequest (another species), TooFewCells, NoSharedGenes, BadCheckpoint, BadStore,
    StoreExists, Cancelled
    """
    ctx = ctx or RunContext()
    use_one_thread()
    ctx.step(0.0, "Reading the section")
    atlas = Atlas.open(atlas_path)
    model = from_checkpoint(load_checkpoint(Path(checkpoint), CARD.name))
    sections, rows = _read(Path(query_path), mapping)
    infos = atlas.sections()
    trained_on = [s.id for s in model.sections]
    refuse_stranger(trained_on, model.genes, [s.id for s in infos], atlas.genes.symbol)
    for section in sections:
        refuse_species(section, {s.species for s in infos})
    sections = _renamed([with_atlas_symbols(s, atlas.genes) for s in sections], section_id)
    asked = params or AnnotateParams()
    result = annotate(sections, asked, model, ctx.part(0.1, 0.6), labelled_sections(atlas))
    if out_atlas is not None:
        name = checkpoint_name(Path(checkpoint))
        part = ctx.part(0.6, 0.85)
        write_query_atlas(Path(out_atlas), sections, result, model, atlas, name, part)
    if out_csv is not None:
        ctx.step(0.85, "Writing the table")
        write_csv(Path(out_csv), sections, result)
    if out_json is not None:
        ctx.step(0.87, "Writing the JSON file")
        write_json(Path(out_json), sections, result, model)
    if out_h5ad is not None:
        ctx.step(0.9, "Writing the copy of the file")
        write_h5ad_copy(Path(query_path), Path(out_h5ad), sections, rows, result)
    ctx.report(1.0, "Annotated")
    return {
        "sections": [s.id for s in sections],
        "cells": sum(s.n_cells for s in sections),
        "figures": dict(result.figures),
    }


def labelled_sections(atlas: Atlas) -> References:
    """Return what loads the sections of an atlas that have expression, each at most once."""
    load = cache(atlas.load)
    known = {s.id for s in atlas.sections()}
    return lambda ids: [load(i) for i in ids if i in known]


def _read(
    path: Path, mapping: ReadMapping | None
) -> tuple[list[SectionData], list[NDArray[np.int64]]]:
    """Return the sections of a file and the rows of the file that each holds."""
    wanted = mapping or ReadMapping(need_places=False)
    sections = read_h5ad(path, wanted)
    with opened(path, wanted) as source:
        obs = source.obs
    column = wanted.section or next((c for c in SECTION_COLUMNS if c in obs), None)
    if column is None:
        return sections, [np.arange(len(obs))]
    values = obs[column].astype(str).to_numpy()
    names = sorted(set(values.tolist()) - wanted.skip)
    return sections, [np.flatnonzero(values == name) for name in names]


def _renamed(sections: Sequence[SectionData], section_id: str | None) -> list[SectionData]:
    """Return the sections under the id that they were given."""
    if section_id is None:
        return list(sections)
    if len(sections) == 1:
        return [replace(sections[0], id=section_id)]
    return [replace(s, id=f"{section_id}-{s.id}") for s in sections]
