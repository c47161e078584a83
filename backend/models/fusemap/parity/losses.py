"""Losses of FuseMap as published.

He et al. 2024, Methods, "Loss function", as the published results were made:

    L_AE,v = MSE(X_hat_v, X_v) + 1/|T_v| mean_i sum_d KL(N(mu, sd) || N(0, 1))             (1)
    L_Dis  = mean_i w_i CE(softmax(D(z_i + noise)), v_i)                                    (2)

(2) applies the softmax twice, since cross-entropy takes logits: with V sections the loss lies
between log(1 + (V - 1) / e) and log(e + V - 1), and its gradients are small. ``double`` is the
named option. The mean divides by the number of rows, not by the sum of weights.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def reconstruction(hat: Tensor, x: Tensor) -> Tensor:
    """Return the mean squared error over cells and genes, both (b, g)."""
    return (hat - x).square().mean()


def divergence(mean: Tensor, sd: Tensor, n_genes: int) -> Tensor:
    """Return the KL term of (1): mean over cells, sum over dimensions, over the panel's size."""
    each = 0.5 * (sd.square() + mean.square() - 1) - sd.log()
    return each.sum(dim=1).mean() / n_genes


def section_loss(
    logits: Tensor, sections: Tensor, weights: Tensor | None = None, *, double: bool = True
) -> Tensor:
    """Return (2) for logits (b, v), section numbers (b,) int64 and weights (b,)."""
    each = section_losses(logits, sections, double=double)
    return (each if weights is None else weights * each).mean()


def section_losses(logits: Tensor, sections: Tensor, *, double: bool = True) -> Tensor:
    """Return the terms of (2) before weights, (b,)."""
    given = torch.softmax(logits, dim=1) if double else logits
    return cross_entropy(given, sections, reduction="none")


def noise_like(z: Tensor, scale: float, rng: torch.Generator) -> Tensor:
    """Return ``z`` (b, k) with normal noise of ``scale`` standard deviations of each dimension.

    The standard deviations are part of the graph, as published. They are floored at 1e-10, which
    the authors do for the niche only: a dead dimension would otherwise end their run.
    """
    if scale == 0.0:
        return z
    drawn = torch.randn(z.shape, generator=rng).to(z.device)
    return z + scale * (z.std(dim=0) + 1e-10) * drawn
