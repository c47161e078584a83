"""Evidence over all seeds and starts: mean, spread, per domain, and how stable it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from backend.core.job import RunContext
from backend.models.spatialglue.evidence import (
    Subset,
    evidence_bits,
    subset_gaussians,
    weights_of,
)
from backend.models.spatialglue.mixture import Mixture

#: Spots on which rank correlations are computed.
RANKED = 20_000


@dataclass(frozen=True, slots=True)
class Weights:
    """Evidence of M modalities in n spots.

    Parameters
    ----------
    bits : (n, M) float32
        Mean over seeds and starts.
    weight : (n, M) float32
        Of the mean bits; rows sum to 1.
    spread : (n, M) float32
        Standard deviation of the weight over seeds and starts.
    by_domain : (R, k, M) float64
        Mean weight of each domain under each seed (mean over its starts).
    bits_by_domain : (R, k, M) float64
    spearman : (pairs, M) float64
        Rank correlation of spot weights between seeds; nan for a weight that never varies.
    gaussians : mapping of subset to Mixture
        Of the consensus, for new spots.
    """

    bits: NDArray[np.float32]
    weight: NDArray[np.float32]
    spread: NDArray[np.float32]
    by_domain: NDArray[np.float64]
    bits_by_domain: NDArray[np.float64]
    spearman: NDArray[np.float64]
    gaussians: dict[Subset, Mixture]


def weigh(
    axes: list[NDArray[np.float32]],
    present: NDArray[np.bool_],
    labels: NDArray[np.int64],
    members: Sequence[NDArray[np.integer]],
    seeds: int,
    k: int,
    ctx: RunContext,
) -> Weights:
    """Return the evidence for the domains of every member, summed up.

    Parameters
    ----------
    axes : M arrays (n, a_m)
        Smoothed axes.
    present : (n, M) bool
    labels : (n,) int64
        Consensus.
    members : sequence of (n,) int
        Partitions, seeds outermost.
    seeds, k : int
    ctx : RunContext
    """
    n, m = present.shape
    total, square, bits = (np.zeros((n, m)) for _ in range(3))
    by_seed = np.zeros((seeds, n, m), np.float32)
    bits_by_domain = np.zeros((seeds, k, m))
    starts = len(members) // seeds
    for i, member in enumerate(members):
        ctx.step(i / len(members), "Weighing the evidence")
        own = evidence_of(axes, present, member, k)
        weight = weights_of(own, present)
        bits += own
        total += weight
        square += weight.astype(np.float64) ** 2
        by_seed[i // starts] += weight / starts
        bits_by_domain[i // starts] += domain_means(own, labels, k, present) / starts
    count = len(members)
    spread = np.sqrt(np.maximum(square / count - (total / count) ** 2, 0.0))
    mean_bits = (bits / count).astype(np.float32)
    return Weights(
        mean_bits,
        weights_of(mean_bits, present),
        spread.astype(np.float32),
        np.stack([domain_means(w, labels, k, present) for w in by_seed]),
        bits_by_domain,
        _spearman(by_seed, present),
        subset_gaussians(axes, present, labels, k),
    )


def evidence_of(
    axes: list[NDArray[np.float32]],
    present: NDArray[np.bool_],
    labels: NDArray[np.integer],
    k: int,
) -> NDArray[np.float32]:
    """Return the bits of one partition, (n, M)."""
    share = np.bincount(labels, minlength=k) / len(labels)
    return evidence_bits(axes, present, subset_gaussians(axes, present, labels, k), share)


def domain_means(
    values: NDArray[np.floating],
    labels: NDArray[np.integer],
    k: int,
    present: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return means over the spots of each domain that have the modality, (k, M); else nan."""
    columns = []
    for m in range(values.shape[1]):
        rows = present[:, m]
        size = np.bincount(labels[rows], minlength=k)
        total = np.bincount(labels[rows], values[rows, m], minlength=k)
        columns.append(np.divide(total, size, out=np.full(k, np.nan), where=size > 0))
    return np.stack(columns, axis=1)


def _spearman(by_seed: NDArray[np.float32], present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Rank correlations of all pairs of seeds, per modality."""
    pairs = list(combinations(range(len(by_seed)), 2))
    out = np.full((len(pairs), present.shape[1]), np.nan)
    for m in range(present.shape[1]):
        rows = np.flatnonzero(present[:, m])
        rows = rows[:: -(-len(rows) // RANKED)]
        ranks = np.array([rankdata(np.round(w[rows, m], 6)) for w in by_seed])
        ranks -= ranks.mean(axis=1, keepdims=True)
        norm = np.linalg.norm(ranks, axis=1)
        for p, (a, b) in enumerate(pairs):
            if norm[a] > 0 and norm[b] > 0:
                out[p, m] = ranks[a] @ ranks[b] / (norm[a] * norm[b])
    return out


def domain_correlation(by_domain: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return correlations between seeds of the domain means of each modality, (pairs, M).

    Parameters
    ----------
    by_domain : (R, k, M)
    """
    pairs = list(combinations(range(len(by_domain)), 2))
    out = np.full((len(pairs), by_domain.shape[2]), np.nan)
    for p, (a, b) in enumerate(pairs):
        for m in range(by_domain.shape[2]):
            x, y = by_domain[a, :, m], by_domain[b, :, m]
            known = np.isfinite(x) & np.isfinite(y)
            x, y = x[known] - x[known].mean(), y[known] - y[known].mean()
            norm = np.sqrt((x @ x) * (y @ y))
            out[p, m] = x @ y / norm if norm > 0 else np.nan
    return out
