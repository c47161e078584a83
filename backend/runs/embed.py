"""Embed the cells of an atlas, so that every gene can be shown in every embedded section."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import Provenance, TaskResult
from backend.core.errors import NoSharedGenes, TooFewCells
from backend.core.job import RunContext
from backend.models.common.checkpoint import load_checkpoint
from backend.models.fusemap.card import CARD
from backend.models.fusemap.model import Model, from_checkpoint
from backend.models.fusemap.tasks import embed
from backend.runs.sections import checkpoint_name, use_one_thread
from backend.store.atlas import Atlas
from backend.store.result import write_result

#: Values beyond this share of all are clipped to the ends of int8.
INT8_QUANTILE = 0.9995
#: Values per dimension that the quantile is taken of, at most.
_SAMPLE = 500_000


def embed_atlas(
    atlas_path: Path | str, checkpoint: Path | str, ctx: RunContext | None = None
) -> dict[str, Any]:
    """Write cell and niche embeddings and the imputation table into an atlas.

    Parameters
    ----------
    atlas_path : Path
    checkpoint : Path
        Folder of a FuseMap checkpoint.
    ctx : RunContext, optional

    Returns
    -------
    dict
        ``embedded`` and ``passed_over`` (section ids; those without expression or with too few
        known genes), ``dimensions``, ``genes`` (how many the checkpoint knows), ``version``.

    Raises
    ------
    BadStore, BadCheckpoint, NoSharedGenes (if no section can be embedded), Cancelled
    """
    ctx = ctx or RunContext()
    use_one_thread()
    atlas = Atlas.open(atlas_path)
    model = from_checkpoint(load_checkpoint(Path(checkpoint), CARD.name))
    parts, passed_over = _embed_sections(atlas, model, ctx.part(0, 0.8))
    if not parts:
        raise NoSharedGenes(
            f"No section of '{atlas.name}' shares enough genes with the checkpoint.",
            "Train on this atlas: python -m backend train fusemap ATLAS.zarr -o CHECKPOINT",
        )
    embeddings = {
        name: _joined(atlas, {s: pair[i] for s, pair in parts.items()})
        for i, name in enumerate(("cell", "niche"))
    }
    ctx.step(0.85, "Writing the embedding")
    provenance = Provenance(
        CARD.name,
        CARD.version,
        {"checkpoint": checkpoint_name(Path(checkpoint))},
        int(model.about["seed"]),
        tuple(parts),
    )
    written = write_result(
        atlas_path,
        TaskResult(provenance=provenance),
        embeddings=embeddings,
        genes=gene_rows(model, atlas.genes.symbol),
        checkpoint=checkpoint_name(Path(checkpoint)),
        embedded=tuple(parts),
    )
    ctx.report(1.0, "Embedded")
    return {
        "embedded": list(parts),
        "passed_over": passed_over,
        "dimensions": model.gene_embedding.shape[1],
        "genes": len(model.genes),
        "version": written.version,
    }


def quantised(
    parts: Mapping[str, NDArray[np.float32]],
) -> tuple[dict[str, NDArray[np.int8]], NDArray[np.float32]]:
    """Return the same as int8, with one scale per dimension (d,): value = int8 * scale."""
    together = np.concatenate(list(parts.values()))
    step = max(1, len(together) // _SAMPLE)
    ends = np.quantile(np.abs(together[::step]), INT8_QUANTILE, axis=0)
    scale = (np.maximum(ends, 1e-6) / 127).astype(np.float32)
    return {s: _int8(z, scale) for s, z in parts.items()}, scale


def _int8(z: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.int8]:
    """Round to steps of ``scale``."""
    return np.asarray(np.clip(np.rint(z / scale), -127, 127), dtype=np.int8)


def _embed_sections(
    atlas: Atlas, model: Model, ctx: RunContext
) -> tuple[dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]], list[str]]:
    """Return z and z_niche of the sections that can be embedded, and the ids of the others."""
    parts, passed_over = {}, []
    infos = atlas.sections()
    for i, info in enumerate(infos):
        ctx.step(i / len(infos), f"Embedding {info.title}")
        if not info.n_genes:
            passed_over.append(info.id)
            continue
        try:
            found = embed(atlas.load(info.id), model, ctx)
        except (NoSharedGenes, TooFewCells):
            passed_over.append(info.id)
            continue
        parts[info.id] = (found.z, found.z_niche)
    return parts, passed_over


def _joined(
    atlas: Atlas, parts: Mapping[str, NDArray[np.float32]]
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return (N, d) int8 of all cells of the atlas, zero where not embedded, and the scale."""
    small, scale = quantised(parts)
    rows = np.zeros((atlas.n_cells, len(scale)), dtype=np.int8)
    for section, values in small.items():
        rows[atlas.section(section).rows] = values
    return rows, scale


def gene_rows(
    model: Model, symbols: tuple[str, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return embedding, offset and trust of genes in the order of ``symbols``.

    Genes that the checkpoint does not know get a zero embedding and nan for offset and trust.
    """
    place = {gene.upper(): i for i, gene in enumerate(model.genes)}
    rows = np.array([place.get(s.upper(), -1) for s in symbols], dtype=np.int64)
    known = rows >= 0
    embedding = np.where(known[:, None], model.gene_embedding[rows], 0).astype(np.float32)
    offset = np.where(known, model.gene_offset[rows], np.nan).astype(np.float32)
    trust = np.where(known[:, None], model.gene_trust[rows], np.nan).astype(np.float32)
    return embedding, offset, trust
