from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from backend.models.common.variable import loess, variable_genes


def test_genes_beyond_their_mean_are_found() -> None:
    rng = np.random.default_rng(4)
    level = rng.uniform(4, 20, 200)
    counts = rng.poisson(level, (300, 200)).astype(float)
    odd = np.array([3, 77, 150])
    counts[:150, odd] *= 2
    counts[150:, odd] //= 4
    found = variable_genes(csr_matrix(counts), 3)
    assert found.tolist() == odd.tolist()


def test_a_quadratic_is_fitted_exactly() -> None:
    x = np.linspace(0, 4, 80)
    np.testing.assert_allclose(loess(x, 1 + 2 * x - x**2), 1 + 2 * x - x**2, atol=2e-3)
