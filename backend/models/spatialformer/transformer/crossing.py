"""Pairs of cells that were encoded once each: one attention of CLS instead of a whole forward.

Where the two cells of a pair meet in the last block only (``Size.apart == blocks - 1``), the states
before that block's softmax do not depend on the other cell, and the pair is scored from CLS alone.
With q of CLS, and keys and values of both cells, softmax over both is a mean of two softmaxes:

    o = a o_A + (1 - a) o_B,   a = sigmoid(L_A - L_B + m_h |A|),

where L is the log of the sum of exponentials within a cell, and m_h |A| is how much farther from
CLS the second cell stands by ALiBi. This is exact. A section of n cells takes 2 n encodings for all
pairs, and n_A x n_B removed genes take n_A + n_B.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.core.errors import BadCheckpoint
from backend.models.spatialformer.transformer.blocks import alibi_slopes
from backend.models.spatialformer.transformer.network import Former

#: Cells times cells scored at once.
GRID = 32768


@dataclass(frozen=True, slots=True)
class First:
    """Cells that stand first: what CLS brings to the last softmax.

    cls : (n, D); query : (n, H, w); mixed : (n, H, w) own values as CLS mixes them;
    total : (n, H) log of the sum of exponentials; length : (n,) tokens.
    """

    cls: Tensor
    query: Tensor
    mixed: Tensor
    total: Tensor
    length: Tensor

    def rows(self, keep: slice) -> First:
        """Return some of the cells."""
        return First(
            self.cls[keep], self.query[keep], self.mixed[keep], self.total[keep], self.length[keep]
        )


@dataclass(frozen=True, slots=True)
class Second:
    """Cells that stand second: keys and values (n, H, t, w), and minus infinity at padding."""

    key: Tensor
    value: Tensor
    bias: Tensor

    def rows(self, keep: slice) -> Second:
        """Return some of the cells."""
        return Second(self.key[keep], self.value[keep], self.bias[keep])


def refuse_joint(model: Former) -> None:
    """Raise BadCheckpoint unless CLS tells pairs, and their cells meet in the last block only."""
    if model.pair is None or model.size.apart != model.size.blocks - 1:
        raise BadCheckpoint(
            "In this transformer the cells of a pair see one another from the first block on.",
            "Score pairs with pair_input, or use a model whose cells meet in the last block.",
        )


def before_softmax(model: Former, tokens: Tensor, types: Tensor) -> Tensor:
    """Return the states that the last attention is given, (b, t, D), of single cells."""
    refuse_joint(model)
    return _before(model, tokens, types)


def cls_alone(model: Former, tokens: Tensor, types: Tensor) -> Tensor:
    """Return the state of CLS after the last block, (b, D), of single cells of any model.

    The last softmax and what follows are of CLS only; nothing else of that block is needed.
    """
    first = as_first(model, _before(model, tokens, types), types)
    state = model.last.attention.finish(first.cls[:, None], first.mixed.flatten(1)[:, None])
    return state[:, 0]


def _before(model: Former, tokens: Tensor, types: Tensor) -> Tensor:
    alone, _ = model.biases(types)
    return model.before(tokens, types, (alone, alone))


def as_first(model: Former, x: Tensor, types: Tensor) -> First:
    """Return the cells as first ones, from ``before_softmax``."""
    attention = model.last.attention
    q, k, v = attention.split(x)
    query = q[:, :, 0] * attention.width**-0.5  # (n, H, w)
    logits = torch.einsum("nhw,nhtw->nht", query, k) + _bias(types, attention.heads)
    mixed = torch.einsum("nht,nhtw->nhw", logits.softmax(-1), v)
    return First(x[:, 0], query, mixed, logits.logsumexp(-1), (types > 0).sum(1))


def as_second(model: Former, x: Tensor, types: Tensor) -> Second:
    """Return the cells as second ones, from ``before_softmax``."""
    attention = model.last.attention
    _, k, v = attention.split(x)
    return Second(k, v, _bias(types, attention.heads))


def _bias(types: Tensor, heads: int) -> Tensor:
    """Return ALiBi from the first token of each cell, (n, H, t)."""
    away = torch.arange(types.shape[1], dtype=torch.float32, device=types.device)
    slope = -alibi_slopes(heads).to(types.device)[:, None] * away  # (H, t)
    return slope.expand(len(types), -1, -1).masked_fill((types == 0)[:, None], float("-inf"))


def cross(model: Former, first: First, second: Second) -> Tensor:
    """Return pair logits of all first with all second cells, (n_first, n_second, 2)."""
    attention = model.last.attention
    logits = torch.einsum("ahw,bhtw->abht", first.query, second.key) + second.bias
    total = logits.logsumexp(-1)  # (a, b, H)
    mixed = torch.einsum("abht,bhtw->abhw", logits.softmax(-1), second.value)
    later = alibi_slopes(attention.heads).to(first.length.device) * first.length[:, None]
    own = torch.sigmoid((first.total + later)[:, None] - total).unsqueeze(-1)
    both = own * first.mixed[:, None] + (1 - own) * mixed
    a, b = both.shape[:2]
    cls = first.cls[:, None].expand(a, b, -1).reshape(a * b, 1, -1)
    state = attention.finish(cls, both.reshape(a * b, 1, -1))
    assert model.pair is not None
    out: Tensor = model.pair(state[:, 0]).view(a, b, 2)
    return out


def cross_all(model: Former, first: First, second: Second) -> np.ndarray:
    """Return logit differences (together minus apart) of all pairs, (n_first, n_second) float32."""
    n = len(second.key)
    step = max(GRID // max(n, 1), 1)
    parts = []
    with torch.no_grad():
        for start in range(0, len(first.cls), step):
            logits = cross(model, first.rows(slice(start, start + step)), second)
            parts.append((logits[..., 1] - logits[..., 0]).numpy())
    return np.concatenate(parts).astype(np.float32)
