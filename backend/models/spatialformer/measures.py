"""How well scores tell neighbours from other cells, and predicted niches from real ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from backend.models.spatialformer.pairs import EASY_NEGATIVE, HARD_NEGATIVE, POSITIVE, Pairs

#: Pairs of groups with fewer pairs than this of either kind say nothing by themselves.
LEAST_OF_GROUPS = 5


def auc(above: NDArray[np.float64], below: NDArray[np.float64]) -> float:
    """Return the chance that one of ``above`` exceeds one of ``below``; ties count half."""
    if not len(above) or not len(below):
        return float("nan")
    ranks = rankdata(np.concatenate([above, below]))[: len(above)].sum()
    return float((ranks - len(above) * (len(above) + 1) / 2) / (len(above) * len(below)))


def pair_aucs(
    scores: NDArray[np.float64], pairs: Pairs, groups: NDArray[np.int64] | None = None
) -> dict[str, float]:
    """Return ``hard`` and ``easy`` AUC, and ``within`` where groups of the cells are given.

    Parameters
    ----------
    scores : (m,) float64
    pairs : Pairs
    groups : (n,) int64, optional
        ``within`` compares hard negatives with neighbours of the same two groups only, averaged
        by the number of comparisons; what a frequency of types knows is .5 there.
    """
    near = pairs.kind == POSITIVE
    found = {
        "hard": auc(scores[near], scores[pairs.kind == HARD_NEGATIVE]),
        "easy": auc(scores[near], scores[pairs.kind == EASY_NEGATIVE]),
    }
    if groups is not None:
        found["within"] = _within(scores, pairs, groups)
    return found


def jensen_shannon(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Jensen-Shannon divergence of each row of two compositions (n, k), in nats.

    Notes
    -----
    (KL(P|M) + KL(Q|M)) / 2 with M their mean (Lin 1991); 0 if alike, ln 2 if disjoint.
    """
    m = (p + q) / 2
    return np.asarray((_relative(p, m) + _relative(q, m)) / 2)


def _relative(p: NDArray[np.float64], m: NDArray[np.float64]) -> NDArray[np.float64]:
    filled = p > 0
    ratio = np.where(filled, p, 1.0) / np.where(filled, m, 1.0)
    return np.asarray((np.where(filled, p, 0.0) * np.log(ratio)).sum(axis=-1))


def _within(scores: NDArray[np.float64], pairs: Pairs, groups: NDArray[np.int64]) -> float:
    a, b = groups[pairs.a], groups[pairs.b]
    both = np.minimum(a, b) * (groups.max() + 1) + np.maximum(a, b)
    kept = pairs.kind != EASY_NEGATIVE
    order = np.flatnonzero(kept)[np.argsort(both[kept], kind="stable")]
    total, weight = 0.0, 0
    for own in np.split(order, np.flatnonzero(np.diff(both[order])) + 1):
        near = scores[own[pairs.kind[own] == POSITIVE]]
        far = scores[own[pairs.kind[own] == HARD_NEGATIVE]]
        if min(len(near), len(far)) >= LEAST_OF_GROUPS:
            total += auc(near, far) * len(near) * len(far)
            weight += len(near) * len(far)
    return total / weight if weight else float("nan")
