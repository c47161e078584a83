"""Gene pairs of two types that touch: exact second differences, tested by block permutation.

Gene-pair perturbation (SpatialFormer) removes gene g from a cell of type A and gene h from one of
type B and asks how the co-localisation score falls. In the bilinear pair model
s(a, b) = c + u'r_a + v'r_b + r_a' W r_b the part that belongs to the pair is exactly
s(both) - s(g) - s(h) + s = alpha beta W_gh, where removal lowers r by alpha and beta. W is
proportional to U = R_A' M R_B, with R the deviations from type and surroundings (``deviations.py``)
and M the mean of the cells that touch less that of cells 80-150 um apart. So all pairs cost one
product of matrices.

Deviations: the published t-test on effects of removal is not used. Expression is never negative, so
that test finds the sign of the fitted W everywhere; here U is compared with permutations of the
contacting cells of A inside blocks of 150 um, by their exact mean and variance. Expression that
varies over less than a block would pass for a pair, on whichever side it is not exchanged; so what
the cells of the own type within 75 um have in common is taken off both sides first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import ndtr
from scipy.stats import false_discovery_control

from backend.models.spatialformer.deviations import Deviations, deviations
from backend.models.spatialformer.pair_effects import RIDGE, covariance, decorrelated, risk_ratio
from backend.models.spatialformer.type_contacts import Contacts


@dataclass(frozen=True, slots=True)
class GenePairs:
    """Every gene of A with every gene of B.

    Parameters
    ----------
    genes_a, genes_b : (g,), (h,) int64
        Columns that were tested: shown by 5 % of the type, the 2,000 most often shown at most.
    u, expected, z, p, q : (g, h) float64
        The statistic, its mean under exchange, its standard score, two-sided p, and p adjusted
        over all pairs (Benjamini and Hochberg 1995).
    effect : (g, h) float64
        Second difference of removing both genes from a typical pair of cells that show them.
    ratio : (g, h) float64
        Risk ratio: how much likelier a contact shows h if the A cell shows g than if it does not.
    """

    genes_a: NDArray[np.int64]
    genes_b: NDArray[np.int64]
    u: NDArray[np.float64]
    expected: NDArray[np.float64]
    z: NDArray[np.float64]
    p: NDArray[np.float64]
    q: NDArray[np.float64]
    effect: NDArray[np.float64]
    ratio: NDArray[np.float64]


def gene_pair_tests(values: csr_matrix, contacts: Contacts, same_type: bool = False) -> GenePairs:
    """Return the test of every gene pair of two types.

    Parameters
    ----------
    values : (n, g) csr_matrix
        Log-normalised expression of all cells of the section.
    contacts : Contacts
    same_type : bool
        Whether A and B are one type: each contact then counts from both sides, and the variance
        allows for it.

    Raises
    ------
    TooFewCells
        If no gene is shown by enough cells.

    Notes
    -----
    Exchange of the contacting cells of A within blocks b of n_b cells, T = M R_B held fixed:
    E U = sum_b n_b m_b m'_b, Var U = sum_b SS_b SS'_b / (n_b - 1), with means m and centred sums
    of squares SS of R_A and T in the block.
    """
    a = deviations(values, contacts.a, contacts.all_a, contacts.around_a)
    b = deviations(values, contacts.b, contacts.b, contacts.around_b)
    u, expected, variance = _statistics(a, b, contacts)
    if same_type:
        variance = variance * (1 + np.minimum(_correlation(a, b) ** 2, 1))
    z = _scores(u - expected, variance)
    p = np.maximum(2 * ndtr(-np.abs(z)), 1e-300)
    q = false_discovery_control(p.ravel()).reshape(p.shape)
    effect = decorrelated(a, b, u - expected) * np.outer(a.step, b.step)
    shown = values.astype(bool).astype(np.float64)
    own_a, own_b = shown[contacts.a][:, a.genes], shown[contacts.b][:, b.genes]
    ratio = risk_ratio(own_a, own_b, contacts.near)
    return GenePairs(a.genes, b.genes, u, expected, z, p, q, effect, ratio)


def _statistics(
    a: Deviations, b: Deviations, contacts: Contacts
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return U with its mean and variance under exchange, (g, h) each, by blocks of genes."""
    margin = contacts.margin()
    out = tuple(np.zeros((len(a.genes), len(b.genes))) for _ in range(3))
    for columns in b.blocks():
        t = np.asarray(margin @ b.dense(columns))
        for rows in a.blocks():
            r = a.dense(rows)
            found = (r.T @ t, *_moments(r, t, contacts.block))
            for whole, part in zip(out, found, strict=True):
                whole[rows, columns] = part
    return out[0], out[1], out[2]


def _scores(above: NDArray[np.float64], variance: NDArray[np.float64]) -> NDArray[np.float64]:
    able = variance > 1e-9
    return np.where(able, above / np.sqrt(np.where(able, variance, 1.0)), 0.0)


def _moments(
    r: NDArray[np.float64], t: NDArray[np.float64], block: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and variance (g, h) of r't under exchange of rows of r within blocks."""
    k = int(block.max()) + 1
    pool = csr_matrix((np.ones(len(block)), (block, np.arange(len(block)))), shape=(k, len(block)))
    n = np.bincount(block, minlength=k)[:, None].astype(np.float64)
    sum_r, sum_t = pool @ r, pool @ t
    spread_r = np.maximum(pool @ r**2 - sum_r**2 / n, 0.0)
    spread_t = np.maximum(pool @ t**2 - sum_t**2 / n, 0.0)
    expected = (sum_r / n).T @ sum_t
    return np.asarray(expected), np.asarray((spread_r / np.maximum(n - 1, 1)).T @ spread_t)


def _correlation(a: Deviations, b: Deviations) -> NDArray[np.float64]:
    """Return the correlation of genes within cells (g, h); both sides are one type."""
    found = covariance(b) - RIDGE * np.eye(len(b.genes))
    spread = np.sqrt(np.diag(found))
    found = found / np.outer(spread, spread)
    return np.asarray(found[np.searchsorted(b.genes, a.genes)])
