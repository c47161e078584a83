from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.core.data import SectionData
from backend.core.errors import BadFile
from backend.models.common.prep import (
    normalised,
    prepare,
    prepare_like,
    second_moment,
    union_of_genes,
    weighted_product,
)

COUNTS = csr_matrix(np.array([[1, 1, 0], [4, 0, 0], [0, 3, 5]], dtype=np.float32))


def section(counts: csr_matrix, genes: tuple[str, ...], unit: str = "counts") -> SectionData:
    n = counts.shape[0]
    xy = np.zeros((n, 2), np.float32)
    return SectionData("s", "s", xy, counts, genes, np.arange(n).astype(str), unit=unit)


def test_counts_are_scaled_to_the_median_total() -> None:
    out = normalised(COUNTS, is_counts=True).toarray()
    np.testing.assert_allclose(np.expm1(out).sum(axis=1), [4, 4, 4], rtol=1e-5)


def test_input_is_not_changed() -> None:
    before = COUNTS.copy()
    normalised(COUNTS, is_counts=True)
    assert abs(COUNTS - before).nnz == 0


def test_values_that_are_no_counts_are_not_rescaled() -> None:
    np.testing.assert_allclose(normalised(COUNTS, False).toarray(), np.log1p(COUNTS.toarray()))


def test_negative_values_are_taken_as_logarithms() -> None:
    x = csr_matrix(np.array([[-1.0, 2.0]], dtype=np.float32))
    np.testing.assert_array_equal(normalised(x, False).toarray(), x.toarray())


def test_cell_without_counts_stays_empty() -> None:
    x = csr_matrix(np.array([[0, 0], [1, 3]], dtype=np.float32))
    assert normalised(x, True).toarray()[0].tolist() == [0, 0]


def test_implicit_standardisation_equals_the_dense_one() -> None:
    rng = np.random.default_rng(0)
    dense = rng.poisson(1, (40, 5)).astype(np.float64)
    x, mean, sd = csr_matrix(dense), dense.mean(axis=0), dense.std(axis=0)
    weights = rng.normal(size=(5, 2))
    y = (dense - mean) / sd
    np.testing.assert_allclose(weighted_product(x, mean, sd, weights), y @ weights, atol=1e-12)
    np.testing.assert_allclose(second_moment(x, mean, sd), y.T @ y / 40, atol=1e-12)


def test_constant_and_unknown_genes_are_left_out() -> None:
    counts = csr_matrix(np.array([[1, 0, 2], [2, 0, 2], [3, 0, 4]], dtype=np.float32))
    out = prepare(section(counts, ("a", "B", "c"), "volume"), {"A": 4, "B": 5})
    assert out.genes.tolist() == [4]


def test_values_that_are_not_finite_are_refused() -> None:
    counts = csr_matrix(np.array([[np.nan, 1.0]], dtype=np.float32))
    with pytest.raises(BadFile, match="not finite"):
        prepare(section(counts, ("a", "b"), "volume"), {"A": 0, "B": 1})


def test_small_section_is_brought_to_the_level_of_its_source() -> None:
    like = prepare_like(
        section(csr_matrix(np.array([[1.0, 3.0]])), ("x", "y")),
        {"X": 0, "Y": 1},
        np.array([0, 1]),
        np.zeros(2),
        np.ones(2),
        np.array([10.0, 30.0]),
    )
    np.testing.assert_allclose(np.expm1(like.x.toarray()), [[10, 30]], rtol=1e-5)


def test_union_matches_symbols_without_case() -> None:
    a, b = section(COUNTS, ("Gad1", "Sst", "Vip")), section(COUNTS, ("GAD1", "Pvalb", "sst"))
    assert union_of_genes([a, b]) == ("Gad1", "Sst", "Vip", "Pvalb")
