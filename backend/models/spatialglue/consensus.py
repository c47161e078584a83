"""One partition from many: align the domains of all seeds and starts, and let them vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

#: Rounds of voting at most.
ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Consensus:
    """The partition that the members agree on.

    Parameters
    ----------
    labels : (n,) int64
    agreement : (n,) float32
        Share of the members that put the spot into its domain.
    pairwise : float
        Mean adjusted Rand index between members.
    """

    labels: NDArray[np.int64]
    agreement: NDArray[np.float32]
    pairwise: float


def agree(members: Sequence[NDArray[np.integer]], k: int) -> Consensus:
    """Return the consensus of several partitions into ``k`` domains.

    Parameters
    ----------
    members : R arrays (n,) int
        Codes 0 .. k - 1; the same domain may have another code in each.
    k : int

    Notes
    -----
    Starts from the member most like all others. Codes are matched by the assignment that keeps
    most spots (Hungarian method), in O(R (n + k^3)) per round.
    """
    rand = np.array([[adjusted_rand(a, b) for b in members] for a in members])
    labels = np.asarray(members[int(rand.sum(axis=1).argmax())], np.int64)
    spots = np.arange(len(labels))
    votes = np.zeros((len(labels), k), np.int32)
    for _ in range(ROUNDS):
        votes[:] = 0
        for member in members:
            votes[spots, aligned(member, labels, k)] += 1
        moved = votes.argmax(axis=1)
        if np.array_equal(moved, labels):
            break
        labels = moved
    others = ~np.eye(len(members), dtype=np.bool_)
    pairwise = float(rand[others].mean()) if len(members) > 1 else 1.0
    share = votes[spots, labels] / len(members)
    return Consensus(labels, share.astype(np.float32), pairwise)


def matching(codes: NDArray[np.integer], to: NDArray[np.integer], k: int) -> NDArray[np.int64]:
    """Return the code in ``to`` that each code of ``codes`` corresponds to, (k,)."""
    _, columns = linear_sum_assignment(-confusion(codes, to, k))
    return np.asarray(columns, np.int64)


def aligned(codes: NDArray[np.integer], to: NDArray[np.integer], k: int) -> NDArray[np.int64]:
    """Return ``codes`` renamed so that most spots have the code that they have in ``to``."""
    return matching(codes, to, k)[codes]


def confusion(a: NDArray[np.integer], b: NDArray[np.integer], k: int) -> NDArray[np.int64]:
    """Return how many spots have code i in ``a`` and j in ``b``, (k, k)."""
    return np.bincount(np.asarray(a, np.int64) * k + b, minlength=k * k).reshape(k, k)


def adjusted_rand(a: NDArray[np.integer], b: NDArray[np.integer]) -> float:
    """Return the adjusted Rand index of two partitions of the same spots."""
    k = int(max(a.max(), b.max())) + 1
    table = confusion(a, b, k).astype(np.float64)

    def pairs(x: NDArray[np.float64]) -> float:
        return float((x * (x - 1)).sum() / 2)

    together, rows, columns = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    chance = rows * columns / max(len(a) * (len(a) - 1) / 2, 1.0)
    most = (rows + columns) / 2
    return 1.0 if most == chance else (together - chance) / (most - chance)
