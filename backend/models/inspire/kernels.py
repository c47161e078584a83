"""Passes over the counts of a section: allotting them to factors, with or without overdispersion.

``rate_ig = sum_k t_ik v_gk`` where v already holds the scales of the section. Only non-zero counts
are visited by the Poisson pass; the overdispersed pass also weighs the zeros, cell by cell, and
never holds a table of cells by genes.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

#: What may be reordered in sums; values are finite.
FAST = {"reassoc", "contract", "arcp", "nsz"}
#: Least rate, so that no count is divided by zero.
TINY = 1e-12


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def allot(
    indptr: Ints, genes: Ints, y: NDArray[np.float32], t: Floats, v: Floats, own: Floats,
    programs: Floats,
) -> float:  # fmt: skip
    """Allot every count to the factors in proportion to their rates.

    Parameters
    ----------
    indptr, genes, y
        Counts as CSR; genes are columns of ``v``'s rows.
    t : (n, K) loadings of the cells
    v : (p, K) programs times the scales of the section
    own : (n, K) written: expected counts of every cell and factor
    programs : (p, K) added to: expected counts of every gene and factor

    Returns
    -------
    float
        Sum over counts of y log(rate).
    """
    likelihood = 0.0
    k_all = t.shape[1]
    for i in range(len(indptr) - 1):
        for k in range(k_all):
            own[i, k] = 0.0
        for j in range(indptr[i], indptr[i + 1]):
            g = genes[j]
            rate = TINY
            for k in range(k_all):
                rate += t[i, k] * v[g, k]
            likelihood += y[j] * np.log(rate)
            share = y[j] / rate
            for k in range(k_all):
                part = share * t[i, k] * v[g, k]
                own[i, k] += part
                programs[g, k] += part
    return likelihood


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def weigh_exposure(
    indptr: Ints, genes: Ints, y: NDArray[np.float32], t: Floats, v: Floats, size: Floats,
    exposure: Floats, gene_exposure: Floats,
) -> None:  # fmt: skip
    """Sum what every count weighs under gamma noise of shape ``size`` per gene.

    The weight of gene g in cell i is E[u] = (size + y) / (size + rate), where y ~ Poisson(rate u).

    Parameters
    ----------
    size : (p,) shape of the noise; large is Poisson
    exposure : (n, K) written: sum over genes of E[u] v
    gene_exposure : (p, K) added to: sum over cells of E[u] t
    """
    k_all, p = t.shape[1], v.shape[0]
    dense = np.zeros(p)
    for i in range(len(indptr) - 1):
        for j in range(indptr[i], indptr[i + 1]):
            dense[genes[j]] = y[j]
        for k in range(k_all):
            exposure[i, k] = 0.0
        for g in range(p):
            rate = 0.0
            for k in range(k_all):
                rate += t[i, k] * v[g, k]
            u = (size[g] + dense[g]) / (size[g] + rate)
            for k in range(k_all):
                exposure[i, k] += u * v[g, k]
                gene_exposure[g, k] += u * t[i, k]
        for j in range(indptr[i], indptr[i + 1]):
            dense[genes[j]] = 0.0


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def spread(
    indptr: Ints, genes: Ints, y: NDArray[np.float32], t: Floats, v: Floats, squares: Floats,
    excess: Floats,
) -> None:  # fmt: skip
    """Sum rate^2 and (y - rate)^2 - rate per gene: 1/size is their ratio (method of moments)."""
    k_all, p = t.shape[1], v.shape[0]
    dense = np.zeros(p)
    for i in range(len(indptr) - 1):
        for j in range(indptr[i], indptr[i + 1]):
            dense[genes[j]] = y[j]
        for g in range(p):
            rate = 0.0
            for k in range(k_all):
                rate += t[i, k] * v[g, k]
            squares[g] += rate * rate
            excess[g] += (dense[g] - rate) ** 2 - rate
        for j in range(indptr[i], indptr[i + 1]):
            dense[genes[j]] = 0.0


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def log_likelihood(
    indptr: Ints, genes: Ints, y: NDArray[np.float32], t: Floats, v: Floats, size: Floats,
    poisson_from: float,
) -> float:  # fmt: skip
    """Return the log-likelihood of all counts; genes of shape ``poisson_from`` on are Poisson."""
    k_all, p = t.shape[1], v.shape[0]
    dense = np.zeros(p)
    total = 0.0
    for i in range(len(indptr) - 1):
        for j in range(indptr[i], indptr[i + 1]):
            dense[genes[j]] = y[j]
        for g in range(p):
            rate = TINY
            for k in range(k_all):
                rate += t[i, k] * v[g, k]
            count, r = dense[g], size[g]
            if r >= poisson_from:
                total -= rate
            else:
                total += r * math.log(r / (r + rate))
            if count > 0:
                total -= math.lgamma(count + 1.0)
                if r >= poisson_from:
                    total += count * math.log(rate)
                else:
                    total += math.lgamma(count + r) - math.lgamma(r)
                    total += count * math.log(rate / (r + rate))
        for j in range(indptr[i], indptr[i + 1]):
            dense[genes[j]] = 0.0
    return total


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def information(
    indptr: Ints, genes: Ints, y: NDArray[np.float32], t: Floats, v: Floats, size: Floats,
    out: NDArray[np.float64],
) -> None:  # fmt: skip
    """Write the observed information of the loadings of every cell, (n, K, K).

    sum over counts of y v v' / rate^2, each weighed by its noise: size / (size + rate).
    """
    k_all = t.shape[1]
    for i in range(len(indptr) - 1):
        for j in range(indptr[i], indptr[i + 1]):
            g = genes[j]
            rate = TINY
            for k in range(k_all):
                rate += t[i, k] * v[g, k]
            share = y[j] / (rate * rate) * size[g] / (size[g] + rate)
            for a in range(k_all):
                part = share * v[g, a]
                for b in range(a + 1):
                    out[i, a, b] += part * v[g, b]
        for a in range(k_all):
            for b in range(a):
                out[i, b, a] = out[i, a, b]
