"""Whether neighbours share transcripts of one of them, and which gene pairs that may fake."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import ndtr

from backend.core.errors import TooFewCells
from backend.models.spatialformer.genepairs import GenePairs, gene_pair_tests
from backend.models.spatialformer.type_contacts import find_contacts

#: Cells so near adjoin; cells of the ring share surroundings and no transcripts, micrometres.
ADJACENT, NOT_ADJACENT = 15.0, (25.0, 60.0)
#: A spill-over is warned of below this p.
ALPHA = 0.01
#: Both cells of a pair must show a trace of spilling genes: z of the same gene on both sides.
TRACE = 2.0
#: A gene this much commoner in the other type may have come from there.
FOLD = 2.0


class Spill(NamedTuple):
    """A test of spilled transcripts: pairs of one gene against all others.

    same : mean z of pairs of one gene;  other : mean z of all other pairs
    p : chance of that difference without spill;  n : genes on both sides
    """

    same: float
    other: float
    p: float
    n: int

    @property
    def warns(self) -> bool:
        """Whether a person must be told."""
        return self.p < ALPHA


def spill_test(
    values: csr_matrix,
    xy: NDArray[np.float32],
    is_a: NDArray[np.bool_],
    is_b: NDArray[np.bool_],
) -> Spill | None:
    """Return whether pairs of one gene stand out between adjacent cells; None if too few adjoin.

    Parameters
    ----------
    values : (n, g) csr_matrix
        Log-normalised expression.
    xy : (n, 2) float32
    is_a, is_b : (n,) bool

    Notes
    -----
    A transcript that is counted in the neighbour makes the same gene go together on both sides,
    whatever the gene, and only where cells adjoin. So contacts within 15 um are compared with
    cells 25-60 um apart, which share local gradients but no transcripts; the mean z of pairs of one
    gene is compared with that of other pairs, whose spread is known without spill.
    """
    try:
        contacts = find_contacts(xy, is_a, is_b, ADJACENT, NOT_ADJACENT)
    except TooFewCells:
        return None
    pairs = gene_pair_tests(values, contacts)
    i, j = _same(pairs)
    if len(i) < 2:
        return None
    own = float(pairs.z[i, j].mean())
    total = pairs.z.sum() - pairs.z[i, j].sum()
    other = float(total / max(pairs.z.size - len(i), 1))
    genes = pairs.genes_a[i]
    spread = _mean_spread(values[contacts.a][:, genes], values[contacts.b][:, genes])
    return Spill(own, other, float(ndtr(-(own - other) / spread)), len(i))


def _mean_spread(a: csr_matrix, b: csr_matrix) -> float:
    """Return the standard deviation of the mean of same-gene z, whose genes are correlated.

    Two of them correlate as the genes do in A times as they do in B.
    """
    product = _correlation(a) * _correlation(b)
    return float(np.sqrt(max(np.nanmean(product), 1 / a.shape[1])))


def _correlation(x: csr_matrix) -> NDArray[np.float64]:
    """Return the correlation of the columns of sparse values, (g, g); nan where one is constant."""
    n = x.shape[0]
    mean = np.asarray(x.mean(axis=0)).ravel()
    covariance = np.asarray((x.T @ x).todense()) / n - np.outer(mean, mean)
    spread = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    spread[spread < 1e-9] = np.nan
    return np.asarray(covariance / np.outer(spread, spread))


def spill_suspects(
    values: csr_matrix,
    pairs: GenePairs,
    rows_a: NDArray[np.int64],
    rows_b: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Return which pairs (g, h) spilled transcripts may have made.

    A pair of one gene; or one with a gene that the other type has at least twice as much of and
    that also goes together with itself across the two cells (z above 2).
    """
    level_a = np.asarray(values[rows_a].mean(axis=0)).ravel()
    level_b = np.asarray(values[rows_b].mean(axis=0)).ravel()
    trace = np.zeros(values.shape[1], bool)
    i, j = _same(pairs)
    trace[pairs.genes_a[i]] = pairs.z[i, j] > TRACE
    into_a = (trace & (level_b > FOLD * level_a))[pairs.genes_a]
    into_b = (trace & (level_a > FOLD * level_b))[pairs.genes_b]
    same = pairs.genes_a[:, None] == pairs.genes_b[None, :]
    return np.asarray(same | into_a[:, None] | into_b[None, :])


def _same(pairs: GenePairs) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the places of pairs of one gene."""
    _, i, j = np.intersect1d(pairs.genes_a, pairs.genes_b, return_indices=True)
    return i, j
