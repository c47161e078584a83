"""From cells to genes and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_matrix

from backend.store.transpose import by_cell, by_gene


@settings(deadline=None)  # the first example compiles the kernels
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 7)),
               elements=st.sampled_from([0, 0, 1, 3, 300, 0.5])),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_every_value_comes_back_in_its_place(counts: np.ndarray, random: object) -> None:
    n, g = counts.shape
    rng = np.random.default_rng(random.getrandbits(32))
    order, columns = rng.permutation(n), rng.permutation(g)
    expected = counts[order][:, columns]
    genes = by_gene(csr_matrix(counts), order, columns)
    dense = np.zeros((n, g))
    for gene in range(g):
        part = slice(*genes.indptr[gene : gene + 2])
        assert (np.diff(genes.rows[part].astype(int)) > 0).all()
        dense[genes.rows[part], gene] = genes.values[part] * genes.scale
    np.testing.assert_allclose(dense, expected)
    assert len(genes.rows) == np.count_nonzero(counts)
    cells = by_cell(genes, n)
    again = csr_matrix((cells.values * genes.scale, cells.genes, cells.indptr), shape=(n, g))
    assert again.has_sorted_indices
    np.testing.assert_allclose(again.toarray(), expected)


def test_duplicates_are_added_and_zeros_left_out() -> None:
    counts = csr_matrix(
        (np.array([1, 2, 0, 4], np.float32), np.array([1, 1, 0, 0]), np.array([0, 3, 4]))
    )
    genes = by_gene(counts, np.array([0, 1]), np.array([0, 1]))
    assert genes.indptr.tolist() == [0, 1, 2]
    assert (genes.rows.tolist(), genes.values.tolist()) == ([1, 0], [4, 3])
    assert counts.nnz == 4


@pytest.mark.parametrize("value", [np.nan, -1.0])
def test_values_that_are_no_counts_stay_as_they_are(value: float) -> None:
    genes = by_gene(csr_matrix([[1.0, value]]), np.array([0]), np.array([0, 1]))
    assert genes.values.dtype == np.float32
    np.testing.assert_array_equal(genes.values, np.array([1, value], np.float32))
