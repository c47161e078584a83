"""Domains from an ensemble: a partition per seed and start, their consensus, its posterior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.core.job import RunContext
from backend.models.spatialglue.consensus import agree
from backend.models.spatialglue.mixture import SAMPLE, Mixture, fit_mixture, refit


@dataclass(frozen=True, slots=True)
class Partition:
    """Domains of n spots, largest first.

    Parameters
    ----------
    labels : (n,) int64
    confidence : (n,) float32
        Mean posterior of the label over seeds.
    agreement : (n,) float32
        Share of members that agree.
    members : list of (n,) int16
        One per seed and start, seeds outermost; codes as drawn.
    mixtures : one per seed, started at the consensus; components in the order of the labels
    pairwise : float
        Mean adjusted Rand index between members.
    """

    labels: NDArray[np.int64]
    confidence: NDArray[np.float32]
    agreement: NDArray[np.float32]
    members: list[NDArray[np.int16]]
    mixtures: tuple[Mixture, ...]
    pairwise: float


def partition(
    embeddings: Sequence[NDArray[np.floating]], k: int, starts: int, seed: int, ctx: RunContext
) -> Partition:
    """Return the domains that all seeds and starts agree on.

    Parameters
    ----------
    embeddings : R arrays (n, a)
    k : int
    starts : int
        Mixtures fitted per seed, each the best of a few draws.
    seed : int
    ctx : RunContext
    """
    members = []
    for r, x in enumerate(embeddings):
        for s in range(starts):
            ctx.step((r * starts + s) / (len(embeddings) * starts) * 0.8, "Drawing domains")
            rng = np.random.default_rng([seed, r, s])
            found = fit_mixture(x, k, rng).log_joint(x).argmax(axis=1)
            members.append(found.astype(np.int16))
    ctx.step(0.8, "Finding what all starts agree on")
    consensus = agree(members, k)
    order = np.argsort(-np.bincount(consensus.labels, minlength=k), kind="stable")
    labels = np.argsort(order)[consensus.labels]
    mixtures, posterior = _from(labels, embeddings, k, seed)
    called = posterior.argmax(axis=1)
    confidence = posterior[np.arange(len(called)), called].astype(np.float32)
    agreement = np.where(called == labels, consensus.agreement, 1 - consensus.agreement)
    return Partition(
        called, confidence, agreement.astype(np.float32), members, mixtures, consensus.pairwise
    )


def posterior_of(
    mixtures: Sequence[Mixture], embeddings: Sequence[NDArray[np.floating]]
) -> NDArray[np.float64]:
    """Return the posterior averaged over seeds, (n, k)."""
    total = np.zeros((len(embeddings[0]), len(mixtures[0].share)))
    for mixture, x in zip(mixtures, embeddings, strict=True):
        total += mixture.posterior(x)
    return total / len(mixtures)


def _from(
    labels: NDArray[np.int64], embeddings: Sequence[NDArray[np.floating]], k: int, seed: int
) -> tuple[tuple[Mixture, ...], NDArray[np.float64]]:
    """Mixtures that EM reaches from the consensus, and their mean posterior."""
    rows = np.arange(len(labels))
    if len(rows) > SAMPLE:
        rows = np.sort(np.random.default_rng(seed).choice(rows, SAMPLE, replace=False))
    one = np.eye(k)[labels[rows]]
    mixtures = tuple(refit(x[rows], one) for x in embeddings)
    return mixtures, posterior_of(mixtures, embeddings)
