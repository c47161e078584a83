"""Encoder and decoder: latent of the spots, factor scores of the subspots.

The encoder is the paper's graph attention. The latent reaches a subspot as the mean over the spots
around it instead of as its parent's alone, so that without an image the model interpolates rather
than copies. The decoder adds to the interpolated factor scores of the spots what the latent and
the image say, so that it begins as an interpolation and has to earn every departure from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from backend.models.soscope.parity.layers import GraphAttention

#: Width of the hidden layers.
HIDDEN = 64
#: How sharply the link bends near zero.
BEND = 4.0


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the network: inputs, latent, image features, factors."""

    inputs: int
    latent: int
    image: int
    factors: int


class Encoder(nn.Module):
    """Mean and log spread of the latent, from compressed profiles and the graph of the spots."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.first = GraphAttention(shape.inputs, HIDDEN)
        self.last = GraphAttention(HIDDEN, 2 * shape.latent)

    def forward(self, x: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        """Return (n, d) each."""
        mu, log_spread = self.last(relu(self.first(x, edges)), edges).chunk(2, dim=1)
        return mu, log_spread.clamp(-6.0, 2.0)


class Decoder(nn.Module):
    """Departure of a subspot's factor scores from the interpolation of its surroundings."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Linear(shape.latent + shape.image, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN),
            nn.SiLU(),
        )  # fmt: skip
        self.out = nn.Linear(HIDDEN, shape.factors)
        self.plain = nn.Linear(shape.latent + shape.image, shape.factors)
        for layer in (self.out, self.plain):
            nn.init.zeros_(layer.bias)
            nn.init.normal_(layer.weight, std=1e-3)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Return (s, k)."""
        both = torch.cat([z, y], dim=1)
        return self.out(self.hidden(both)) + self.plain(both)


def linked(scores: Tensor, loadings: Tensor, centre: Tensor) -> Tensor:
    """Return expectations (s, g) of counts: the square of a root that stays above zero.

    Parameters
    ----------
    scores : (s, k)
    loadings : (k, g)
    centre : (g,)
        Typical root of the expectation.
    """
    relative = 1.0 + (scores @ loadings) / centre
    return (centre * softplus(BEND * relative) / BEND) ** 2
