"""Pretraining: windows of cells, three losses, AdamW; stops and goes on exactly where it was."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from backend.core.errors import Diverged
from backend.core.job import RunContext
from backend.models.spatialformer.transformer.batches import Batch, draw_batch
from backend.models.spatialformer.transformer.corpus import Corpus
from backend.models.spatialformer.transformer.crossing import (
    as_first,
    as_second,
    before_softmax,
    cross,
    refuse_joint,
)
from backend.models.spatialformer.transformer.losses import (
    LEAST,
    Uncertainty,
    co_weight,
    focal_loss,
    masked_loss,
    pair_loss,
)
from backend.models.spatialformer.transformer.match import Match
from backend.models.spatialformer.transformer.network import Former, apart_together
from backend.models.spatialformer.transformer.size import Size
from backend.models.spatialformer.transformer.tokens import longest_for

#: Gradients are clipped to this length.
CLIP = 1.0
#: Betas as the paper gives them would be (0.9, 0.9); the code's are used.
BETAS = (0.9, 0.999)
#: How much of the last losses a shown figure keeps.
SMOOTH = 0.98


Begin = Literal["closed-form", "random"]


@dataclass(frozen=True, slots=True)
class TrainParams:
    """How to train.

    Parameters
    ----------
    steps : int
        Of the whole schedule.
    windows, cells, second : int
        Windows of a step, cells of a window, and how many of them stand second too where the head
        is on CLS; a match compares all of them.
    rate : float
        Highest learning rate, after ``warm`` steps; then a cosine down to a tenth.
    decay : float
        Weight decay of matrices; norms, biases and variances have none.
    every : int
        Steps between checkpoints.
    genes : int
        Highest ranks of a cell that are read while training, at most; fewer are faster.
    easy : float
        Share of the schedule over which hard negatives come to weigh half; before that the easy
        ones weigh more (0: half from the start, as published).
    head_rate : float
        Learning rate of the match of two cells, in terms of ``rate``.
    begin : str
        "closed-form": gene embeddings that part neighbours, see ``closed_form.py``; "random" as
        published.
    half : bool
        Whether matrix products are in bfloat16, as published; softmax, norms and losses never are.
    """

    steps: int = 4000
    windows: int = 2
    cells: int = 48
    second: int = 8
    rate: float = 1e-3
    warm: int = 150
    decay: float = 0.1
    every: int = 200
    genes: int = 32
    easy: float = 0.2
    head_rate: float = 3.0
    begin: Begin = "closed-form"
    half: bool = True


@dataclass(slots=True)
class Training:
    """A training that can be put aside: model, variances, optimiser, step, losses so far."""

    model: Former
    uncertainty: Uncertainty
    optimiser: torch.optim.AdamW
    step: int = 0
    seconds: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)


def start_training(size: Size, params: TrainParams, seed: int, device: str = "cpu") -> Training:
    """Return a training of a new model on a device."""
    model = Former(size, seed).to(device)
    expected = {"masked": math.log(size.tokens), "pair": math.log(2), "together": math.exp(LEAST)}
    uncertainty = Uncertainty(expected if params.begin == "closed-form" else None).to(device)
    return Training(model, uncertainty, _optimiser(model, uncertainty, params))


def _optimiser(model: Former, uncertainty: Uncertainty, params: TrainParams) -> torch.optim.AdamW:
    head = [] if model.match is None else list(model.match.parameters())
    body = [p for p in model.parameters() if all(p is not q for q in head)]
    matrices = [p for p in body if p.dim() > 1]
    others = [p for p in body if p.dim() <= 1] + list(uncertainty.parameters())
    groups = [
        {"params": matrices, "weight_decay": params.decay, "times": 1.0},
        {"params": others, "weight_decay": 0.0, "times": 1.0},
        {"params": head, "weight_decay": 0.0, "times": params.head_rate},
    ]
    return torch.optim.AdamW(groups, lr=params.rate, betas=BETAS)


def learning_rate(step: int, params: TrainParams) -> float:
    """Return the rate of a step: linear up, then a cosine down to a tenth."""
    if step < params.warm:
        return params.rate * (step + 1) / params.warm
    done = min((step - params.warm) / max(params.steps - params.warm, 1), 1.0)
    return params.rate * (0.55 + 0.45 * float(np.cos(np.pi * done)))


def hard_share(step: int, params: TrainParams) -> float:
    """Return the share of hard negatives of a step: from 0.1 to 0.5 over ``easy`` of the steps."""
    ramp = params.easy * params.steps
    return 0.5 if step >= ramp else 0.1 + 0.4 * step / ramp


def train(
    training: Training,
    corpus: Corpus,
    params: TrainParams,
    seed: int,
    ctx: RunContext,
    keep: Callable[[Training], None] | None = None,
) -> Training:
    """Train up to ``params.steps``; ``keep`` is called every ``params.every`` steps and at the end.

    Notes
    -----
    Batches and dropout of a step depend on the seed and the step alone, so that a training that was
    stopped goes on as if it had not been. Batches are drawn on the CPU whatever the device.

    Raises
    ------
    Diverged
        If a loss is not a number.
    """
    training.model.train()
    began = time.monotonic() - training.seconds
    while training.step < params.steps:
        ctx.step(training.step / params.steps, _said(training, params))
        one_step(training, corpus, params, seed)
        training.seconds = time.monotonic() - began
        if keep is not None and training.step % params.every == 0:
            keep(training)
    if keep is not None and training.step % params.every:
        keep(training)
    return training


def one_step(training: Training, corpus: Corpus, params: TrainParams, seed: int) -> None:
    """Draw a batch and take one step."""
    random = np.random.default_rng((seed, training.step))
    torch.manual_seed(int(random.integers(2**62)))
    second = 0 if training.model.match is not None else params.second
    shape = (params.windows, params.cells, second)
    hard = hard_share(training.step, params)
    longest = min(training.model.size.longest, longest_for(params.genes))
    device = training.model.kinds.device
    batch = draw_batch(corpus, shape, longest, random, hard).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=params.half):
        losses = batch_losses(training.model, batch)
    total = training.uncertainty(losses, co_weight(training.step, params.steps))
    if not bool(torch.isfinite(total)):
        raise Diverged("The training diverged.", "Use a lower rate.")
    for group in training.optimiser.param_groups:
        group["lr"] = learning_rate(training.step, params) * group["times"]
    training.optimiser.zero_grad(set_to_none=True)
    total.backward()
    torch.nn.utils.clip_grad_norm_(training.model.parameters(), CLIP)
    training.optimiser.step()
    training.step += 1
    _remember(training.losses, losses)


def batch_losses(model: Former, batch: Batch) -> dict[str, Tensor]:
    """Return the losses of one forward of hidden tokens; a task without targets is absent.

    Raises
    ------
    BadCheckpoint
        If the head is on CLS and the cells of a pair meet before the last block.
    """
    alone, _ = model.biases(batch.first[1])
    x = model.before(*batch.first, (alone, alone))
    h = model.last.attention(x, alone)
    found = {
        "masked": masked_loss(model.masked(h[batch.told]).float(), batch.truth[batch.told]),
        "pair": _match_loss(model.match, batch, x)
        if model.match is not None
        else _cls_loss(model, batch, x),
        "together": _co_loss(model, batch, h),
    }
    return {name: loss for name, loss in found.items() if loss is not None}


def _match_loss(match: Match, batch: Batch, x: Tensor) -> Tensor | None:
    """Return the loss of all pairs of all cells of each window."""
    pooled = match.pool(x, batch.first[1])
    scores = [match(pooled[own, None], pooled[None, own]) for own, _ in batch.windows]
    logits = torch.cat([apart_together(s).reshape(-1, 2) for s in scores])
    return pair_loss(logits.float(), _flat(batch.all_near), _flat(batch.all_weight))


def _cls_loss(model: Former, batch: Batch, x: Tensor) -> Tensor | None:
    """Return the loss of all cells of each window as first ones, with its second ones."""
    refuse_joint(model)
    second = as_second(model, before_softmax(model, *batch.second), batch.second[1])
    first = as_first(model, x, batch.first[1])
    logits = torch.cat(
        [cross(model, first.rows(a), second.rows(b)).reshape(-1, 2) for a, b in batch.windows]
    )
    return pair_loss(logits.float(), _flat(batch.near), _flat(batch.weight))


def _flat(windows: Sequence[Tensor]) -> Tensor:
    return torch.cat([w.reshape(-1) for w in windows])


def _co_loss(model: Former, batch: Batch, h: Tensor) -> Tensor | None:
    if not len(batch.seen):
        return None
    scores = model.together(h[batch.seen])
    return focal_loss(scores.float(), batch.together, batch.block)


def _remember(kept: dict[str, float], losses: Mapping[str, Tensor]) -> None:
    for name, loss in losses.items():
        now = float(loss.detach())
        kept[name] = now if name not in kept else SMOOTH * kept[name] + (1 - SMOOTH) * now


def _said(training: Training, params: TrainParams) -> str:
    figures = ", ".join(f"{name} {loss:.3f}" for name, loss in training.losses.items())
    return f"Step {training.step:,} of {params.steps:,}. {figures}"
