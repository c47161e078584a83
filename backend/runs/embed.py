"""Embed the cells of an atlas, so that every gene can be shown in every embedded section."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import Column, Provenance, SectionInfo, TaskResult
from backend.core.errors import NoSharedGenes, TooFewCells
from backend.core.job import RunContext
from backend.core.trust import CERTAINTY, FEW_BRIDGE_GENES, few_bridges
from backend.models.common.checkpoint import load_checkpoint
from backend.models.fusemap.card import CARD
from backend.models.fusemap.model import Model, from_checkpoint
from backend.models.fusemap.tasks import embed
from backend.runs.sections import checkpoint_name, use_one_thread
from backend.runs.spool import Spool
from backend.store import room
from backend.store.atlas import Atlas
from backend.store.place import local
from backend.store.result import write_result

#: Values beyond this share of all are clipped to the ends of int8.
INT8_QUANTILE = 0.9995
#: The two embeddings, and bytes of a value before it is rounded.
NAMES, _FLOAT = ("cell", "niche"), 4
#: Name of certainties while a run is under way, and what they are.
_CERTAINTY, UNIT = "certainty", "share, 1 = most certain"
#: Values per dimension that the quantile is taken of, at most.
_SAMPLE = 500_000


def embed_atlas(
    atlas_path: Path | str, checkpoint: Path | str, ctx: RunContext | None = None
) -> dict[str, Any]:
    """Write cell and niche embeddings and the imputation table into an atlas.

    One section lies in memory at a time; what is embedded is kept beside the atlas until all is
    written, 10 bytes per cell and dimension, so that a run that was killed goes on.

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
    BadStore, BadCheckpoint, NoSharedGenes (if no section can be embedded), TooLarge, Cancelled
    """
    ctx = ctx or RunContext()
    use_one_thread()
    folder = local(atlas_path, "Embedding")
    atlas = Atlas.open(folder)
    model = from_checkpoint(load_checkpoint(Path(checkpoint), CARD.name))
    spool = _spool(atlas, folder, Path(checkpoint), model)
    done, passed_over = _embed_sections(atlas, model, spool, ctx.part(0, 0.8))
    if not done:
        spool.remove()
        raise NoSharedGenes(
            f"No section of '{atlas.name}' shares enough genes with the checkpoint.",
            "Train on this atlas: python -m backend train fusemap ATLAS.zarr -o CHECKPOINT",
        )
    ctx.step(0.8, "Rounding the embedding to whole steps")
    embeddings = {name: _joined(atlas, spool, done, name) for name in NAMES}
    ctx.step(0.85, "Writing the embedding")
    provenance = Provenance(
        CARD.name,
        CARD.version,
        _parameters(model, Path(checkpoint)),
        int(model.about["seed"]),
        tuple(done),
    )
    written = write_result(
        folder,
        TaskResult(_certainty(spool, done), provenance=provenance),
        embeddings=embeddings,
        genes=gene_rows(model, atlas.genes.symbol),
        checkpoint=checkpoint_name(Path(checkpoint)),
        embedded=tuple(done),
    )
    spool.remove()
    ctx.report(1.0, "Embedded")
    return {
        "embedded": done,
        "passed_over": passed_over,
        "dimensions": model.gene_embedding.shape[1],
        "genes": len(model.genes),
        "version": written.version,
    }


def quantised(
    parts: Mapping[str, NDArray[np.float32]],
) -> tuple[dict[str, NDArray[np.int8]], NDArray[np.float32]]:
    """Return the same as int8, with one scale per dimension (d,): value = int8 * scale."""
    scale = scale_of(list(parts.values()))
    return {s: _int8(z, scale) for s, z in parts.items()}, scale


def scale_of(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the step of each dimension (d,), from every n-th row of all parts together."""
    total = sum(len(part) for part in parts)
    step, at, chosen = max(1, total // _SAMPLE), 0, []
    for part in parts:
        chosen.append(np.abs(part[-at % step :: step]))
        at += len(part)
    ends = np.quantile(np.concatenate(chosen), INT8_QUANTILE, axis=0)
    return np.asarray(np.maximum(ends, 1e-6) / 127, dtype=np.float32)


def _int8(z: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.int8]:
    """Round to steps of ``scale``."""
    return np.asarray(np.clip(np.rint(z / scale), -127, 127), dtype=np.int8)


def _spool(atlas: Atlas, folder: Path, checkpoint: Path, model: Model) -> Spool:
    """Return the folder of embedded sections, refused where the disk cannot hold them."""
    per_cell = model.gene_embedding.shape[1] * len(NAMES) * (_FLOAT + 1)
    room.check_disk(folder, per_cell * atlas.n_cells)
    card = hashlib.sha256((checkpoint / "card.json").read_bytes()).hexdigest()
    return Spool(folder.with_name(folder.name + ".embedding"), f"{atlas.edition} {card}")


def _embed_sections(
    atlas: Atlas, model: Model, spool: Spool, ctx: RunContext
) -> tuple[list[str], list[str]]:
    """Embed sections into the spool; return the ids of those, and of the others."""
    done, passed_over = [], []
    infos = atlas.sections()
    for i, info in enumerate(infos):
        ctx.step(i / len(infos), f"Embedding {info.title}")
        if not spool.has(info.id, NAMES[-1]) and not _embed_one(atlas, info, model, spool, ctx):
            passed_over.append(info.id)
        else:
            done.append(info.id)
    return done, passed_over


def _embed_one(
    atlas: Atlas, info: SectionInfo, model: Model, spool: Spool, ctx: RunContext
) -> bool:
    """Embed a section; return False where it cannot be."""
    if not info.n_genes:
        return False
    try:
        found = embed(atlas.load(info.id), model, ctx)
    except (NoSharedGenes, TooFewCells):
        return False
    if found.certainty is not None:
        spool.put(info.id, _CERTAINTY, found.certainty)
    for name, z in zip(NAMES, (found.z, found.z_niche), strict=True):
        spool.put(info.id, name, z)
    return True


def _certainty(spool: Spool, sections: Sequence[str]) -> tuple[Column, ...]:
    """Return how certain imputed values of each cell are, as a layer of the sections."""
    return tuple(
        Column(section, CERTAINTY, np.array(spool.get(section, _CERTAINTY)), (), UNIT)
        for section in sections
        if spool.has(section, _CERTAINTY)
    )


def _parameters(model: Model, checkpoint: Path) -> dict[str, Any]:
    """Return what the record says of the checkpoint: its name, flagged data sets, intervals."""
    return {
        "checkpoint": checkpoint_name(checkpoint),
        FEW_BRIDGE_GENES: few_bridges(model.about),
        **_interval(model),
    }


def _interval(model: Model) -> dict[str, Any]:
    """Return half widths of intervals by certainty, from the least certain cells on."""
    if model.cells is None:
        return {}
    coverage = model.cells.coverage
    return {
        "half_widths": [float(w) for w in model.cells.widths[::-1]],
        "coverage": None if np.isnan(coverage) else round(coverage, 3),
    }


def _joined(
    atlas: Atlas, spool: Spool, sections: Sequence[str], name: str
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return (N, d) int8 of all cells, zero where not embedded, mapped from disk; and the scale."""
    scale = scale_of([spool.get(section, name) for section in sections])
    rows = spool.rows(name, atlas.n_cells, len(scale))
    for section in sections:
        rows[atlas.section(section).rows] = _int8(spool.get(section, name), scale)
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
