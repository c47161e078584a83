"""The layers of soScope: graph attention over a list of edges, and the enhancement decoder.

Attention follows Shi et al., "Masked label prediction: unified message passing model for
semi-supervised classification" (IJCAI 2021), eq. 3-5, one head, with a root weight and no gate:
out_i = W_s x_i + b_s + sum_{j in N(i)} a_ij (W_v x_j + b_v),
a_ij = softmax_j( (W_q x_i + b_q) . (W_k x_j + b_k) / sqrt(d) ); N(i) contains i.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

#: Width of the hidden layers and of the latent.
WIDTH = 128
#: Added to what must be positive.
TINY = 1e-7


class GraphAttention(nn.Module):
    """Attention of nodes to their neighbours, the weights of the edges unused.

    Parameters
    ----------
    wide_in, wide_out : int
    """

    def __init__(self, wide_in: int, wide_out: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.root = (
            nn.Linear(wide_in, wide_out) for _ in range(4)
        )

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        """Return (n, wide_out) for nodes (n, wide_in) and edges (2, e) from j to i."""
        source, target = edges
        q, k, v = self.query(x)[target], self.key(x)[source], self.value(x)[source]
        weight = segment_softmax((q * k).sum(dim=1) / q.shape[1] ** 0.5, target, len(x))
        return self.root(x).index_add(0, target, weight[:, None] * v)


def segment_softmax(score: Tensor, segment: Tensor, n: int) -> Tensor:
    """Return the softmax of scores (e,) within each of n segments."""
    lowest = torch.full((n,), -torch.inf, dtype=score.dtype)
    top = lowest.scatter_reduce(0, segment, score.detach(), "amax")
    power = (score - top[segment]).exp()
    return power / torch.zeros(n, dtype=score.dtype).index_add(0, segment, power)[segment]


class Encoder(nn.Module):
    """Three layers of attention from profiles to the mean and spread of the latent.

    Parameters
    ----------
    features : int
        Length of a profile.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.first = GraphAttention(features, WIDTH)
        self.second = GraphAttention(WIDTH, WIDTH)
        self.last = GraphAttention(WIDTH, 2 * WIDTH)

    def forward(self, x: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and sigma, (n, 128) each."""
        hidden = relu(self.first(x, edges))
        hidden = relu(self.second(hidden, edges))
        mu, spread = self.last(hidden, edges).split(WIDTH, dim=1)
        return mu, softplus(spread) + TINY


class Block(nn.Module):
    """x + relu(linear(relu(linear(x)))): only ever adds what is not negative, as published."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, 128)."""
        return x + relu(self.second(relu(self.first(x))))


class Decoder(nn.Module):
    """Numbers that describe a subspot, from the latent of its parent and its image features.

    Parameters
    ----------
    image : int
        Image features of a subspot.
    out : int
    """

    def __init__(self, image: int, out: int) -> None:
        super().__init__()
        self.into = nn.Linear(WIDTH + image, WIDTH)
        self.blocks = nn.Sequential(Block(), Block())
        self.out = nn.Linear(WIDTH, out)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Return (n, out) for z (n, 128) and y (n, image)."""
        return self.out(self.blocks(self.into(torch.cat([z, y], dim=1))))


class NodeDecoder(nn.Module):
    """Numbers that describe a spot, from its latent; used while pre-training."""

    def __init__(self, out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(),
            nn.Linear(WIDTH, out),
        )  # fmt: skip

    def forward(self, z: Tensor) -> Tensor:
        """Return (n, out)."""
        return self.layers(z)


def parameter_count(module: nn.Module) -> int:
    """Return how many numbers a module learns."""
    return sum(p.numel() for p in module.parameters())
