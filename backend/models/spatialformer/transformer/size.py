"""Sizes of the transformer: the two published ones and the small one that is shipped."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from backend.core.errors import BadCheckpoint

CoHead = Literal["additive", "bilinear"]
PairHead = Literal["cls", "match"]


@dataclass(frozen=True, slots=True)
class Size:
    """What fixes the shapes of a transformer.

    Parameters
    ----------
    tokens : int
        Size of the vocabulary V.
    width : int
        D; blocks, heads : L and H; ``width`` is a multiple of ``heads``.
    longest : int
        Tokens of a sequence, at most.
    co_head : str
        "additive" (generation 1: w1.h_i + w2.h_j) or "bilinear" (generation 2: (P h_i).(Q h_j)).
    co_rank : int
        Rows of P and Q.
    kernel : int
        Width of the convolution.
    apart : int
        Leading blocks in which the two cells of a pair do not see each other. 0 as published. With
        ``blocks - 1`` every cell is encoded once and pairs cost one attention of CLS (see
        ``crossing.py``).
    pair_head : str
        "cls" (published: a linear map of CLS of both cells), or "match": two single cells are
        pooled and compared (see ``match.py``).
    prior : bool
        Whether a gene prior is added to the token embedding.
    dropout, drop_path : float
    """

    tokens: int
    width: int = 512
    blocks: int = 10
    heads: int = 64
    longest: int = 500
    co_head: CoHead = "bilinear"
    co_rank: int = 128
    kernel: int = 17
    apart: int = 0
    pair_head: PairHead = "cls"
    prior: bool = True
    dropout: float = 0.1
    drop_path: float = 0.1

    @property
    def head_width(self) -> int:
        """Channels of one head."""
        return self.width // self.heads

    def as_json(self) -> dict[str, Any]:
        """Return the size for a card."""
        return asdict(self)


def size_of(values: dict[str, Any]) -> Size:
    """Return the size that a card records; cards from before there was a match have no pair head.

    Raises
    ------
    BadCheckpoint
        If a field is missing or unknown.
    """
    known = {f.name for f in fields(Size)}
    values = {"pair_head": "cls", **values}
    if set(values) != known:
        raise BadCheckpoint(
            "The checkpoint does not give the size of its transformer as this program knows it.",
            "Train it again, or use the version of the program that wrote it.",
        )
    return Size(**values)


def published(generation: Literal[1, 2]) -> Size:
    """Return the published large size: 1,950 tokens (the paper) or 6,065 (the 5k panel)."""
    if generation == 1:
        return Size(tokens=1950, co_head="additive")
    return Size(tokens=6065, co_head="bilinear")


def small(tokens: int) -> Size:
    """Return the size that is trained here: 128 wide, 4 blocks, cells are matched."""
    return Size(
        tokens, width=128, blocks=4, heads=8, longest=107, co_rank=32, apart=3,
        pair_head="match", dropout=0.0, drop_path=0.0,
    )  # fmt: skip
