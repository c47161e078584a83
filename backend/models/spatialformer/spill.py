"""Whether neighbours share transcripts of one of them, and which gene pairs that may fake."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import ndtr

from backend.models.spatialformer.genepairs import GenePairs

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


def spill_test(pairs: GenePairs) -> Spill:
    """Return whether pairs of one gene stand out, as they do where transcripts spill over.

    A transcript that is counted in the neighbour makes the same gene go together on both sides,
    whatever the gene; biology does so for few genes. The mean z of same-gene pairs is compared with
    that of other pairs; under no spill z are standard, and genes are taken as independent.
    """
    i, j = _same(pairs)
    if len(i) < 2:
        return Spill(0.0, float(pairs.z.mean()), 1.0, len(i))
    own = float(pairs.z[i, j].mean())
    total = pairs.z.sum() - pairs.z[i, j].sum()
    other = float(total / max(pairs.z.size - len(i), 1))
    p = float(ndtr(-(own - other) * np.sqrt(len(i))))
    return Spill(own, other, p, len(i))


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
