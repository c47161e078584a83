"""How large a gene pair is: its effect in the bilinear model, and its risk ratio."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.models.spatialformer.deviations import Deviations

#: Ridge of the decorrelated effect.
RIDGE = 0.3


def decorrelated(a: Deviations, b: Deviations, u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return W by one ridge step from zero: (C_A + .3 I)^-1 U (C_B + .3 I)^-1 per cell."""
    left = np.linalg.solve(covariance(a), u)
    return np.asarray(np.linalg.solve(covariance(b), left.T).T / max(a.above.shape[0], 1))


def covariance(of: Deviations) -> NDArray[np.float64]:
    """Return the covariance of deviations plus the ridge, (g, g), a block of genes at a time."""
    n, g = of.above.shape
    out = RIDGE * np.eye(g)
    blocks = of.blocks()
    for i, rows in enumerate(blocks):
        left = of.dense(rows)
        left = left - left.mean(axis=0)
        for columns in blocks[i:]:
            right = of.dense(columns)
            part = left.T @ right / n
            out[rows, columns] += part
            if columns != rows:
                out[columns, rows] += part.T
    return out


def risk_ratio(a: csr_matrix, b: csr_matrix, near: csr_matrix) -> NDArray[np.float64]:
    """Return how much likelier a contact's B cell shows h where the A cell shows g, (g, h).

    Parameters
    ----------
    a, b : (n_a, g), (n_b, h) csr_matrix
        1 where a cell shows a gene.
    near : (n_a, n_b) csr_matrix
        Contacts.
    """
    reached = csr_matrix(near @ b)
    degree = np.diff(near.indptr).astype(np.float64)
    with_g = np.asarray((a.T @ reached).todense())
    n_with = np.asarray(a.T @ degree)[:, None]
    without = np.asarray(reached.sum(axis=0)).reshape(1, -1) - with_g
    n_without = degree.sum() - n_with
    return np.asarray(((with_g + 0.5) / (n_with + 1)) / ((without + 0.5) / (n_without + 1)))
