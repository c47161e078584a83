"""The match of two cells: a score of two pooled cells, in place of the published head on CLS.

The published pair head reads CLS through one linear map. Whether two cells lie together is an
interaction without terms of either cell, so that head has almost no gradient until attention has
learnt to compare them: its loss stays at ln 2 for hundreds of steps. Here each cell is also pooled,

    u = P sum_i w_i h_i,   w_i proportional to exp(-f r_i / R),

over the states h of its genes with rank r (R is ``FADED`` ranks), and two cells score

    s(a, b) = (1 / D) sum_k (p_k u_ak u_bk - q_k |u_ak - u_bk|) + c,

symmetric and with a gradient from the first step. It takes the place of the published head: where
both were trained together, CLS added nothing to it on any unseen section. Each cell is a single
input, encoded once whatever the number of its pairs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from backend.models.spatialformer.transformer.size import Size
from backend.models.spatialformer.transformer.tokens import LEAD

#: Ranks after which the weight of a gene has fallen by the learnt factor.
FADED = 48.0


class Match(nn.Module):
    """Pools cells and scores pairs of pooled cells."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        d = size.width
        self.project = nn.Parameter(torch.eye(d))
        self.fade = nn.Parameter(torch.full((1,), 1.5))
        self.product = nn.Parameter(torch.ones(d))
        self.difference = nn.Parameter(torch.full((d,), 4.0))
        self.constant = nn.Parameter(torch.zeros(1))

    def pool(self, x: Tensor, types: Tensor) -> Tensor:
        """Return u of single cells, (b, D), from states (b, t, D) and types (b, t)."""
        rank, gene = ranks(types == 1, LEAD)
        weight = torch.exp(-self.fade * rank / FADED) * gene
        weight = weight / weight.sum(1, keepdim=True).clamp(min=1e-6)
        pooled: Tensor = torch.einsum("bt,btd->bd", weight, x.float()) @ self.project
        return pooled

    def forward(self, one: Tensor, two: Tensor) -> Tensor:
        """Return scores of pooled cells (..., D) that broadcast, (...)."""
        away = ((one - two).abs() * self.difference).mean(-1)
        out: Tensor = (one * two * self.product).mean(-1) - away + self.constant
        return out


def ranks(own: Tensor, lead: int) -> tuple[Tensor, Tensor]:
    """Return the rank of each token of a cell, and 1 where it is a gene, both (b, t).

    Parameters
    ----------
    own : (b, t) bool
        Tokens of the cell: ``lead`` others, its genes, and SEP.
    lead : int
    """
    rank = own.cumsum(1) - 1 - lead
    last = own.sum(1, keepdim=True) - 1 - lead
    gene = own & (rank >= 0) & (rank < last)
    return rank.clamp(min=0).float(), gene.float()
