from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from backend.models.common.prep import Prepared, gene_statistics
from backend.models.fusemap.inputs import like_scale, on_scale


def prepared(x: np.ndarray) -> Prepared:
    matrix = csr_matrix(x)
    return Prepared(matrix, np.arange(x.shape[1]), *gene_statistics(matrix))


def test_sharp_scale_is_the_logarithm_of_three_times_the_counts() -> None:
    counts = np.array([[0.0, 1.0], [2.0, 0.0], [1.0, 3.0]])
    out = on_scale(prepared(np.log1p(counts)), "sharp")
    np.testing.assert_allclose(out.x.toarray(), np.log1p(3 * counts), rtol=1e-6)
    np.testing.assert_allclose(out.mean, np.log1p(3 * counts).mean(axis=0), rtol=1e-6)


def test_outlier_is_cut_at_four_standard_deviations() -> None:
    counts = np.zeros((100, 1))
    counts[0] = 7.0
    out = on_scale(prepared(np.log1p(counts)), "sharp")
    x = np.log1p(3 * counts)
    np.testing.assert_allclose(out.x.max(), x.mean() + 4 * x.std(), rtol=1e-6)


def test_logarithms_that_may_be_negative_stay() -> None:
    x = np.array([[-1.0, 0.5], [0.3, 0.2], [0.1, -0.4]])
    np.testing.assert_allclose(on_scale(prepared(x), "sharp").x.toarray(), x)


def test_small_section_keeps_the_statistics_it_borrowed() -> None:
    borrowed = Prepared(
        csr_matrix(np.log1p([[1.0], [400.0]])), np.arange(1), np.array([0.5]), np.array([0.2])
    )
    out = like_scale(borrowed, "sharp")
    np.testing.assert_allclose(out.x.toarray().ravel(), [1.3, 1.3], rtol=1e-6)
    assert (out.mean[0], out.sd[0]) == (0.5, 0.2)
