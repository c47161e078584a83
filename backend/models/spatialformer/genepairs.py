"""Gene pairs of two types that touch: exact second differences, tested by block permutation.

Gene-pair perturbation (SpatialFormer) removes gene g from a cell of type A and gene h from one of
type B and asks how the co-localisation score falls. In the bilinear pair model
s(a, b) = c + u'r_a + v'r_b + r_a' W r_b the part that belongs to the pair is exactly
s(both) - s(g) - s(h) + s = alpha beta W_gh, where removal lowers r by alpha and beta. W is
proportional to U = R_A' M R_B, with R the expression standardised within type and M the contacts
less what cells 80-150 um apart would give. So all pairs cost one product of matrices.

Deviations: the published t-test on effects of removal is not used. Expression is never negative, so
that test finds the sign of the fitted W everywhere; here U is compared with permutations of the
contacting cells of A inside blocks of 150 um, by their exact mean and variance. Expression that
varies over less than a block would pass for a pair, so p also has to hold within 75 um blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree
from scipy.special import ndtr
from scipy.stats import false_discovery_control

from backend.core.errors import TooFewCells
from backend.models.common.prep import gene_statistics
from backend.models.spatialformer.pairs import HARD, RADIUS, cell_graph

#: Sides of blocks in which contacting cells are exchanged, micrometres: of the test, and smaller
#: ones. A pair that is no surprise within the smaller blocks follows a gradient, not contacts.
BLOCK, LOCAL = 150.0, 75.0
#: A pair must be less likely than this within the smaller blocks.
LOCAL_P = 0.001
#: Share of the cells of a type that must show a gene, and the bound of a standardised value.
LEAST_SHOWN, MOST = 0.05, 4.0
#: Contacting cells of each type, and contacts, without which nothing is tested.
LEAST_TOUCHING, LEAST_CONTACTS = 30, 100
#: Ridge of the decorrelated effect.
RIDGE = 0.3


@dataclass(frozen=True, slots=True)
class Contacts:
    """Cells of two types that touch, in one or several sections or regions.

    a, b : (n_a,), (n_b,) int64
        Rows of cells of type A that touch one of type B, and of all cells of type B.
    near, control : (n_a, n_b) csr_matrix of float32
        Cells at most 30 um apart; cells 80-150 um apart.
    block, local : (n_a,) int64
        Block of each contacting cell of A, and the smaller one.
    """

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    near: csr_matrix
    control: csr_matrix
    block: NDArray[np.int64]
    local: NDArray[np.int64]

    @property
    def count(self) -> int:
        """Number of contacts."""
        return int(self.near.nnz)

    def margin(self) -> csr_matrix:
        """Return M = P - diag(deg P / deg N) N, (n_a, n_b); rows without a control are zero."""
        near = np.diff(self.near.indptr).astype(np.float64)
        far = np.diff(self.control.indptr).astype(np.float64)
        able = far > 0
        scale = np.where(able, near / np.where(able, far, 1), 0.0)
        left = self.near.multiply(able[:, None]) - self.control.multiply(scale[:, None])
        return csr_matrix(left)


@dataclass(frozen=True, slots=True)
class GenePairs:
    """Every gene of A with every gene of B.

    Parameters
    ----------
    genes_a, genes_b : (g,), (h,) int64
        Columns that were tested.
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


def find_contacts(
    xy: NDArray[np.float32],
    is_a: NDArray[np.bool_],
    is_b: NDArray[np.bool_],
    radius: float = RADIUS,
    ring: tuple[float, float] = HARD,
) -> Contacts:
    """Return the contacts of two types in one section; controls lie ``ring`` um apart.

    Raises
    ------
    TooFewCells
        Saying how many contacts there are and how many are needed.
    """
    b = np.flatnonzero(is_b)
    own = cell_graph(xy, radius)[np.flatnonzero(is_a)][:, b]
    touching = np.diff(own.indptr) > 0
    a = np.flatnonzero(is_a)[touching]
    near = csr_matrix(own[touching])
    partners = len(np.unique(near.indices))
    if min(len(a), partners) < LEAST_TOUCHING or near.nnz < LEAST_CONTACTS:
        raise TooFewCells(
            f"The two types have {near.nnz:,} contacts within {radius:g} um, between {len(a):,} "
            f"and {partners:,} cells.",
            f"{LEAST_CONTACTS} contacts between at least {LEAST_TOUCHING} cells of each type are "
            "needed; choose a larger region, coarser types or a larger radius.",
        )
    control = csr_matrix(_ring(xy, a, ring)[:, b])
    return Contacts(a, b, near, control, _blocks(xy[a], BLOCK), _blocks(xy[a], LOCAL))


def _blocks(xy: NDArray[np.float32], side: float) -> NDArray[np.int64]:
    """Return the square of each cell."""
    square = np.floor((xy - xy.min(axis=0)) / side).astype(np.int64)
    return np.unique(square, axis=0, return_inverse=True)[1].ravel()


def gene_pair_tests(
    values: csr_matrix,
    contacts: Contacts,
    rows_a: NDArray[np.int64],
    same_type: bool = False,
) -> GenePairs:
    """Return the test of every gene pair of two types.

    Parameters
    ----------
    values : (n, g) csr_matrix
        Log-normalised expression of all cells of the section.
    contacts : Contacts
    rows_a : (m,) int64
        All cells of type A, by which genes are standardised.
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
    of squares SS of R_A and T in the block. Where p within the smaller blocks is not below .001, or
    is of the other sign, the larger of the two p is kept.
    """
    genes_a, r_a, up_a = _standardised(values, rows_a, contacts.a)
    genes_b, r_b, up_b = _standardised(values, contacts.b, contacts.b)
    t = np.asarray(contacts.margin() @ r_b)
    u = r_a.T @ t
    twice = np.ones_like(u)
    if same_type:
        twice = 1 + np.minimum(_correlation(r_a, r_b, genes_a, genes_b) ** 2, 1)
    expected, variance = _moments(r_a, t, contacts.block)
    z = _scores(u - expected, variance * twice)
    middle, spread = _moments(r_a, t, contacts.local)
    near = _scores(u - middle, spread * twice)
    p, local = _two_sided(z), _two_sided(near)
    p = np.where((local < LOCAL_P) & (np.sign(near) == np.sign(z)), p, np.maximum(p, local))
    q = false_discovery_control(p.ravel()).reshape(p.shape)
    effect = _effect(r_a, r_b, u - expected, contacts.count) * np.outer(up_a, up_b)
    shown = values.astype(bool).astype(np.float64)
    own_a, own_b = shown[contacts.a][:, genes_a], shown[contacts.b][:, genes_b]
    return GenePairs(
        genes_a, genes_b, u, expected, z, p, q, effect, _risk_ratio(own_a, own_b, contacts.near)
    )


def _standardised(
    values: csr_matrix, of: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return genes shown by enough cells, their values standardised within type, and the step.

    The step is how far removal lowers the value of a cell that shows the gene.
    """
    own = csr_matrix(values[of])
    share = np.bincount(own.indices, minlength=own.shape[1]) / max(len(of), 1)
    mean, sd = gene_statistics(own)
    genes = np.flatnonzero((share >= LEAST_SHOWN) & (sd > 1e-6))
    if not len(genes):
        raise TooFewCells(
            f"No gene is shown by {LEAST_SHOWN:.0%} of the {len(of):,} cells of a type.",
            "Choose a coarser type, or a section with more counts per cell.",
        )
    r = (values[rows][:, genes].toarray() - mean[genes]) / sd[genes]
    step = mean[genes] / share[genes] / sd[genes]
    return genes, np.clip(r, -MOST, MOST), step


def _scores(above: NDArray[np.float64], variance: NDArray[np.float64]) -> NDArray[np.float64]:
    able = variance > 1e-9
    return np.where(able, above / np.sqrt(np.where(able, variance, 1.0)), 0.0)


def _two_sided(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(2 * ndtr(-np.abs(z)), 1e-300)


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


def _correlation(
    r_a: NDArray[np.float64],
    r_b: NDArray[np.float64],
    genes_a: NDArray[np.int64],
    genes_b: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the correlation of genes within cells (g, h); both sides are one type."""
    place = {int(g): i for i, g in enumerate(genes_b)}
    able = [g for g in genes_a if int(g) in place]
    both = r_b[:, [place[int(g)] for g in able]]
    out = np.zeros((len(genes_a), len(genes_b)))
    scaled = (both - both.mean(axis=0)) / np.maximum(both.std(axis=0), 1e-9)
    other = (r_b - r_b.mean(axis=0)) / np.maximum(r_b.std(axis=0), 1e-9)
    out[np.isin(genes_a, able)] = scaled.T @ other / len(r_b)
    return out


def _effect(
    r_a: NDArray[np.float64], r_b: NDArray[np.float64], u: NDArray[np.float64], contacts: int
) -> NDArray[np.float64]:
    """Return W by one ridge step from zero: (C_A + .3 I)^-1 U (C_B + .3 I)^-1 per contact."""
    left = np.linalg.solve(_covariance(r_a), u)
    return np.asarray(np.linalg.solve(_covariance(r_b), left.T).T / max(contacts, 1))


def _covariance(r: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = r - r.mean(axis=0)
    return np.asarray(centred.T @ centred / len(r) + RIDGE * np.eye(r.shape[1]))


def _risk_ratio(a: csr_matrix, b: csr_matrix, near: csr_matrix) -> NDArray[np.float64]:
    """Return how much likelier a contact's B cell shows h where the A cell shows g, (g, h)."""
    reached = np.asarray((near @ b).todense())
    degree = np.diff(near.indptr).astype(np.float64)
    with_g = np.asarray(a.T @ reached)
    n_with = np.asarray(a.T @ degree)[:, None]
    without = reached.sum(axis=0)[None, :] - with_g
    n_without = degree.sum() - n_with
    return np.asarray(((with_g + 0.5) / (n_with + 1)) / ((without + 0.5) / (n_without + 1)))


def _ring(
    xy: NDArray[np.float32], rows: NDArray[np.int64], ring: tuple[float, float]
) -> csr_matrix:
    """Return the cells within a ring around each of ``rows``."""
    places = np.asarray(xy, dtype=np.float64)
    found = cKDTree(places[rows]).sparse_distance_matrix(
        cKDTree(places), ring[1], output_type="ndarray"
    )
    found = found[found["v"] >= ring[0]]
    ones = np.ones(len(found), np.float32)
    return csr_matrix((ones, (found["i"], found["j"])), shape=(len(rows), len(places)))
