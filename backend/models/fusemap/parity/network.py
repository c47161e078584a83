"""Encoders, gene embedding and discriminators of FuseMap as published.

He Y. et al., Towards a universal spatial molecular atlas of the mouse brain, bioRxiv
2024.05.27.594872, Methods, "Model architecture". With X_v (n, g) the processed expression of
section v and A_v its normalised adjacency (symmetric, with self loops):

    mu, sd  = encoder_v(X_v)             (1)  cell embedding z_C = mu; sd only enters the KL term
    z_T     = A_v' z_C                   (2)  niche embedding
    X_hat_v = relu(A_v z_T E_v)          (3)  E_v: columns of the one gene embedding E (k, genes)
    logits  = discriminator(z)           (4)  which section a cell is of; one for z_C, one for z_T

Deviations
----------
- The paper describes (2) and (3) as graph convolutions with weights and non-linearities; the
  published results were made without, and so is this.
- The second head is called log-variance by the authors but softplus of it is used as the standard
  deviation; here it is called what it is.
- Dropout takes an explicit generator, one per section, so that a result depends on the seed alone,
  not on the device or on how many processes share the work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, softplus

from backend.models.fusemap.parity.settings import Settings

Made = TypeVar("Made")


class Encoder(nn.Module):
    """Expression of one section to mean and standard deviation of the cell embedding (eq. 1)."""

    def __init__(self, n_genes: int, settings: Settings) -> None:
        super().__init__()
        self.dropout, self.slope = settings.dropout, settings.slope
        self.linear_0 = nn.Linear(n_genes, settings.hidden)
        self.bn_0 = nn.BatchNorm1d(settings.hidden)
        self.linear_1 = nn.Linear(settings.hidden, settings.hidden)
        self.bn_1 = nn.BatchNorm1d(settings.hidden)
        self.mean = nn.Linear(settings.hidden, settings.latent)
        self.sd = nn.Linear(settings.hidden, settings.latent)

    def forward(self, x: Tensor, rng: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation, both (b, k), of expression (b, g)."""
        for linear, bn in ((self.linear_0, self.bn_0), (self.linear_1, self.bn_1)):
            x = dropped(leaky_relu(bn(linear(x)), self.slope), self._rate, rng)
        return self.mean(x), softplus(self.sd(x))

    @property
    def _rate(self) -> float:
        return self.dropout if self.training else 0.0


class Discriminator(nn.Module):
    """Embedding to one logit per section (eq. 4)."""

    def __init__(self, n_sections: int, settings: Settings) -> None:
        super().__init__()
        self.dropout, self.slope = settings.dropout, settings.slope
        self.linear_0 = nn.Linear(settings.latent, settings.adversary)
        self.linear_1 = nn.Linear(settings.adversary, settings.adversary)
        self.pred = nn.Linear(settings.adversary, n_sections)

    def forward(self, z: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Return logits (b, v) of embeddings (b, k)."""
        rate = self.dropout if self.training else 0.0
        for linear in (self.linear_0, self.linear_1):
            z = dropped(leaky_relu(linear(z), self.slope), rate, rng)
        return self.pred(z)


class Network(nn.Module):
    """The encoders that this process owns, the gene embedding and both discriminators.

    Parameters
    ----------
    panels : sequence of (p,) int64 tensors
        Places of every section's genes in the union.
    n_genes : int
        Size of the union.
    own : sequence of int
        Sections whose encoders this process holds; all of them in a single process.
    seed : int
        Every part is initialised from a stream of its own, so that ``own`` changes nothing.
    """

    def __init__(
        self,
        panels: Sequence[Tensor],
        n_genes: int,
        own: Sequence[int],
        settings: Settings,
        seed: int,
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(
            {str(v): _seeded(partial(Encoder, len(panels[v]), settings), seed, v) for v in own}
        )
        n = len(panels)
        judge = partial(Discriminator, n, settings)
        self.cell_adversary = _seeded(judge, seed, n)
        self.niche_adversary = _seeded(judge, seed, n + 1)
        self.genes = nn.Parameter(_seeded(partial(_xavier, settings.latent, n_genes), seed, n + 2))

    def encoder(self, section: int) -> Encoder:
        """Return the encoder of a section that this process owns."""
        found = self.encoders[str(section)]
        assert isinstance(found, Encoder)
        return found

    def adversaries(self) -> list[nn.Parameter]:
        """Return the parameters that the discriminator step trains."""
        return [*self.cell_adversary.parameters(), *self.niche_adversary.parameters()]

    def autoencoders(self) -> list[nn.Parameter]:
        """Return the parameters that the autoencoder step trains; the gene embedding is last."""
        return [*self.encoders.parameters(), self.genes]


def spread(graph: Tensor, z: Tensor) -> Tensor:
    """Return the product of a sparse block of the adjacency with embeddings (eq. 2)."""
    return torch.sparse.mm(graph, z)


def decode(graph: Tensor, z_niche: Tensor, genes: Tensor) -> Tensor:
    """Return non-negative expression from niche embeddings and a gene embedding (k, g) (eq. 3)."""
    return torch.relu(torch.sparse.mm(graph, z_niche) @ genes)


def dropped(x: Tensor, rate: float, rng: torch.Generator | None) -> Tensor:
    """Return ``x`` with a share ``rate`` of entries zero and the others enlarged to make up."""
    if rate == 0.0:
        return x
    # Drawn where the generator lives, so that CPU and GPU drop the same entries.
    keep = torch.empty(x.shape).bernoulli_(1 - rate, generator=rng)
    return x * keep.to(x.device) / (1 - rate)


def _xavier(k: int, n_genes: int) -> Tensor:
    return nn.init.xavier_uniform_(torch.empty(k, n_genes))


def _seeded(make: Callable[[], Made], seed: int, part: int) -> Made:
    """Return ``make()`` under a seed of its own, leaving the global stream as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed * 1_000_003 + part)
        return make()
