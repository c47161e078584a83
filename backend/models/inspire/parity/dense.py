"""Layers drawn as the authors draw them: U(-b, b) with b = sqrt(6 / (in + out)), biases 0."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def uniform(rows: int, columns: int, rng: torch.Generator) -> Tensor:
    """Return (rows, columns) drawn from U(-b, b), b = sqrt(6 / (rows + columns))."""
    bound = (6 / (rows + columns)) ** 0.5
    return (2 * torch.rand(rows, columns, generator=rng) - 1) * bound


def dense(n_in: int, n_out: int, rng: torch.Generator) -> nn.Linear:
    """Return a linear layer."""
    layer = nn.Linear(n_in, n_out)
    with torch.no_grad():
        layer.weight.copy_(uniform(n_out, n_in, rng))
        layer.bias.zero_()
    return layer
