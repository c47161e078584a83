"""A training under way: network, optimisers, and where it stands; one epoch, and its validation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from backend.core.errors import Diverged
from backend.core.job import RunContext
from backend.models.fusemap.parity.batches import batches, n_batches
from backend.models.fusemap.parity.network import Network
from backend.models.fusemap.parity.schedule import Progress, fading
from backend.models.fusemap.parity.settings import Settings
from backend.models.fusemap.parity.steps import (
    Own,
    Part,
    Pooled,
    adversary_loss,
    autoencoder_loss,
    encode,
    first_weight,
    part_of,
    pooled,
)
from backend.models.fusemap.parity.streams import Draw, stream
from backend.models.fusemap.parity.team import Team

PHASES = 2


@dataclass(slots=True)
class Training:
    """What changes while training.

    Parameters
    ----------
    own : list of Own
        Sections of this process.
    sizes : list of int
        Cells of every section, of all processes.
    phase, epoch, done : int
        Phase 1 or 2, the last epoch that ended in it, and epochs that ended in both.
    weight : float or None
        lambda of the adversary; None before the first step.
    best : dict of tensors or None
        Network with the least validation loss of the phase.
    history : list of dict
        Per epoch: phase, epoch, mean losses, noise, learning rate.
    ended : str
        Why the training ended before its time, if it did.
    """

    network: Network
    settings: Settings
    team: Team
    device: str
    seed: int
    own: list[Own]
    sizes: list[int]
    adversary: torch.optim.Optimizer
    autoencoder: torch.optim.Optimizer
    progress: Progress
    phase: int = 1
    epoch: int = 0
    done: int = 0
    weight: float | None = None
    best: dict[str, Tensor] | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    ended: str = ""

    @property
    def n_steps(self) -> int:
        """Steps of an epoch: the largest section is gone through once."""
        return max(n_batches(n, self.settings.batch) for n in self.sizes)


def optimisers(
    network: Network, settings: Settings
) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """Return those of the discriminators and of the autoencoders."""
    make = torch.optim.RMSprop
    rate = settings.learning_rate
    return make(network.adversaries(), lr=rate), make(network.autoencoders(), lr=rate)


def run_epoch(t: Training, ctx: RunContext) -> dict[str, float]:
    """Train for the epoch after ``t.epoch``; return its mean losses.

    Raises
    ------
    Diverged
        If a loss is not finite.
    Cancelled
    """
    epoch = t.epoch + 1
    t.network.train()
    noise = t.settings.noise * fading(epoch, t.done)
    place = (t.phase, epoch)
    seeds = {
        o.section: batches(
            o.data.n_cells, t.settings, stream(t.seed, Draw.ORDER, *place, o.section)
        )
        for o in t.own
    }
    dropout = {o.section: stream(t.seed, Draw.ENCODER, *place, o.section) for o in t.own}
    judged, noisy = (stream(t.seed, d, *place) for d in (Draw.ADVERSARY, Draw.NOISE))
    total = [0.0, 0.0]
    for step in range(t.n_steps):
        ctx.step(_fraction(t, step), f"Phase {t.phase}, epoch {epoch} of {t.settings.epochs}")
        parts = [part_of(o, next(seeds[o.section]), t.settings, t.device) for o in t.own]
        _train_adversary(t, parts, noise, dropout, judged, noisy)
        losses = _train_autoencoders(t, parts, noise, dropout, judged, noisy)
        _refuse_infinite(losses, t, epoch)
        total = [a + b for a, b in zip(total, losses, strict=True)]
    mean = [value / t.n_steps for value in total]
    return {"autoencoder": mean[0], "adversary": mean[1], "noise": noise}


def validation_loss(t: Training) -> float:
    """Return the mean autoencoder loss over validation cells, sections and steps."""
    t.network.eval()
    place = (t.phase, t.epoch)
    total = torch.zeros((), dtype=torch.float64)
    with torch.no_grad():
        for o in t.own:
            rng = stream(t.seed, Draw.VALIDATION, *place, o.section)
            order = batches(o.data.n_cells, t.settings, rng)
            for _ in range(t.n_steps):
                part = part_of(o, next(order), t.settings, t.device)
                encoded = encode(t.network, part, None)
                total += autoencoder_loss(t.network, part, encoded, validate=True).cpu()
    shared = t.team.added(total.to(t.device) if t.team.size > 1 else total)
    return float(shared) / (t.n_steps * len(t.sizes))


def set_rate(t: Training, rate: float) -> None:
    """Give both optimisers a learning rate."""
    for optimiser in (t.adversary, t.autoencoder):
        for group in optimiser.param_groups:
            group["lr"] = rate


def _train_adversary(
    t: Training, parts: list[Part], noise: float, dropout: dict[int, torch.Generator],
    judged: torch.Generator, noisy: torch.Generator,
) -> None:  # fmt: skip
    """Step (1) of ``steps``: the encoders only supply embeddings."""
    with torch.no_grad():
        cells, niches, _ = _pools(t, parts, noise, dropout, noisy)
    loss = adversary_loss(t.network, cells, niches, t.settings, judged)
    t.adversary.zero_grad()
    (loss * (1.0 if t.weight is None else t.weight)).backward()
    t.adversary.step()


def _train_autoencoders(
    t: Training, parts: list[Part], noise: float, dropout: dict[int, torch.Generator],
    judged: torch.Generator, noisy: torch.Generator,
) -> tuple[float, float]:  # fmt: skip
    """Step (2) of ``steps``; return the summed autoencoder loss and the discriminator loss."""
    cells, niches, own = _pools(t, parts, noise, dropout, noisy)
    against = adversary_loss(t.network, cells, niches, t.settings, judged)
    everywhere = float(t.team.added(own.detach().clone()))
    if t.weight is None:
        t.weight = first_weight(everywhere, float(against.detach()), t.settings)
    t.autoencoder.zero_grad()
    (own - t.weight * against).backward()
    assert t.network.genes.grad is not None
    t.team.added(t.network.genes.grad)
    t.autoencoder.step()
    return everywhere, float(against.detach())


def _pools(
    t: Training, parts: list[Part], noise: float, dropout: dict[int, torch.Generator],
    noisy: torch.Generator,
) -> tuple[Pooled, Pooled, Tensor]:  # fmt: skip
    """Pooled cells and niches of all sections, and the autoencoder loss of one's own."""
    encoded = [encode(t.network, p, dropout[p.own.section]) for p in parts]
    n = len(t.sizes)
    cells, niches = (
        pooled(t.team, n, kind, parts, encoded, noise, noisy) for kind in ("cell", "niche")
    )
    own = torch.zeros((), device=t.device)
    if torch.is_grad_enabled():
        for part, made in zip(parts, encoded, strict=True):
            own = own + autoencoder_loss(t.network, part, made)
    return cells, niches, own


def _fraction(t: Training, step: int) -> float:
    whole = PHASES * t.settings.epochs
    return ((t.phase - 1) * t.settings.epochs + t.epoch + step / t.n_steps) / whole


def _refuse_infinite(losses: tuple[float, float], t: Training, epoch: int) -> None:
    if not all(math.isfinite(value) for value in losses):
        raise Diverged(
            f"A loss was not finite in phase {t.phase}, epoch {epoch}.",
            "Lower the learning rate, or look for extreme values in the data.",
        )
