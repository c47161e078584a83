"""One step: the discriminators learn to tell sections apart, then the autoencoders to fool them.

    discriminators:  minimise  lambda L_Dis                                              (1)
    autoencoders:    minimise  sum_v L_AE,v - lambda L_Dis, fresh noise                    (2)

lambda is set once, by the first batch: (sum_v L_AE,v) / (2 L_Dis).

Validation cells are left out of the losses alone: they are still neighbours of others and take part
in batch normalisation and in the KL term. Both steps encode in training mode, so the running
statistics of batch normalisation move twice per step. All as published.

Deviations
----------
Balance weights are float32; the authors' are float64 and promote the loss silently.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backend.models.fusemap.parity.batches import Block, block
from backend.models.fusemap.parity.losses import (
    divergence,
    noise_like,
    reconstruction,
    section_loss,
)
from backend.models.fusemap.parity.network import Network, decode, spread
from backend.models.fusemap.parity.prepare import Published
from backend.models.fusemap.parity.settings import ADVERSARY_DIVISOR, Settings
from backend.models.fusemap.parity.team import Team


@dataclass(frozen=True, slots=True)
class Own:
    """A section of this process, ready for training.

    panel : (p,) int64, places of its genes in the union
    train : (n,) bool
    cell_weight, niche_weight : (n,) float32, balance weights; all 1 at first
    """

    section: int
    data: Published
    panel: Tensor
    train: NDArray[np.bool_]
    cell_weight: NDArray[np.float32]
    niche_weight: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Part:
    """What one step sees of a section: the block and its tensors on the device."""

    own: Own
    block: Block
    x: Tensor
    rebuilt: Tensor
    train: Tensor

    @property
    def n_genes(self) -> int:
        """Size of the panel."""
        return len(self.own.panel)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Embeddings of a part: mean and sd of its cells, and its niches."""

    mean: Tensor
    sd: Tensor
    niche: Tensor


@dataclass(frozen=True, slots=True)
class Pooled:
    """Training rows of all sections for one discriminator: noisy z, section numbers, weights."""

    z: Tensor
    section: Tensor
    weight: Tensor


def part_of(own: Own, seeds: NDArray[np.int64], settings: Settings, device: str) -> Part:
    """Return the part of a section that belongs to ``seeds``."""
    b = block(own.data.graph, seeds, settings.decode)
    on_device = Block(b.cells, b.niches, b.rebuilt, b.gather.to(device), b.scatter.to(device))
    x = torch.from_numpy(own.data.x[b.cells].toarray()).to(device)
    train = torch.from_numpy(own.train[b.rebuilt]).to(device)
    return Part(own, on_device, x, x[torch.from_numpy(b.rebuilt_places).to(device)], train)


def encode(network: Network, part: Part, rng: torch.Generator | None) -> Encoded:
    """Return the embeddings of a part."""
    mean, sd = network.encoder(part.own.section)(part.x, rng)
    return Encoded(mean, sd, spread(part.block.gather, mean))


def autoencoder_loss(
    network: Network, part: Part, encoded: Encoded, *, validate: bool = False
) -> Tensor:
    """Return L_AE of a part over its training or its validation rows; 0 where it has none."""
    rows = ~part.train if validate else part.train
    if not bool(rows.any()):
        return encoded.mean.sum() * 0.0
    genes = network.genes[:, part.own.panel]
    hat = decode(part.block.scatter, encoded.niche, genes)
    fit = reconstruction(hat[rows], part.rebuilt[rows])
    return fit + divergence(encoded.mean, encoded.sd, part.n_genes)


def pooled(
    team: Team, n_sections: int, kind: str, parts: list[Part], encoded: list[Encoded],
    noise: float, rng: torch.Generator,
) -> Pooled:  # fmt: skip
    """Return the training rows of all sections, noise added; ``kind`` is "cell" or "niche"."""
    mine = {p.own.section: _rows(kind, p, e) for p, e in zip(parts, encoded, strict=True)}
    rows = [team.shown(v, mine.get(v)) for v in range(n_sections)]
    section = torch.cat([torch.full((len(r),), v, device=r.device) for v, r in enumerate(rows)])
    table = torch.cat(rows)
    train = table[:, -2].detach() > 0
    # The noise is as wide as the pooled batch, validation rows included.
    z = noise_like(table[:, :-2], noise, rng)
    return Pooled(z[train], section[train], table[train, -1].detach())


def _rows(kind: str, part: Part, encoded: Encoded) -> Tensor:
    """Embeddings of a part with two more columns: whether a row trains, and its weight."""
    is_cell = kind == "cell"
    z = encoded.mean if is_cell else encoded.niche
    rows = part.block.cells if is_cell else part.block.niches
    weight = (part.own.cell_weight if is_cell else part.own.niche_weight)[rows]
    extra = np.stack([part.own.train[rows].astype(np.float32), weight], axis=1)
    return torch.cat([z, torch.from_numpy(extra).to(z.device)], dim=1)


def adversary_loss(
    network: Network, cells: Pooled, niches: Pooled, settings: Settings, rng: torch.Generator
) -> Tensor:
    """Return L_Dis of cells and niches together."""
    total = cells.z.new_zeros(())
    for judge, rows in ((network.cell_adversary, cells), (network.niche_adversary, niches)):
        if not len(rows.z):
            continue
        logits = judge(rows.z, rng)
        total = total + section_loss(
            logits, rows.section, rows.weight, double=settings.double_softmax
        )
    return total


def first_weight(autoencoders: float, adversary: float, settings: Settings) -> float:
    """Return lambda as the first batch sets it."""
    if not settings.auto_adversary or adversary == 0.0:
        return 1.0
    return autoencoders / ADVERSARY_DIVISOR / adversary
