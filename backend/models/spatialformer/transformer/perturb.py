"""Forward perturbation: what the score of two cells loses when a gene is taken from each.

For genes i of A and j of B both tokens are removed, what follows closes up, and the pair is scored
again: n_A n_B forwards. Where the cells are matched, or meet in the last block only, the n_A
shortened first cells and n_B shortened second cells are encoded once each, n_A + n_B, and crossed:
the same numbers. A cell that has many neighbours is shortened once for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.models.spatialformer.transformer.keep import Pretrained
from backend.models.spatialformer.transformer.network import Former
from backend.models.spatialformer.transformer.score import (
    Encoded,
    cross_scores,
    encoded,
    pair_scores,
)
from backend.models.spatialformer.transformer.tokens import Ids, genes_each


@dataclass(frozen=True, slots=True)
class Removed:
    """Scores of two cells without a gene each.

    genes_a, genes_b : (p,), (q,) int64
        Tokens in order of rank.
    whole : float
        Score of the two cells as they are.
    without : (p + 1, q + 1) float32
        Scores; the last row keeps all genes of A, the last column all of B.
    """

    genes_a: Ids
    genes_b: Ids
    whole: float
    without: NDArray[np.float32]

    @property
    def both(self) -> NDArray[np.float32]:
        """Change of the score by removing both genes, (p, q)."""
        return self.without[:-1, :-1] - self.whole

    @property
    def pair(self) -> NDArray[np.float32]:
        """Second difference: what the pair loses beyond the two genes by themselves, (p, q)."""
        one = self.without[:-1, -1:] + self.without[-1:, :-1]
        return np.asarray(self.without[:-1, :-1] - one + self.whole, np.float32)


def remove_pairs(pretrained: Pretrained, a: Ids, b: Ids, meta: Ids) -> Removed:
    """Return the scores of cells ``a`` and ``b`` without every pair of their genes.

    Parameters
    ----------
    pretrained : Pretrained
        Of a model whose cells meet in the last block.
    a, b : (p,), (q,) int64
        Genes of both cells in order of rank; what does not fit the model is cut first.
    meta : (4,) int64
    """
    return cross_shortened(pretrained, shorten(pretrained, a, meta), shorten(pretrained, b, meta))


@dataclass(frozen=True, slots=True)
class Shortened:
    """A cell without each of its genes in turn, and last the whole cell, encoded.

    genes : (k,) int64, those that fit the model.
    """

    genes: Ids
    states: Encoded


def shorten(pretrained: Pretrained, cell: Ids, meta: Ids) -> Shortened:
    """Return a cell ready to be crossed with others, its lowest ranks cut where it is too long."""
    kept = cell[: genes_each(pretrained.model.size.longest)]
    return Shortened(kept, encoded(pretrained, shortened(kept), meta))


def cross_shortened(pretrained: Pretrained, a: Shortened, b: Shortened) -> Removed:
    """Return the scores of two cells without every pair of their genes."""
    without = cross_scores(pretrained, a.states, b.states)
    return Removed(a.genes, b.genes, float(without[-1, -1]), without)


def remove_pairs_one_by_one(model: Former, a: Ids, b: Ids, meta: Ids) -> Removed:
    """Return the same by one forward per perturbation and order, for a model of any kind."""
    room = genes_each(model.size.longest)
    a, b = a[:room], b[:room]
    rows, columns = shortened(a), shortened(b)
    without = np.zeros((len(rows), len(columns)), np.float32)
    for i, x in enumerate(rows):
        for j, y in enumerate(columns):
            without[i, j] = pair_scores(model, [x], [y], meta)[0][0]
    return Removed(a, b, float(without[-1, -1]), without)


def shortened(genes: Ids) -> list[Ids]:
    """Return the cell without each of its genes in turn, and last the whole cell."""
    return [np.delete(genes, i) for i in range(len(genes))] + [genes]
