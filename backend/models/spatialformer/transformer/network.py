"""The transformer: embeddings, blocks, and heads for masked tokens, pairs and co-occurrence."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from backend.models.spatialformer.transformer.blocks import Block, alibi
from backend.models.spatialformer.transformer.match import Match
from backend.models.spatialformer.transformer.size import Size
from backend.models.spatialformer.transformer.vocabulary import PAD


class Additive(nn.Module):
    """Co-occurrence of generation 1: score_ij = w1.h_i + w2.h_j.

    One linear map of the concatenation has no term of both, so it can only learn that a gene tends
    to co-occur. Kept to build the published model; computed without the (n, n, 2D) tensor.
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.weight = nn.Linear(2 * size.width, 1, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        """Return scores (b, t, t) of states (b, t, D)."""
        first, second = self.weight.weight[0].chunk(2)
        return (h @ first)[:, :, None] + (h @ second)[:, None, :]


class Bilinear(nn.Module):
    """Co-occurrence of generation 2: score_ij = (P h_i).(Q h_j)."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.left = nn.Linear(size.width, size.co_rank, bias=False)
        self.right = nn.Linear(size.width, size.co_rank, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        """Return scores (b, t, t) of states (b, t, D)."""
        return self.left(h) @ self.right(h).transpose(1, 2)


class Former(nn.Module):
    """SpatialFormer of any size.

    Parameters
    ----------
    size : Size
    seed : int
        Of all initial values, the frozen type embedding included.
    """

    kinds: Tensor

    def __init__(self, size: Size, seed: int = 0) -> None:
        super().__init__()
        self.size = size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._build(size)

    def _build(self, size: Size) -> None:
        self.token = nn.Embedding(size.tokens, size.width, padding_idx=PAD)
        self.register_buffer("kinds", torch.randn(3, size.width))
        self.prior = nn.Embedding(size.tokens, size.width) if size.prior else None
        if self.prior is not None:
            with torch.no_grad():
                self.prior.weight.uniform_(0, 1)
                self.prior.weight[PAD] = 0
        self.dropout, self.norm = nn.Dropout(size.dropout), nn.LayerNorm(size.width)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.blocks))
        self.masked = nn.Linear(size.width, size.tokens)
        matched = size.pair_head == "match"
        self.pair = None if matched else nn.Linear(size.width, 2, bias=False)
        self.match = Match(size) if matched else None
        heads = {"additive": Additive, "bilinear": Bilinear}
        self.together = heads[size.co_head](size)

    @property
    def last(self) -> Block:
        """The last block."""
        block = self.blocks[-1]
        assert isinstance(block, Block)
        return block

    def embed(self, tokens: Tensor, types: Tensor) -> Tensor:
        """Return the input of the first block, (b, t, D)."""
        x = self.token(tokens) + self.kinds[types]
        if self.prior is not None:
            x = x + self.prior(tokens)
        out: Tensor = self.norm(self.dropout(x))
        return out

    def biases(self, types: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is added to the logits where cells are apart, and where they meet.

        Each (b, H, t, t): ALiBi, and minus infinity at padding (and at the other cell). Where the
        sequences are alike, b is 1.
        """
        if bool((types == types[:1]).all()):
            types = types[:1]
        position = torch.arange(types.shape[1], device=types.device).expand_as(types)
        slope = alibi(position, self.size.heads)
        lost = (types == 0)[:, None, None, :]
        meet = slope.masked_fill(lost, float("-inf"))
        other = (types[:, :, None] != types[:, None, :]) & (types > 0)[:, :, None]
        return meet.masked_fill(other[:, None], float("-inf")), meet

    def forward(self, tokens: Tensor, types: Tensor) -> Tensor:
        """Return the states of the last block, (b, t, D), of single or pair input.

        Parameters
        ----------
        tokens, types : (b, t) int64
            As ``single_input`` and ``pair_input`` give them.
        """
        alone, meet = self.biases(types)
        x = self.before(tokens, types, (alone, meet))
        out: Tensor = self.last.attention(x, self._bias(len(self.blocks) - 1, (alone, meet)))
        return out

    def before(self, tokens: Tensor, types: Tensor, biases: tuple[Tensor, Tensor]) -> Tensor:
        """Return the states that the last attention is given, (b, t, D); see ``biases``."""
        x, inside = self.embed(tokens, types), self.size.apart > 0
        for i, block in enumerate(list(self.blocks)[:-1]):
            x = block(x, types, self._bias(i, biases), inside)
        out: Tensor = self.last.convolution(x, types, inside)
        return out

    def _bias(self, block: int, biases: tuple[Tensor, Tensor]) -> Tensor:
        return biases[0] if block < self.size.apart else biases[1]

    def pair_logits(self, tokens: Tensor, types: Tensor) -> Tensor:
        """Return logits (b, 2) that the two cells of each pair are apart, and together.

        Of pair input and the published head; a match is of two single inputs, see ``pooled``.
        """
        assert self.pair is not None
        out: Tensor = self.pair(self(tokens, types)[:, 0])
        return out

    def pooled(self, tokens: Tensor, types: Tensor) -> Tensor:
        """Return what the match compares, (b, D), of single cells."""
        assert self.match is not None
        alone, _ = self.biases(types)
        return self.match.pool(self.before(tokens, types, (alone, alone)), types)


def apart_together(score: Tensor) -> Tensor:
    """Return two logits (..., 2) whose difference is the score (...)."""
    return torch.stack([-0.5 * score, 0.5 * score], dim=-1)


def n_parameters(model: nn.Module) -> int:
    """Return the number of trainable numbers."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
