"""Losses: masked tokens, pairs, co-occurrence; and how they are weighed against one another.

    L = e^-s1 L_MT + s1 + e^-s2 L_PC + s2 + lambda e^-s3 L_CO + s3

with s the logarithm of a variance, learnt from 0. As lambda goes to 0 the last two terms would send
s3 to minus infinity; s is therefore clamped. ``lambda`` multiplies the co-occurrence only, as the
published code has it (the paper: all supervised tasks).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

TASKS = ("masked", "pair", "together")
#: Bounds of s.
LEAST, MOST = -2.0, 4.0
#: Steps with lambda = 1.
FULL = 100
#: Focal loss: weight of positives, and how much easy entries are discounted.
ALPHA, GAMMA = 0.25, 2.0


class Uncertainty(nn.Module):
    """The learnt variance of each task.

    Parameters
    ----------
    expected : mapping of float
        First losses; s begins at their logarithms, where the terms of all tasks weigh as much. 0 as
        published where a task is absent: then the masked tokens, whose loss is ten times that of
        pairs, lead the gradient until s has been learnt.
    """

    def __init__(self, expected: Mapping[str, float] | None = None) -> None:
        super().__init__()
        first = [math.log((expected or {}).get(task, 1.0)) for task in TASKS]
        self.s = nn.Parameter(torch.tensor(first))

    def forward(self, losses: Mapping[str, Tensor], weight: float) -> Tensor:
        """Return the total of the tasks that have a loss; ``weight`` is lambda."""
        s = self.s.clamp(LEAST, MOST)
        total = s.new_zeros(())
        for i, task in enumerate(TASKS):
            if task in losses:
                share = weight if task == "together" else 1.0
                total = total + share * torch.exp(-s[i]) * losses[task] + s[i]
        return total


def co_weight(step: int, total: int) -> float:
    """Return lambda: 1 for 100 steps, then (T - t) / (T - 100) down to 0 at T."""
    if step <= FULL:
        return 1.0
    return max(total - step, 0) / max(total - FULL, 1)


def masked_loss(logits: Tensor, tokens: Tensor) -> Tensor | None:
    """Return the cross-entropy at masked positions, logits (m, V), tokens (m,); None if m = 0.

    The published fallback is a constant without gradient; a task without a target has no loss.
    """
    return functional.cross_entropy(logits, tokens) if len(tokens) else None


def pair_loss(logits: Tensor, together: Tensor, weight: Tensor) -> Tensor | None:
    """Return the weighted cross-entropy of pairs, logits (m, 2), together (m,) of 0 and 1."""
    total = weight.sum()
    if not float(total):
        return None
    each = functional.cross_entropy(logits, together.long(), reduction="none")
    return (each * weight).sum() / total


def focal_loss(scores: Tensor, together: Tensor, block: Tensor) -> Tensor | None:
    """Return the focal loss over the entries of the diagonal blocks.

    Parameters
    ----------
    scores, together, block : (b, t, t)
        Logits; 0 or 1; and which entries count: two different genes of one cell, so that padding,
        special tokens and pairs across cells teach nothing.
    """
    if not bool(block.any()):
        return None
    logits, truth = scores[block], together[block].to(scores.dtype)
    each = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    right = torch.exp(-each)
    alpha = torch.where(truth > 0, ALPHA, 1 - ALPHA)
    return (alpha * (1 - right) ** GAMMA * each).mean()


def balanced_loss(scores: Tensor, together: Tensor, block: Tensor) -> Tensor | None:
    """Return the loss of generation 1: cross-entropy with both classes weighing as much.

    The published code draws as many entries of the larger class as the smaller one has; weights
    have the same mean without the noise. None where a class is absent.
    """
    logits, truth = scores[block], together[block].to(scores.dtype)
    n, positives = truth.numel(), float(truth.sum())
    if positives in (0.0, float(n)):
        return None
    weight = torch.where(truth > 0, 0.5 / positives, 0.5 / (n - positives))
    each = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return (weight * each).sum()
