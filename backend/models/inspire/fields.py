"""A hidden Markov random field of domains, each a mixture of kinds of cells.

A cell is of one kind (a cluster of its shares of factors) and in one domain. A domain draws kinds
with frequencies of its own, and neighbours tend to be of one domain, with a weight that is found
by maximum pseudo-likelihood (Besag, J R Stat Soc D 24, 179 (1975)): thin layers and broad regions
set their own. Domains are found by expectation maximisation with a mean field. Kinds of cells
alone make no domains here: what a label says of a kind costs as much as the label says of itself,
unless neighbours foretell it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_diag, csr_matrix
from sklearn.cluster import KMeans, MiniBatchKMeans

from backend.models.inspire.em import Floats
from backend.models.inspire.inputs import Joined

#: Kinds of cells, cells per kind at least, and cells above which kinds are found in batches.
KINDS, CELLS_PER_KIND, MANY = 30, 20, 50_000
#: Passes at most, updates of the mean field in each, change of labels at which they stop.
PASSES, UPDATES, SETTLED = 60, 2, 1e-3
#: Cells above which fewer passes are done, and how many.
VERY_MANY, FEW = 100_000, 15
#: Doubt of a start, weight of neighbours at the start and at most, pseudo-cells of a frequency.
DOUBT, FIRST_TIES, MOST_TIES, PSEUDO = 0.1, 3.0, 30.0, 1.0


@dataclass(frozen=True, slots=True)
class Field:
    """Domains of all cells.

    Parameters
    ----------
    likely : (n, k) float64
        How likely every cell is in every domain.
    ties : float
        Weight of neighbours in nats: what a cell all of whose neighbours are in a domain gains.
    said : (n, k) float64
        Log of how much commoner the kind of a cell is in a domain than in all.
    """

    likely: Floats
    ties: float
    said: Floats


def hellinger(proportions: Sequence[Floats]) -> list[Floats]:
    """Return roots of shares: their distance is Hellinger's, which heeds small shares too."""
    return [np.sqrt(p) for p in proportions]


def graph_of(data: Joined) -> csr_matrix:
    """Return the neighbours of all sections as one sparse (n, n) matrix."""
    return csr_matrix(block_diag([c.near for c in data.sections], format="csr"))


def kinds_of(proportions: Sequence[Floats], seed: int) -> csr_matrix:
    """Return which kind every cell is of, as a sparse (n, kinds) matrix of ones."""
    z = np.vstack(hellinger(proportions))
    kinds = max(2, min(KINDS, len(z) // CELLS_PER_KIND))
    method = MiniBatchKMeans if len(z) > MANY else KMeans
    with warnings.catch_warnings():
        # Fewer distinct cells than kinds is no fault of the data.
        warnings.simplefilter("ignore")
        found = method(kinds, n_init=4, random_state=seed).fit_predict(z)
    used, codes = np.unique(found, return_inverse=True)
    return csr_matrix((np.ones(len(z)), (np.arange(len(z)), codes)), shape=(len(z), len(used)))


def tie(near: csr_matrix, kinds: csr_matrix, first: NDArray[np.integer], k: int) -> Field:
    """Return the field that expectation maximisation finds from labels ``first``.

    Parameters
    ----------
    near : (n, n) csr_matrix
        Rows sum to 1 over the neighbours of a cell.
    kinds : (n, M) csr_matrix of ones
    first : (n,) labels
    k : int
        Number of domains.
    """
    begin = np.eye(k)[first] * (1 - DOUBT) + DOUBT / k
    field = Field(begin, FIRST_TIES, np.zeros_like(begin))
    for _ in range(PASSES if len(begin) <= VERY_MANY else FEW):
        before = field.likely
        field = settle(near, replace(field, said=frequencies(kinds, before)))
        if np.abs(field.likely - before).mean() < SETTLED:
            break
    return field


def frequencies(kinds: csr_matrix, likely: Floats) -> Floats:
    """Return how much commoner the kind of a cell is in every domain than in all, (n, k) logs."""
    overall = np.asarray(kinds.mean(axis=0)).ravel()
    own = np.asarray(kinds.T @ likely) + PSEUDO * overall[:, None]
    own /= own.sum(axis=0)
    return np.asarray(kinds @ np.log(own / overall[:, None]))


def settle(near: csr_matrix, field: Field) -> Field:
    """Return the field with the weight of neighbours, and labels, anew; ``said`` as it is."""
    likely = field.likely
    ties = strength(likely, near @ likely, field.ties)
    for _ in range(UPDATES):
        score = field.said + ties * (near @ likely)
        likely = np.exp(score - score.max(axis=1, keepdims=True))
        likely /= likely.sum(axis=1, keepdims=True)
    return replace(field, likely=likely, ties=ties)


def strength(likely: Floats, around: Floats, begin: float) -> float:
    """Return the weight of neighbours that makes labels likeliest given those around, by Newton."""
    ties = begin
    for _ in range(20):
        score = ties * around
        expected = np.exp(score - score.max(axis=1, keepdims=True))
        expected /= expected.sum(axis=1, keepdims=True)
        slope = ((likely - expected) * around).sum()
        mean = (expected * around).sum(axis=1)
        curve = (expected * around**2).sum() - (mean**2).sum() + 1e-6
        new = float(np.clip(ties + np.clip(slope / curve, -3.0, 3.0), 0.0, MOST_TIES))
        if abs(new - ties) < 1e-3:
            break
        ties = new
    return ties
