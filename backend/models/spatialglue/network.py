"""The network of the reference: linear graph convolutions, two levels of additive attention.

Long Y. et al., Deciphering spatial domains from spatial multi-omics with SpatialGlue, Nat Methods
21, 1658 (2024). Per modality m with features F_m, spatial graph S_m and feature graph K_m (both
D^-1/2 (A + I) D^-1/2)::

    Hs_m = S_m (F_m E_m)      Hf_m = K_m (F_m E_m)            one linear layer, shared weights
    Y_m, a_m = attention(Hs_m, Hf_m)                          within a modality
    Z, alpha = attention(Y_1, ..., Y_M)                       between modalities
    X^_m = S_m (Z D_m)                                        reconstruction
    Y~_mn = S_n ((S_n (Y_m D_n)) E_n)   for n != m            cycle through another modality

    attention: e_t = tanh(h_t W) u,  alpha = softmax(e + 1e-6),  output sum_t alpha_t h_t

    loss = sum_m r_m mean((F_m - X^_m)^2) + sum_m sum_n c_mn mean((Y_m - Y~_mn)^2)

No bias, no activation, no dropout; gradients flow through both sides of the cycle. The article
draws activations and biases and sums squares; the published program has none and takes means, and
is what is followed here. More than two modalities as in the program's sibling for three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor

#: Width of the latent space in the reference.
WIDTH = 64


@dataclass(frozen=True, slots=True)
class Attention:
    """Weights of one attention block: omega (h, h), u (h, 1)."""

    omega: Tensor
    u: Tensor

    def __call__(self, parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the mixture (n, h) of ``parts``, each (n, h), and its weights (n, parts)."""
        stacked = torch.stack(tuple(parts), dim=1)  # (n, t, h)
        score = (torch.tanh(stacked @ self.omega) @ self.u).squeeze(-1)  # (n, t)
        alpha = torch.softmax(score + 1e-6, dim=1)
        return (alpha.unsqueeze(-1) * stacked).sum(dim=1), alpha


@dataclass(frozen=True, slots=True)
class Weights:
    """All parameters: per modality encoder (d, h), decoder (h, d), attention; one across."""

    encoders: tuple[Tensor, ...]
    decoders: tuple[Tensor, ...]
    within: tuple[Attention, ...]
    cross: Attention

    def tensors(self) -> list[Tensor]:
        """All tensors, in the order in which the reference draws them."""
        pairs = zip(self.encoders, self.decoders, strict=True)
        blocks = (*self.within, self.cross)
        return [t for pair in pairs for t in pair] + [t for b in blocks for t in (b.omega, b.u)]


@dataclass(frozen=True, slots=True)
class Output:
    """One forward pass; latent (n, h) and weights (n, parts) per modality and joint."""

    latent: tuple[Tensor, ...]
    joint: Tensor
    reconstruction: tuple[Tensor, ...]
    cycle: dict[tuple[int, int], Tensor]
    alpha_within: tuple[Tensor, ...]
    alpha: Tensor


def draw_weights(widths: Sequence[int], generator: torch.Generator, h: int = WIDTH) -> Weights:
    """Return weights drawn as Xavier-uniform, in the order of the reference."""

    def xavier(rows: int, columns: int) -> Tensor:
        bound = (6.0 / (rows + columns)) ** 0.5
        drawn = torch.rand((rows, columns), generator=generator) * 2 - 1
        return (drawn * bound).requires_grad_()

    pairs = [(xavier(d, h), xavier(h, d)) for d in widths]
    blocks = [Attention(xavier(h, h), xavier(h, 1)) for _ in range(len(widths) + 1)]
    encoders, decoders = zip(*pairs, strict=True)
    return Weights(tuple(encoders), tuple(decoders), tuple(blocks[:-1]), blocks[-1])


def forward(
    features: Sequence[Tensor],
    spatial: Sequence[Tensor],
    feature: Sequence[Tensor],
    weights: Weights,
) -> Output:
    """Return everything that the network computes.

    Parameters
    ----------
    features : M tensors (n, d_m)
    spatial, feature : M sparse tensors (n, n)
        Normalised graphs.
    weights : Weights
    """
    latent, within = [], []
    for x, s, k, e, block in zip(
        features, spatial, feature, weights.encoders, weights.within, strict=True
    ):
        h = x @ e
        y, a = block((s @ h, k @ h))
        latent.append(y)
        within.append(a)
    joint, alpha = weights.cross(latent)
    rebuilt = [s @ (joint @ d) for s, d in zip(spatial, weights.decoders, strict=True)]
    cycle = {
        (m, n): spatial[n]
        @ ((spatial[n] @ (latent[m] @ weights.decoders[n])) @ weights.encoders[n])
        for m, n in permutations(range(len(features)), 2)
    }
    return Output(tuple(latent), joint, tuple(rebuilt), cycle, tuple(within), alpha)


def losses(features: Sequence[Tensor], out: Output) -> list[Tensor]:
    """Return the mean squared errors: M reconstructions, then M (M - 1) cycles in order."""
    rebuilt = [((f - x) ** 2).mean() for f, x in zip(features, out.reconstruction, strict=True)]
    return rebuilt + [((out.latent[m] - y) ** 2).mean() for (m, _), y in out.cycle.items()]
