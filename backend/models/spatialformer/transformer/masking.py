"""Masked tokens: which are hidden, and by what."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backend.models.spatialformer.transformer.vocabulary import CLS, MASK, PAD, SEP

Ids = NDArray[np.int64]
#: Share of tokens that are chosen, and what becomes of them: 81 % MASK, 10 % another, 9 % stay.
CHOSEN, MASKED, SWAPPED = 0.15, 0.81, 0.10


def masked(
    tokens: Ids, first_gene: int, n_tokens: int, random: np.random.Generator
) -> tuple[Ids, NDArray[np.bool_]]:
    """Return tokens with some hidden, and which positions are to be told, both (b, t).

    Parameters
    ----------
    tokens : (b, t) int64
        PAD, CLS and SEP are never chosen; meta tokens are.
    first_gene, n_tokens : int
        Random tokens are genes (the published range takes in tissues and leaves out the last
        genes).
    random : numpy Generator
    """
    able = ~np.isin(tokens, (PAD, CLS, SEP))
    chosen = able & (random.random(tokens.shape) < CHOSEN)
    fate = random.random(tokens.shape)
    hidden = np.where(chosen & (fate < MASKED), MASK, tokens)
    swap = chosen & (fate >= MASKED) & (fate < MASKED + SWAPPED)
    other = random.integers(first_gene, n_tokens, tokens.shape)
    return np.where(swap, other, hidden), chosen
