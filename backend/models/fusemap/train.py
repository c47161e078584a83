"""Train on the sections of an atlas: the common space, trust in its genes, and its labels."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from backend.core.data import SectionData
from backend.core.errors import TooFewCells
from backend.core.job import RunContext
from backend.models.common.checkpoint import Checkpoint
from backend.models.common.prep import Prepared, gene_index, mean_level, prepare, union_of_genes
from backend.models.fusemap.bridges import HIDING_FOLDS, baseline_r, choose_k, hide_and_score
from backend.models.fusemap.factors import FactorFit, FactorState
from backend.models.fusemap.labels import LabelSettings, common_categories, train_labels
from backend.models.fusemap.model import Model, SectionRecord, to_checkpoint
from backend.models.fusemap.nearest import learn_niches
from backend.models.fusemap.space import (
    LEAST_SHARED_GENES,
    Mapped,
    Reference,
    Space,
    fit_space,
    make_references,
    map_cells,
)

#: A section with fewer cells has no statistics worth training on.
LEAST_TRAINING_CELLS = 50
STATE, STATE_CARD = "state.safetensors", "state.json"


@dataclass(frozen=True, slots=True)
class TrainParams:
    """How to train.

    Parameters
    ----------
    k : int or None
        Factors; the number that imputes hidden bridge genes best where None.
    iterations : int
        Of EM.
    error : float
        Share of wrong labels to allow among cells that are not called unassigned.
    cells_per_section : int
        Cells that the fit sees of one section, drawn by the seed; all are embedded.
    label_cells : int
        Labelled cells that one classifier sees.
    parts : bool
        Whether every data set of a shared taxonomy also gets a classifier of its own.
    save_every : int
        Iterations between two saved states.
    trust : bool
        Whether to test imputation on hidden genes.
    trust_folds : int
        Fifths of the bridge genes that are hidden in turn, 1 to 5; genes of the others get a
        predicted figure only.
    """

    k: int | None = None
    iterations: int = 100
    error: float = 0.1
    cells_per_section: int = 50_000
    label_cells: int = 6_000
    parts: bool = True
    save_every: int = 20
    trust: bool = True
    trust_folds: int = HIDING_FOLDS

    @classmethod
    def quick(cls) -> TrainParams:
        """Return parameters for a first start: less of everything, for a demo in seconds."""
        return cls(
            k=10,
            iterations=60,
            cells_per_section=4_000,
            label_cells=2_500,
            parts=False,
            trust_folds=1,
        )


def _is_enough(section: SectionData) -> bool:
    """Whether a section has cells and detected genes enough to learn from."""
    if section.n_cells < LEAST_TRAINING_CELLS:
        return False
    return int((section.counts.getnnz(axis=0) > 0).sum()) >= LEAST_SHARED_GENES


def train(
    sections: Sequence[SectionData],
    params: TrainParams,
    ctx: RunContext,
    folder: Path | None = None,
    licences: Mapping[str, str] | None = None,
) -> Checkpoint:
    """Return a checkpoint trained on ``sections``.

    Parameters
    ----------
    sections : sequence of SectionData
        Those with too few cells or detected genes are passed over.
    params : TrainParams
    ctx : RunContext
    folder : Path or None
        Where to keep the state of an unfinished fit; a fit of the same data and parameters goes on
        from it and ends in the same result.
    licences : mapping of section id to str or None

    Raises
    ------
    TooFewCells
        If no section has expression of enough cells.
    """
    used = [s for s in sections if _is_enough(s)]
    if not used:
        raise TooFewCells(
            "No section has expression of enough cells to train on.",
            f"Sections need {LEAST_SHARED_GENES} genes and {LEAST_TRAINING_CELLS} cells.",
        )
    genes = union_of_genes(used)
    references = _references(used, genes, params, ctx.part(0, 0.2))
    k, tried = _number_of_factors(references, genes, params, ctx)
    space = _fit_common(references, genes, k, params, ctx.part(0.4, 0.55), folder)
    mapped = [map_cells(space, r.prepared, r.graph, space.noise[r.id]) for r in references]
    centres, profiles = learn_niches([m.niche for m in mapped], ctx.seed)
    categories, codes = common_categories(used)
    settings = LabelSettings(params.label_cells, params.error, params.iterations, params.parts)
    spaces, heads = train_labels(used, references, codes, len(genes), settings, ctx.part(0.55, 0.8))
    embedding, offset = gene_table(references, space)
    trust, bridges = _trust(references, space, mapped, k, params, ctx.part(0.8, 1.0))
    records = tuple(
        SectionRecord(
            s.id, s.dataset or s.id, s.unit, s.n_cells, r.prepared.genes, r.prepared.mean,
            r.prepared.sd, mean_level(r.prepared), p,
        )
        for s, r, p in zip(used, references, profiles, strict=True)
    )  # fmt: skip
    about = _about(used, params, ctx.seed, k, tried, bridges, licences or {})
    model = Model(
        genes, (space, *spaces), records, centres, embedding, offset, trust, categories,
        tuple(heads), about,
    )  # fmt: skip
    return to_checkpoint(model)


def _references(
    sections: Sequence[SectionData], genes: tuple[str, ...], params: TrainParams, ctx: RunContext
) -> list[Reference]:
    """Sections prepared for the fits, their moments from a sample where they are large."""
    index = gene_index(genes)
    rng = np.random.default_rng(ctx.seed)
    prepared: list[Prepared] = []
    samples: list[NDArray[np.int64] | None] = []
    for i, s in enumerate(sections):
        ctx.step(0.7 * i / len(sections), f"Reading {s.title}")
        prepared.append(prepare(s, index))
        few = s.n_cells <= params.cells_per_section
        drawn = None if few else np.sort(rng.permutation(s.n_cells)[: params.cells_per_section])
        samples.append(drawn)
    ctx.step(0.7, "Comparing genes")
    names = [(s.id, s.dataset or s.id) for s in sections]
    places = [s.xy for s in sections]
    return make_references(names, prepared, places, len(genes), ctx.device, samples)


def _number_of_factors(
    references: Sequence[Reference], genes: tuple[str, ...], params: TrainParams, ctx: RunContext
) -> tuple[int, dict[str, float]]:
    """Take the number that was asked for, or choose it on hidden genes."""
    if params.k is not None:
        return params.k, {}
    return choose_k(references, len(genes), ctx.seed, ctx.part(0.2, 0.4))


def _fit_common(
    references: Sequence[Reference],
    genes: tuple[str, ...],
    k: int,
    params: TrainParams,
    ctx: RunContext,
    folder: Path | None,
) -> Space:
    """Fit the common space, going on from a saved state where there is one."""
    if folder is None:
        return fit_space(references, len(genes), FactorFit(k, params.iterations), ctx)
    mark = _fingerprint(references, genes, k, params)
    settings = FactorFit(
        k,
        params.iterations,
        save_every=params.save_every,
        save=lambda state: _save_state(folder, mark, state),
    )
    state = _load_state(folder, mark, len(references))
    space = fit_space(references, len(genes), settings, ctx, state)
    shutil.rmtree(folder, ignore_errors=True)
    return space


def _fingerprint(
    references: Sequence[Reference], genes: tuple[str, ...], k: int, params: TrainParams
) -> str:
    """Digest all that a fit depends on."""
    digest = hashlib.sha256(json.dumps([genes, k, params.cells_per_section]).encode())
    for r in references:
        digest.update(f"{r.id} {r.dataset} {r.prepared.n_cells} {r.moments.n_cells}".encode())
        digest.update(r.prepared.mean.tobytes() + r.prepared.sd.tobytes())
    return digest.hexdigest()


def _save_state(folder: Path, mark: str, state: FactorState) -> None:
    """Write a state; its card last, so that a torn state is not taken for a whole one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STATE_CARD).unlink(missing_ok=True)
    noise = {f"noise/{i}": n for i, n in enumerate(state.noise)}
    save_file({"embedding": state.embedding.contiguous(), **noise}, folder / STATE)
    (folder / STATE_CARD).write_text(json.dumps({"mark": mark, "iteration": state.iteration}))


def _load_state(folder: Path, mark: str, n_sections: int) -> FactorState | None:
    """Return the saved state of the same fit, or None."""
    try:
        card = json.loads((folder / STATE_CARD).read_text())
        tensors = load_file(folder / STATE)
    except (OSError, ValueError, SafetensorError):
        return None
    if card.get("mark") != mark:
        return None
    noise = tuple(tensors[f"noise/{i}"] for i in range(n_sections))
    return FactorState(tensors["embedding"], noise, card["iteration"])


def gene_table(
    references: Sequence[Reference], space: Space
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the imputation table: embedding (g, k) and offset (g,), float32.

    Notes
    -----
    imputed = max(0, offset + z . embedding) on the log1p-normalised scale. Mean and standard
    deviation of a gene are pooled over the sections that measure it, every data set with the same
    weight.
    """
    n_genes, k = space.embedding.shape
    mean, sd, weight = np.zeros(n_genes), np.zeros(n_genes), np.zeros(n_genes)
    names = [r.dataset for r in references]
    for r in references:
        share = 1.0 / names.count(r.dataset)
        mean[r.prepared.genes] += share * r.prepared.mean
        sd[r.prepared.genes] += share * r.prepared.sd
        weight[r.prepared.genes] += share
    safe = np.where(weight > 0, weight, 1.0)
    scale = (sd / safe)[:, None]
    return (scale * space.embedding).astype(np.float32), (mean / safe).astype(np.float32)


def _trust(
    references: Sequence[Reference],
    space: Space,
    mapped: Sequence[Mapped],
    k: int,
    params: TrainParams,
    ctx: RunContext,
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Held-out r, baseline r and predicted r of every gene (g, 3), and means in words."""
    n_genes = len(space.embedding)
    trust = np.full((n_genes, 3), np.nan, dtype=np.float32)
    if not params.trust or len(references) < 2:
        return trust, {}
    folds = range(params.trust_folds)
    hidden = hide_and_score(references, n_genes, k, folds, ctx.seed, ctx.part(0, 0.5))
    if not len(hidden.r):
        return trust, {}
    base = baseline_r(references, n_genes, folds, ctx.seed, ctx.part(0.5, 1))
    trust[:, 0] = _mean_by_gene(hidden.gene, hidden.r, n_genes)
    own = base[hidden.section, hidden.gene]
    tested = ~np.isnan(own)
    trust[:, 1] = _mean_by_gene(hidden.gene[tested], own[tested], n_genes)
    slope = float(
        (hidden.r @ hidden.score_sd) / max(float(hidden.score_sd @ hidden.score_sd), 1e-12)
    )
    trust[:, 2] = np.clip(slope * _score_sd(references, space, mapped), 0, 1)
    return trust, {
        "held_out_gene_r": float(hidden.r.mean()),
        "baseline_gene_r": float(own[tested].mean()) if tested.any() else None,
        "held_out_genes": len(np.unique(hidden.gene)),
        "held_out_pairs": len(hidden.r),
        "baseline": "kNN-50 in 20 components of shared genes",
        "slope": slope,
    }


def _mean_by_gene(
    genes: NDArray[np.int64], values: NDArray[np.float64], n_genes: int
) -> NDArray[np.float64]:
    """Mean value per gene, nan where there is none."""
    count = np.bincount(genes, minlength=n_genes)
    total = np.bincount(genes, weights=values, minlength=n_genes)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _score_sd(
    references: Sequence[Reference], space: Space, mapped: Sequence[Mapped]
) -> NDArray[np.float64]:
    """Spread of every gene's score, mean over the sections that lack it."""
    n_genes = len(space.embedding)
    total, count, everywhere = np.zeros(n_genes), np.zeros(n_genes), np.zeros(n_genes)
    for r, m in zip(references, mapped, strict=True):
        second = m.z.T @ m.z / len(m.z)
        sd = np.sqrt(np.maximum(((space.embedding @ second) * space.embedding).sum(axis=1), 0))
        lacking = np.ones(n_genes, dtype=bool)
        lacking[r.prepared.genes] = False
        total += np.where(lacking, sd, 0)
        count += lacking
        everywhere += sd / len(references)
    return np.where(count > 0, total / np.maximum(count, 1), everywhere)


def _about(
    sections: Sequence[SectionData],
    params: TrainParams,
    seed: int,
    k: int,
    tried: Mapping[str, float],
    bridges: Mapping[str, Any],
    licences: Mapping[str, str],
) -> dict[str, Any]:
    """Write down what the card says of the training."""
    return {
        "seed": seed,
        "params": {**asdict(params), "k": k},
        "data": [
            {"section": s.id, "dataset": s.dataset, "cells": s.n_cells, "genes": len(s.genes)}
            for s in sections
        ],
        "licences": {s.id: licences.get(s.id, "") for s in sections},
        "metrics": {"bridge_r_by_k": dict(tried), **bridges},
        "torch": str(torch.__version__),
    }
