"""Train on the sections of an atlas: the common space, trust in its genes, and its labels."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from scipy.sparse import csr_matrix

from backend.core.data import SectionData
from backend.core.errors import TooFewCells
from backend.core.job import RunContext
from backend.core.trust import FEW_BRIDGES
from backend.models.common.checkpoint import Checkpoint
from backend.models.common.factors import FactorFit, FactorState
from backend.models.common.graphs import delaunay_graph
from backend.models.common.prep import Prepared, gene_index, mean_level, prepare, union_of_genes
from backend.models.fusemap.average import average
from backend.models.fusemap.bridges import HIDING_FOLDS, bridge_counts
from backend.models.fusemap.choose import Choice, choose
from backend.models.fusemap.fits import HiddenFits
from backend.models.fusemap.genes import gene_table, levels_of, with_predictions
from backend.models.fusemap.inputs import Scale, on_scale
from backend.models.fusemap.labels import LabelSettings, common_categories, train_labels
from backend.models.fusemap.model import Model, SectionRecord, to_checkpoint
from backend.models.fusemap.nearest import learn_niches
from backend.models.fusemap.references import Reference, parallel, with_graphs
from backend.models.fusemap.refining import with_mixture, with_refiner
from backend.models.fusemap.smoothing import Reach, places_of, reach_by_genes, reach_by_regions
from backend.models.fusemap.space import (
    LEAST_SHARED_GENES,
    ROUNDS,
    Space,
    fit_space,
    map_cells,
)
from backend.models.fusemap.trial import Sample, draw_samples
from backend.models.fusemap.trust import Trust, earn_trust, untested

#: A section with fewer cells has no statistics worth training on.
LEAST_TRAINING_CELLS = 50
STATE, STATE_CARD = "state.safetensors", "state.json"


@dataclass(frozen=True, slots=True)
class TrainParams:
    """How to train.

    Parameters
    ----------
    k : int or None
        Factors of a single fit; where None several fits are averaged, as many as impute hidden
        bridge genes best.
    scale : {"log1p", "sharp"} or None
        How expression enters; chosen on hidden genes where None.
    refine : bool or None
        Whether to train the masked-gene refinement; where None, if it wins on hidden genes.
    pull : float or None
        How far cells are drawn towards the classes that they form, 0..1; as far as imputes hidden
        genes best where None and ``refine`` is None too.
    iterations : int
        Of EM.
    batch : int
        Cells of a section wider than 1,200 genes that an iteration sees, drawn anew each time
        (online EM); all where 0.
    error : float
        Share of wrong labels to allow among cells that are not called unassigned.
    cells_per_section : int
        Cells that the fit sees of one section, drawn by the seed; all are embedded.
    label_cells : int
        Labelled cells that one classifier sees.
    parts : bool
        Whether every data set of a shared taxonomy also gets a classifier of its own.
    left_out : int
        Classes that are left out of each classifier in turn, at most, to learn which signs tell
        new ones; none are where 0.
    rounds : int or None
        Rounds of neighbours of a niche; chosen on held-out regions or hidden genes where None.
    save_every : int
        Iterations between two saved states.
    trust : bool
        Whether to test imputation on hidden genes.
    trust_folds : int
        Fifths of the bridge genes that are hidden in turn, 1 to 5; genes of the others get a
        predicted figure only.
    """

    k: int | None = None
    scale: Scale | None = None
    refine: bool | None = None
    pull: float | None = None
    iterations: int = 100
    error: float = 0.1
    batch: int = 0
    cells_per_section: int = 1_000_000
    label_cells: int = 6_000
    parts: bool = True
    left_out: int = 5
    rounds: int | None = None
    save_every: int = 20
    trust: bool = True
    trust_folds: int = HIDING_FOLDS

    @classmethod
    def quick(cls) -> TrainParams:
        """Return parameters for a first start: less of everything, for a demo in seconds."""
        return cls(
            k=10,
            scale="log1p",
            refine=False,
            iterations=60,
            cells_per_section=4_000,
            label_cells=2_500,
            parts=False,
            left_out=0,
            rounds=ROUNDS,
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
    plain, graphs = _prepared(used, genes, ctx.part(0, 0.1))
    names = [(s.id, s.dataset or s.id) for s in used]
    samples = draw_samples(names, plain, graphs, ctx.seed)
    choice, fits = _choice(samples, len(genes), params, ctx.part(0.1, 0.3))
    rows = _rows(used, params, ctx.seed)
    prepared = [on_scale(p, choice.scale) for p in plain]
    references = with_graphs(names, prepared, graphs, len(genes), ctx.device, rows)
    space = _fit_common(references, genes, choice, params, ctx.part(0.3, 0.5), folder)
    categories, codes = common_categories(used)
    reach = _reach(used, references, space, codes, (fits, choice), params, ctx.part(0.5, 0.52))
    space = replace(space, rounds=reach.rounds)
    mapped = [map_cells(space, r.prepared, r.graph, space.noise[r.id]) for r in references]
    centres, profiles = learn_niches([m.niche for m in mapped], ctx.seed)
    trust = untested(len(genes))
    if params.trust:
        part = ctx.part(0.52, 0.75)
        trust = earn_trust(fits, choice, params.trust_folds, part)
    levels = levels_of(plain, [r.dataset for r in references], len(genes))
    trust = with_predictions(trust, references, space, mapped, levels)
    embedding, offset = gene_table(space, levels)
    records = tuple(
        SectionRecord(
            s.id, s.dataset or s.id, s.unit, s.n_cells, r.prepared.genes, r.prepared.mean,
            r.prepared.sd, mean_level(p), profile,
        )
        for s, r, p, profile in zip(used, references, plain, profiles, strict=True)
    )  # fmt: skip
    settings = LabelSettings(
        params.label_cells, params.error, params.iterations, params.parts, params.left_out
    )
    spaces, heads = train_labels(
        used, references, (space, mapped), codes, settings, ctx.part(0.75, 1)
    )
    about = _about(used, params, ctx.seed, choice, trust, reach, licences or {})
    model = Model(
        genes, (space, *spaces), records, centres, embedding, offset, trust.genes, categories,
        tuple(heads), about, choice.scale, trust.slopes, trust.slope, trust.cells,
    )  # fmt: skip
    return to_checkpoint(model)


def _prepared(
    sections: Sequence[SectionData], genes: tuple[str, ...], ctx: RunContext
) -> tuple[list[Prepared], list[csr_matrix]]:
    """Sections on the log1p scale, and the neighbours of their cells."""
    index = gene_index(genes)
    prepared: list[Prepared] = []
    for i, s in enumerate(sections):
        ctx.step(i / len(sections), f"Reading {s.title}")
        prepared.append(prepare(s, index))
    return prepared, parallel(delaunay_graph, [s.xy for s in sections])


def _rows(
    sections: Sequence[SectionData], params: TrainParams, seed: int
) -> list[NDArray[np.int64] | None]:
    """Cells that the fit sees of every section; None for all."""
    rng = np.random.default_rng(seed)
    most = params.cells_per_section
    return [
        None if s.n_cells <= most else np.sort(rng.permutation(s.n_cells)[:most]) for s in sections
    ]


def _choice(
    samples: Sequence[Sample], n_genes: int, params: TrainParams, ctx: RunContext
) -> tuple[Choice, HiddenFits]:
    """How to fit, as asked for or chosen on hidden genes."""
    factors = None if params.k is None else (params.k,)
    return choose(samples, n_genes, ctx, factors, params.scale, params.refine, params.pull)


def _reach(
    sections: Sequence[SectionData],
    references: Sequence[Reference],
    space: Space,
    codes: Mapping[str, Mapping[str, NDArray[np.int16]]],
    tried: tuple[HiddenFits, Choice],
    params: TrainParams,
    ctx: RunContext,
) -> Reach:
    """How far niches reach, as asked for or chosen."""
    if params.rounds is not None:
        return Reach(params.rounds, "the parameters")
    ctx.step(0.0, "Choosing how far niches reach")
    plain = replace(space, mixture=None)
    z = [map_cells(plain, r.prepared, r.graph, plain.noise[r.id]).z for r in references]
    places = places_of(sections, z, [r.graph for r in references], codes)
    return reach_by_regions(places) if places else reach_by_genes(*tried, ctx)


def _fit_common(
    references: Sequence[Reference],
    genes: tuple[str, ...],
    choice: Choice,
    params: TrainParams,
    ctx: RunContext,
    folder: Path | None,
) -> Space:
    """Fit the common space, going on from saved states where there are some."""
    steps = len(choice.factors) + choice.refine
    spaces = []
    for i, k in enumerate(choice.factors):
        part = ctx.part(i / steps, (i + 1) / steps)
        own = None if folder is None else folder / f"k{k}"
        spaces.append(_fit_one(references, genes, k, params, part, own))
    space = average(spaces, references)
    if choice.refine:
        space = with_refiner(space, references, ctx.part(1 - 1 / steps, 1))
    if choice.pull:
        space = with_mixture(space, references, choice.pull, ctx.seed)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    return space


def _fit_one(
    references: Sequence[Reference],
    genes: tuple[str, ...],
    k: int,
    params: TrainParams,
    ctx: RunContext,
    folder: Path | None,
) -> Space:
    """One fit; a saved state of the same fit is gone on from."""
    if folder is None:
        settings = FactorFit(k, params.iterations, batch=params.batch, seed=ctx.seed)
        return fit_space(references, len(genes), settings, ctx)
    mark = _fingerprint(references, genes, k, params)
    settings = FactorFit(
        k,
        params.iterations,
        save_every=params.save_every,
        batch=params.batch,
        seed=ctx.seed,
        save=lambda state: _save_state(folder, mark, state),
    )
    state = _load_state(folder, mark, len(references))
    return fit_space(references, len(genes), settings, ctx, state)


def _fingerprint(
    references: Sequence[Reference], genes: tuple[str, ...], k: int, params: TrainParams
) -> str:
    """Digest all that a fit depends on."""
    digest = hashlib.sha256(json.dumps([genes, k, params.cells_per_section, params.batch]).encode())
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


def _about(
    sections: Sequence[SectionData],
    params: TrainParams,
    seed: int,
    choice: Choice,
    trust: Trust,
    reach: Reach,
    licences: Mapping[str, str],
) -> dict[str, Any]:
    """Write down what the card says of the training."""
    bridges = bridge_counts(sections)
    return {
        "seed": seed,
        "params": {
            **asdict(params),
            "scale": choice.scale,
            "factors": list(choice.factors),
            "refine": choice.refine,
            "pull": choice.pull,
        },
        "data": [
            {"section": s.id, "dataset": s.dataset, "cells": s.n_cells, "genes": len(s.genes)}
            for s in sections
        ],
        "species": sorted({s.species for s in sections if s.species}),
        "licences": {s.id: licences.get(s.id, "") for s in sections},
        "metrics": {"bridge_r": choice.tried, "niche": asdict(reach), **trust.figures},
        "bridge_genes": bridges,
        "few_bridge_genes": [name for name, n in bridges.items() if n < FEW_BRIDGES],
        "torch": str(torch.__version__),
    }
