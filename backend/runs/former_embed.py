"""Embedding the cells of a file with a trained transformer."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from backend.core.errors import BadRequest
from backend.core.job import RunContext
from backend.intake.mapping import ReadMapping
from backend.intake.read import read_h5ad
from backend.models.spatialformer.transformer.keep import load_pretrained
from backend.models.spatialformer.transformer.score import embed_cells, read_cells
from backend.runs.former_corpus import source_of
from backend.runs.sections import checkpoint_name, use_one_thread
from backend.runs.tables import beside


def embed_file(
    path: Path, checkpoint: Path, out: Path, meta: Mapping[str, str], ctx: RunContext
) -> Mapping[str, Any]:
    """Embed the cells of all sections of a file, write them to ``out``, and return figures.

    Parameters
    ----------
    path : Path
        .h5ad with counts, with or without places; only read.
    checkpoint : Path
    out : Path
        .h5ad with ``obsm['X_spatialformer']``, the sections in ``obs['section']``, and figures as
        JSON in ``uns['spatialformer']``.
    meta : mapping
        What is known beyond the file: ``condition``, ``tissue``, ``species``, ``assay``.
    ctx : RunContext

    Returns
    -------
    mapping
        ``cells``, ``dimensions``, ``unknown_genes``, ``notes``, ``cells_per_second``.

    Raises
    ------
    BadFile, BadCheckpoint, NoSharedGenes, BadRequest
    """
    import anndata  # slow to import
    import pandas as pd

    if out.exists() and out.samefile(path):
        raise BadRequest("The result would overwrite the input.", "Choose another output file.")
    use_one_thread()
    pretrained = load_pretrained(checkpoint)
    parts, names, sections, places = [], [], [], []
    notes: list[str] = []
    unknown: set[str] = set()
    began = time.monotonic()
    for section in read_h5ad(path, ReadMapping(need_places=False)):
        source = source_of(section, meta)
        read = read_cells(pretrained, source.counts, source.genes, dict(source.meta))
        parts.append(embed_cells(pretrained, read, ctx))
        names += [str(n) for n in section.names]
        sections += [section.id] * section.n_cells
        places.append(section.xy)
        notes += [f"{section.title}: {note}" for note in read.notes]
        unknown.update(read.unknown)
    embedding = np.concatenate(parts)
    seconds = max(time.monotonic() - began, 1e-9)
    figures = {
        "checkpoint": checkpoint_name(checkpoint),
        "cells": len(embedding),
        "dimensions": embedding.shape[1],
        "unknown_genes": sorted(unknown),
        "notes": notes,
        "cells_per_second": round(len(embedding) / seconds, 1),
    }
    obs = pd.DataFrame({"section": pd.Categorical(sections)}, index=names)
    obsm = {"X_spatialformer": embedding, "spatial": np.concatenate(places).astype(np.float64)}
    data = anndata.AnnData(obs=obs, obsm=obsm, uns={"spatialformer": json.dumps(figures)})
    with beside(out) as draft:
        data.write_h5ad(draft, compression="gzip")
    return figures
