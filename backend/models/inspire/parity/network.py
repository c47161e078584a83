"""The network: encoder, decoder, factor head and critics, shared by all sections.

    z = encoder(x)                              x_hat = decoder([z, b_s])
    beta = softmax(L elu(z))                    mu = softmax over genes of theta
    log rate of gene g = log(beta . mu_g + 1e-6) + gamma_sg

b_s is an embedding of the section and gamma its offsets per gene; with the library size l of a
cell, its counts are Poisson(l rate). Attention encoder: Attention, ELU, Linear; linear encoder:
Linear, ELU, Linear on features that hold the averages over neighbours.

Deviations
----------
- The authors compute a cell-wise offset alpha, which enters no loss and no output: left out.
- How the section embedding starts is not known here; it is standard normal, as torch does.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, relu

from backend.models.inspire.parity.attention import Attention, Edges
from backend.models.inspire.parity.dense import dense, uniform
from backend.models.inspire.parity.settings import FLOOR, SCORE_LIMIT, Settings


class Seen(NamedTuple):
    """What the network says of cells.

    z : (n, d); rebuilt : (n, g); beta : (n, K); log_rate : (n, g)
    """

    z: Tensor
    rebuilt: Tensor
    beta: Tensor
    log_rate: Tensor


class Mixer(nn.Module):
    """Two layers, the first over neighbours where ``edges`` are given at the call."""

    def __init__(self, n_in: int, n_out: int, settings: Settings, rng: torch.Generator) -> None:
        """Draw the weights."""
        super().__init__()
        make = Attention if settings.encoder == "attention" else dense
        self.first: nn.Module = make(n_in, settings.hidden, rng)
        self.second = dense(settings.hidden, n_out, rng)

    def forward(self, x: Tensor, edges: Edges | None) -> Tensor:
        """Return (n, n_out)."""
        hidden = self.first(x) if edges is None else self.first(x, edges)
        out: Tensor = self.second(elu(hidden))
        return out


class Network(nn.Module):
    """All but the critics, for ``n_genes`` genes and ``n_sections`` sections."""

    def __init__(self, n_genes: int, n_sections: int, settings: Settings, seed: int) -> None:
        """Draw the weights from ``seed``."""
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        linear = settings.encoder == "linear"
        n_in = n_genes * (settings.hops + 1) if linear else n_genes
        joint = settings.latent + settings.section
        self.section = nn.Parameter(torch.randn(n_sections, settings.section, generator=rng))
        self.encoder = Mixer(n_in, settings.latent, settings, rng)
        self.decoder = Mixer(joint, n_genes, settings, rng)
        self.sees_section = settings.section_in_factors
        self.head = dense(joint if self.sees_section else settings.latent, settings.factors, rng)
        self.theta = nn.Parameter(uniform(settings.factors, n_genes, rng))
        self.gamma = nn.Parameter(torch.zeros(n_sections, n_genes))

    def forward(self, x: Tensor, section: Tensor, edges: Edges | None = None) -> Seen:
        """Return what the network says of cells.

        Parameters
        ----------
        x : (n, features)
        section : (n,) int64
        edges : Edges or None
            Of the attention encoder.
        """
        z = self.encoder(x, edges)
        rebuilt = self.decoder(torch.cat([z, self.section[section]], dim=1), edges)
        beta = self.proportions(z, section)
        return Seen(z, rebuilt, beta, log_rate(beta, self.programs(), self.gamma[section]))

    def proportions(self, z: Tensor, section: Tensor) -> Tensor:
        """Return beta (n, K), rows sum to 1."""
        if self.sees_section:
            z = torch.cat([z, self.section[section]], dim=1)
        return torch.softmax(self.head(elu(z)), dim=1)

    def programs(self) -> Tensor:
        """Return mu (K, g), rows sum to 1."""
        return torch.softmax(self.theta, dim=1)


def log_rate(beta: Tensor, mu: Tensor, gamma: Tensor) -> Tensor:
    """Return log(beta mu + 1e-6) + gamma: (n, g)."""
    return torch.log(beta @ mu + FLOOR) + gamma


class Critic(nn.Module):
    """Tells section i (high scores) from section j (low ones) by the embedding."""

    def __init__(self, latent: int, hidden: int, rng: torch.Generator) -> None:
        """Draw the weights."""
        super().__init__()
        self.layer1 = dense(latent, hidden, rng)
        self.layer2 = dense(hidden, hidden, rng)
        self.layer3 = dense(hidden, 1, rng)

    def forward(self, z: Tensor) -> Tensor:
        """Return scores (n,) of ``z`` (n, d), cut at 50."""
        hidden = relu(self.layer2(relu(self.layer1(z))))
        return self.layer3(hidden)[:, 0].clamp(-SCORE_LIMIT, SCORE_LIMIT)


class Critics(nn.Module):
    """A critic per pair of sections.

    Attributes
    ----------
    pairs : tuple of (int, int)
        The first is the anchor, the second is pulled towards it.
    share : float
        What each counts: 1 in a chain; all pairs together count as much as a chain.
    """

    def __init__(self, n_sections: int, settings: Settings, seed: int) -> None:
        """Draw the weights from ``seed``."""
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        reach = 2 if settings.critics == "chain" else n_sections
        self.pairs = tuple(
            (i, j) for i in range(n_sections) for j in range(i + 1, min(i + reach, n_sections))
        )
        self.share = (n_sections - 1) / len(self.pairs)
        self.each = nn.ModuleList(Critic(settings.latent, settings.hidden, rng) for _ in self.pairs)
