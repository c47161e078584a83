"""Random streams: one per purpose, epoch and section, all from one seed.

A stream depends on its place alone. So an interrupted training goes on exactly where it was, and
several processes that share the sections draw what a single one would.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch


class Draw(IntEnum):
    """What a stream is for."""

    SPLIT = 0
    ORDER = 1
    ENCODER = 2
    ADVERSARY = 3
    NOISE = 4
    VALIDATION = 5
    CLUSTERS = 6
    REFERENCE = 7


def stream(seed: int, draw: Draw, *place: int) -> torch.Generator:
    """Return the generator of ``draw`` at ``place`` (phase, epoch, section and the like)."""
    return torch.Generator().manual_seed(number(seed, draw, *place))


def number(seed: int, draw: Draw, *place: int) -> int:
    """Return the seed of the stream of ``draw`` at ``place``, below 2**63."""
    words = np.random.SeedSequence([seed, int(draw), *place]).generate_state(2)
    return int(words[0]) << 31 | int(words[1]) >> 1
