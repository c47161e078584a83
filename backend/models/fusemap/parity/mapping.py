"""Map a query section onto trained ones, as published: a new encoder, the known genes frozen.

He et al. 2024, Methods, "Transfer learning", as the published results were made:

- the query's encoder is trained from scratch; genes that the training knows keep their embedding,
  others get one;
- a discriminator of the query starts from the hidden layers of the trained one and goes on
  learning; a frozen copy of the trained one supplies the logits of the reference sections; the
  softmax is over both;
- every step also draws embeddings of cells (4 x fraction of the batch) and niches (fraction) of
  each reference section, so few that a small reference hardly pulls the query;
- losses, noise and lambda as in training, epochs 1 to 15, no balance weights.

Deviations
----------
- ``gate`` is the authors' later entropy gate, absent from the paper and off by default: cells that
  the discriminators are sure of are pulled less.
- The authors save the gene embedding after mapping with the names of known and new genes swapped.
  That is not reproduced: ``Mapped.genes`` names the rows of ``Mapped.gene_embedding``.
- Mapping runs in one process; its state is not kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backend.core.errors import Diverged, NoSharedGenes
from backend.core.job import RunContext
from backend.models.fusemap.parity.batches import batches, n_batches
from backend.models.fusemap.parity.judge import Judge, gated, judge_of
from backend.models.fusemap.parity.losses import noise_like, section_losses
from backend.models.fusemap.parity.network import Network
from backend.models.fusemap.parity.outputs import Fitted, embedded
from backend.models.fusemap.parity.prepare import Measured, Published, published
from backend.models.fusemap.parity.schedule import Progress, after, fading, is_over
from backend.models.fusemap.parity.settings import PhaseSettings, Settings
from backend.models.fusemap.parity.steps import (
    Encoded,
    Own,
    Part,
    autoencoder_loss,
    encode,
    first_weight,
    part_of,
)
from backend.models.fusemap.parity.streams import Draw, stream

#: Patience of the plateau and of early stopping while mapping.
MAPPING = PhaseSettings(plateau=2, stop=5)
#: Reference cells per reference niche that a step draws; least gate of a discriminator step.
CELLS_PER_NICHE, LEAST_GATE = 4, 0.5
KINDS = ("cell", "niche")

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Mapped:
    """A query among the trained sections.

    cells : (m,) int64, rows of the query that the published filters keep
    cell, niche : (m, k) float32
    genes : names of the rows of ``gene_embedding`` (p, k)
    """

    cells: NDArray[np.int64]
    cell: Floats
    niche: Floats
    genes: tuple[str, ...]
    gene_embedding: Floats
    history: list[dict[str, float]]


@dataclass(slots=True)
class _Mapping:
    """A mapping under way."""

    network: Network
    judges: dict[str, Judge]
    stored: dict[str, list[Tensor]]
    own: Own
    settings: Settings
    fraction: float
    gate: bool
    ctx: RunContext
    adversary: torch.optim.Optimizer
    autoencoder: torch.optim.Optimizer
    weight: float | None = None


def map_query(
    fitted: Fitted,
    query: Measured,
    settings: Settings,
    ctx: RunContext,
    *,
    fraction: float = 0.02,
    gate: bool = False,
) -> Mapped:
    """Return the cells of ``query`` in the space of ``fitted``.

    Parameters
    ----------
    fitted : Fitted
    query : Measured
    settings : Settings
        Those of the training.
    ctx : RunContext
    fraction : float
        Reference niches drawn per step and section, as a share of the batch. Published: 0.02.
    gate : bool

    Raises
    ------
    NoSharedGenes
        If the training knows none of the query's genes.
    TooFewCells, Cancelled, Diverged
    """
    data = published(query)
    m = _start(fitted, data, settings, ctx, fraction, gate)
    progress, best, history = Progress(settings.learning_rate), None, list[dict[str, float]]()
    for epoch in range(1, settings.epochs + 1):
        losses = _run_epoch(m, epoch)
        history.append({"epoch": epoch, **losses})
        if not settings.early_stopping or epoch <= settings.validate_after:
            continue
        loss = _validation(m, epoch)
        if loss < progress.best:
            best = {n: v.detach().clone() for n, v in m.network.state_dict().items()}
        progress = after(progress, loss, MAPPING)
        for optimiser in (m.adversary, m.autoencoder):
            optimiser.param_groups[0]["lr"] = progress.rate
        if is_over(progress, MAPPING, settings):
            break
    if best is not None:
        m.network.load_state_dict(best)
    cell, niche = embedded(m.network, 0, data, ctx.device)
    table = m.network.genes.detach().cpu().numpy().T.copy()
    return Mapped(data.cells, cell, niche, data.genes, table, history)


def _start(
    fitted: Fitted, data: Published, settings: Settings, ctx: RunContext, fraction: float,
    gate: bool,
) -> _Mapping:  # fmt: skip
    """Everything before the first step: new encoder, genes half frozen, judges warm."""
    place = {gene: i for i, gene in enumerate(fitted.genes)}
    rows = [place.get(g, -1) for g in data.genes]
    known = torch.tensor([r >= 0 for r in rows], device=ctx.device)
    if not bool(known.any()):
        raise NoSharedGenes(
            f"The training knows none of the {len(rows)} usable genes of the query.",
            "Use gene symbols of the same species.",
        )
    panel = torch.arange(len(rows))
    network = Network([panel], len(rows), [0], settings, ctx.seed).to(ctx.device)
    table = torch.from_numpy(fitted.gene_embedding[rows].T.copy()).to(ctx.device)
    with torch.no_grad():
        network.genes.copy_(torch.where(known, table, network.genes))
    network.genes.register_hook(lambda gradient: gradient * ~known)
    own = dict(zip(KINDS, (network.cell_adversary, network.niche_adversary), strict=True))
    judges = {k: judge_of(fitted, own[k], k, settings).to(ctx.device) for k in KINDS}
    stored = {
        kind: [torch.from_numpy(getattr(s, kind)).to(ctx.device) for s in fitted.sections]
        for kind in KINDS
    }
    learned = [p for judge in judges.values() for p in judge.own.parameters()]
    rate = settings.learning_rate
    return _Mapping(
        network, judges, stored, _own(data, panel.to(ctx.device), settings, ctx.seed), settings,
        fraction, gate, ctx, torch.optim.RMSprop(learned, lr=rate),
        torch.optim.RMSprop(network.autoencoders(), lr=rate),
    )  # fmt: skip


def _own(data: Published, panel: Tensor, settings: Settings, seed: int) -> Own:
    n = data.n_cells
    order = torch.randperm(n, generator=stream(seed, Draw.SPLIT)).numpy()
    train = np.ones(n, dtype=bool)
    train[order[: int(settings.validation * n)]] = False
    ones = np.ones(n, dtype=np.float32)
    return Own(0, data, panel, train, ones, ones)


def _run_epoch(m: _Mapping, epoch: int) -> dict[str, float]:
    """Train for one epoch; return its mean losses."""
    m.network.train()
    seed, settings = m.ctx.seed, m.settings
    order = batches(m.own.data.n_cells, settings, stream(seed, Draw.ORDER, epoch))
    dropout, judged, noisy, drawn = (
        stream(seed, d, epoch) for d in (Draw.ENCODER, Draw.ADVERSARY, Draw.NOISE, Draw.REFERENCE)
    )
    noise = settings.noise * fading(epoch, epoch - 1)
    steps = n_batches(m.own.data.n_cells, settings.batch)
    total = [0.0, 0.0]
    for step in range(steps):
        done = (epoch - 1 + step / steps) / settings.epochs
        m.ctx.step(done, f"Mapping, epoch {epoch} of {settings.epochs}")
        part = part_of(m.own, next(order), settings, m.ctx.device)
        reference = {kind: _drawn(m, kind, drawn) for kind in KINDS}
        with torch.no_grad():
            encoded = encode(m.network, part, dropout)
        loss = _against(m, part, encoded, reference, noise, noisy, judged, LEAST_GATE)
        m.adversary.zero_grad()
        (loss * (1.0 if m.weight is None else m.weight)).backward()
        m.adversary.step()
        encoded = encode(m.network, part, dropout)
        fit = autoencoder_loss(m.network, part, encoded)
        loss = _against(m, part, encoded, reference, noise, noisy, judged, 0.0)
        if m.weight is None:
            m.weight = first_weight(float(fit.detach()), float(loss.detach()), settings)
        m.autoencoder.zero_grad()
        (fit - m.weight * loss).backward()
        m.autoencoder.step()
        total = [total[0] + float(fit.detach()), total[1] + float(loss.detach())]
        if not math.isfinite(total[0] + total[1]):
            raise Diverged(f"A loss was not finite in epoch {epoch}.", "Lower the learning rate.")
    return {"autoencoder": total[0] / steps, "adversary": total[1] / steps, "noise": noise}


def _drawn(m: _Mapping, kind: str, rng: torch.Generator) -> Sequence[Tensor]:
    """Draw a few stored embeddings of every reference section."""
    share = m.fraction * (CELLS_PER_NICHE if kind == "cell" else 1)
    count = int(m.settings.batch * share)
    return [
        rows[torch.randperm(len(rows), generator=rng)[:count].to(rows.device)]
        for rows in m.stored[kind]
    ]


def _against(
    m: _Mapping, part: Part, encoded: Encoded, reference: dict[str, Sequence[Tensor]],
    noise: float, noisy: torch.Generator, judged: torch.Generator, least: float,
) -> Tensor:  # fmt: skip
    """Return L_Dis of the query's training rows and the reference's drawn rows."""
    total = encoded.mean.new_zeros(())
    for kind in KINDS:
        rows = part.block.cells if kind == "cell" else part.block.niches
        own = encoded.mean if kind == "cell" else encoded.niche
        z = noise_like(torch.cat([own, *reference[kind]]), noise, noisy)
        train = torch.from_numpy(part.own.train[rows]).to(z.device)
        counted = torch.cat([train, train.new_ones(len(z) - len(own))])
        section = [torch.full((len(r),), v) for v, r in enumerate((own, *reference[kind]))]
        logits = m.judges[kind](z[counted], judged)
        each = section_losses(
            logits, torch.cat(section).to(z.device)[counted], double=m.settings.double_softmax
        )
        total = total + (each * gated(logits, least) if m.gate else each).mean()
    return total


def _validation(m: _Mapping, epoch: int) -> float:
    """Return the mean autoencoder loss over validation cells."""
    m.network.eval()
    order = batches(m.own.data.n_cells, m.settings, stream(m.ctx.seed, Draw.VALIDATION, epoch))
    steps, total = n_batches(m.own.data.n_cells, m.settings.batch), 0.0
    with torch.no_grad():
        for _ in range(steps):
            part = part_of(m.own, next(order), m.settings, m.ctx.device)
            encoded = encode(m.network, part, None)
            total += float(autoencoder_loss(m.network, part, encoded, validate=True))
    return total / steps
