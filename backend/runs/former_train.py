"""Training the transformer: from a corpus file to a checkpoint, and on again after a stop."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from backend.core.errors import BadCheckpoint, StoreExists
from backend.core.job import RunContext
from backend.models.common.device import device_of
from backend.models.spatialformer.transformer.closed_form import begin_closed_form
from backend.models.spatialformer.transformer.corpus import Corpus, make_corpus
from backend.models.spatialformer.transformer.keep import (
    MODEL,
    VERSION,
    Pretrained,
    resume_training,
    save_pretrained,
    save_training,
)
from backend.models.spatialformer.transformer.prior import gene_graph, learn_prior, put_prior
from backend.models.spatialformer.transformer.size import small
from backend.models.spatialformer.transformer.sketch import sketch
from backend.models.spatialformer.transformer.train import (
    Training,
    TrainParams,
    start_training,
    train,
)
from backend.runs.former_corpus import Gathered, prior_fields, read_corpus
from backend.runs.sections import use_one_thread

#: Where a training is kept until it is done, beside the checkpoint.
UNFINISHED = ".training"


def train_former(
    listing: Path,
    folder: Path,
    out: Path,
    params: TrainParams,
    ctx: RunContext,
    resume: bool = False,
) -> Mapping[str, Any]:
    """Train the small transformer, write its checkpoint, and return its card.

    Parameters
    ----------
    listing, folder : Path
        Corpus file, and where its paths begin.
    out : Path
        Checkpoint; ``OUT.training`` holds the state, and is removed at the end. A checkpoint of
        the state so far is written at every pause too.
    params : TrainParams
    ctx : RunContext
    resume : bool
        Go on where the last run stopped.

    Raises
    ------
    StoreExists, BadFile, BadCheckpoint, BadRequest, TooFewCells, Diverged, Cancelled
    """
    use_one_thread()
    device = device_of(ctx.device)
    state = out.parent / (out.name + UNFINISHED)
    _refuse(out, state, resume)
    gathered = read_corpus(listing, folder, state / "kept", ctx.part(0.0, 0.02), ctx.seed)
    corpus = make_corpus(gathered.sources)
    training = start_training(small(len(corpus.vocabulary)), params, ctx.seed, device)
    about = _about(training, corpus, gathered, params, ctx.seed)
    if resume and (state / "state").exists():
        resume_training(state / "state", training, about)
        prior = float(training.losses.pop("prior", 0.0))
    else:
        prior = _learn_prior(training, corpus, gathered, ctx)
        if params.begin == "closed-form":
            ctx.step(0.025, "Gene embeddings in closed form")
            begin_closed_form(training.model, corpus, ctx.seed)

    def keep(now: Training) -> None:
        with_prior = replace(now, losses={**now.losses, "prior": prior})
        save_training(state / "state", with_prior, about)
        save_pretrained(out, _pretrained(now, corpus, about, prior), replace=True)

    train(training, corpus, params, ctx.seed, ctx.part(0.03, 1.0), keep)
    card = _pretrained(training, corpus, about, prior).card
    shutil.rmtree(state)
    return card


def _refuse(out: Path, state: Path, resume: bool) -> None:
    if resume and not (state / "state").exists():
        raise BadCheckpoint(
            f"There is no unfinished training beside {out.name}.", "Start one without --resume."
        )
    if not resume and (out.exists() or (state / "state").exists()):
        raise StoreExists(f"'{out}' exists already.", "Choose another name, or use --resume.")


def _about(
    training: Training, corpus: Corpus, gathered: Gathered, params: TrainParams, seed: int
) -> dict[str, Any]:
    """Return the part of the card that does not change while training."""
    return {
        "model": MODEL,
        "version": VERSION,
        "seed": seed,
        "genes": list(corpus.vocabulary.genes),
        "meta": list(corpus.vocabulary.meta),
        "size": training.model.size.as_json(),
        "parameters": asdict(params),
        "data": [
            {"name": lesson.name, "cells": lesson.cells.n_cells,
             "cells_with_transcripts": int(lesson.seen.sum()),
             "sketch": sketch(lesson.cells)}
            for lesson in corpus.lessons
        ],
        "licences": sorted({str(e.get("licence", "not stated")) for e in gathered.entries}),
        "held_out": [f"{e['name']}: only {', '.join(map(str, e['only']))}"
                     if "only" in e else f"{e['name']}: the other half"
                     for e in gathered.entries if "only" in e or "half" in e],
        "notes": list(gathered.notes),
        "metrics": {},
    }  # fmt: skip


def _pretrained(
    training: Training, corpus: Corpus, about: Mapping[str, Any], prior: float
) -> Pretrained:
    metrics = {
        "steps": training.step,
        "planned_steps": about["parameters"]["steps"],
        "seconds": round(training.seconds, 1),
        "cells_seen": training.step * about["parameters"]["windows"] * about["parameters"]["cells"],
        "loss": {k: round(v, 4) for k, v in training.losses.items()},
        "gene_prior_edges_told_right": round(prior, 3),
    }
    return Pretrained(
        training.model, corpus.vocabulary, corpus.medians, {**about, "metrics": metrics}
    )


def _learn_prior(training: Training, corpus: Corpus, gathered: Gathered, ctx: RunContext) -> float:
    """Learn the gene prior from transcripts and put it into the model; 0 where there are none."""
    table = training.model.prior
    if table is None or not gathered.fields:
        return 0.0
    ctx.step(0.02, "Learning the gene prior from transcripts")
    names = sorted({g.upper() for f in gathered.fields for g in f.genes})
    place = {g: i for i, g in enumerate(names)}
    graphs = [gene_graph(xyz, gene, ctx.seed) for xyz, gene in prior_fields(gathered.fields, place)]
    width = training.model.size.width
    vectors, known, right = learn_prior(graphs, len(names), width, ctx.seed)
    ids = corpus.vocabulary.gene_ids(names)
    put_prior(table.weight, vectors, known, np.asarray(ids))
    return right
