"""Cells that are alike by all that a section measures, and what they agree on.

One cell's counts are noisy; the mean over its kin is not. Kin are found in factors fitted to the
section alone, so genes that the atlas does not know help to find them. Two things are read off
them: the evidence for any known class, smoothed, and what the model leaves unexplained in all of
them alike (a type that the model has never seen leaves its own markers unexplained).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.job import RunContext
from backend.models.common.factors import FactorFit, fit, posterior, read_cells
from backend.models.common.moments import moments_of
from backend.models.common.neighbours import Neighbours
from backend.models.common.prep import Prepared

#: Kin of a cell, itself among them.
KIN = 15
#: Genes that kin are found in, the most variable; factors, and genes per factor at least.
MOST_GENES, MOST_FACTORS, GENES_PER_FACTOR = 500, 30, 3
#: Iterations of the fit: kin need no converged loadings.
ITERATIONS = 30
#: Cells that the factors are fitted to, at most, and genes per block of dense residuals.
FITTED_CELLS, BLOCK = 20_000, 32


def kin_graph(prepared: Prepared, seed: int = 0) -> csr_matrix:
    """Return the mean over kin as a matrix: (n, n), ``KIN`` entries of 1/``KIN`` in every row.

    Parameters
    ----------
    prepared : Prepared
        Genes of the section itself; their places are not used.
    seed : int
    """
    genes = np.sort(np.argsort(-prepared.sd, kind="stable")[:MOST_GENES])
    part = prepared.columns(genes)
    part = Prepared(part.x, np.arange(len(genes)), part.mean, part.sd)
    k = int(np.clip(len(genes) // GENES_PER_FACTOR, 1, MOST_FACTORS))
    step = -(-part.n_cells // FITTED_CELLS)
    sample = Prepared(csr_matrix(part.x[::step]), part.genes, part.mean, part.sd)
    settings = FactorFit(k, ITERATIONS)
    state = fit([moments_of(sample)], len(genes), np.array([1.0]), settings, RunContext())
    z = read_cells(part, posterior(state.embedding, state.noise[0])).astype(np.float32)
    return _averaging(z, seed)


def _averaging(z: NDArray[np.float32], seed: int) -> csr_matrix:
    """Make the matrix that averages over the nearest cells."""
    n, k = len(z), min(KIN, len(z))
    near, _ = Neighbours(z, seed)(z, k)
    near = np.where(near >= 0, near, np.arange(n)[:, None])
    weights = np.full(n * k, 1 / k, dtype=np.float32)
    return csr_matrix((weights, near.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))


def shared_residual(
    prepared: Prepared, embedding: NDArray[np.float64], z: NDArray[np.float64], mean: csr_matrix
) -> NDArray[np.float64]:
    """Return how much is left unexplained in a cell and those it is averaged with alike, (n,).

    Parameters
    ----------
    prepared : Prepared
        The genes that the space knows.
    embedding : (p, k) float64
        Their rows.
    z : (n, k) float64
    mean : (n, n) csr_matrix
        Over kin, or over a niche.

    Notes
    -----
    Mean over genes of (M (y - z e))^2 for standardised expression y. Dense for a few genes at a
    time.
    """
    genes = np.argsort(-prepared.sd, kind="stable")[:MOST_GENES]
    total = np.zeros(prepared.n_cells)
    for start in range(0, len(genes), BLOCK):
        own = genes[start : start + BLOCK]
        y = np.asarray(prepared.x[:, own].todense(), dtype=np.float64)
        left = (y - prepared.mean[own]) / prepared.sd[own] - z @ embedding[own].T
        total += ((mean @ left) ** 2).sum(axis=1)
    return total / len(genes)


def pair_agreement(prepared: Prepared, embedding: NDArray[np.float64]) -> float:
    """Return how well the model foretells which genes of a section go together: r over pairs.

    Parameters
    ----------
    prepared : Prepared
        The genes that the space knows.
    embedding : (p, k) float64
        Their rows; genes i and j of a section of the same tissue correlate like e_i . e_j.

    Returns
    -------
    float
        nan with fewer than three genes.
    """
    genes = np.sort(np.argsort(-prepared.sd, kind="stable")[:MOST_GENES])
    part = prepared.columns(genes)
    step = -(-part.n_cells // FITTED_CELLS)
    sample = Prepared(csr_matrix(part.x[::step]), np.arange(len(genes)), part.mean, part.sd)
    seen = moments_of(sample).correlation_with(torch.eye(len(genes), dtype=torch.float64)).numpy()
    own = np.triu_indices(len(genes), 1)
    if len(own[0]) < 3:
        return float("nan")
    foretold = embedding[genes] @ embedding[genes].T
    return float(np.corrcoef(seen[own], foretold[own])[0, 1])
