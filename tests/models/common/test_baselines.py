from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.core.errors import NoSharedGenes
from backend.models.common.baselines import (
    gene_mean,
    harmony_space,
    knn_labels,
    knn_values,
    principal_components,
    shared_columns,
)


def test_gene_mean_is_the_same_for_every_cell() -> None:
    assert gene_mean(csr_matrix([[0.0, 2.0], [4.0, 2.0]]), 2).tolist() == [[2, 2], [2, 2]]


def test_shared_columns_ignore_case() -> None:
    a, b = shared_columns(("Sst", "Vip"), ("x", "VIP"))
    assert (a.tolist(), b.tolist()) == ([1], [1])


def test_panels_without_a_shared_gene_are_refused() -> None:
    with pytest.raises(NoSharedGenes):
        shared_columns(("a",), ("b",))


def test_neighbours_vote() -> None:
    reference = np.array([[0.0], [0.1], [5.0]])
    assert knn_labels(reference, np.array([7, 7, 9]), np.array([[0.2], [4.9]]), k=1).tolist() == [
        7,
        9,
    ]


def test_neighbours_are_averaged() -> None:
    values = knn_values(np.array([[0.0], [1.0], [9.0]]), np.array([[2.0], [4.0], [0.0]]),
                        np.array([[0.4]]), k=2)  # fmt: skip
    assert values.tolist() == [[3.0]]


def test_first_component_is_the_longest_axis() -> None:
    y = np.array([[3.0, 0.1], [-3.0, -0.1], [0.0, 0.0]])
    assert np.abs(principal_components(y, 1)).ravel().round(1).tolist() == [3.0, 3.0, 0.0]


def test_harmony_keeps_rows_in_place() -> None:
    pytest.importorskip("harmonypy")
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, 160)
    x = csr_matrix(rng.poisson(1 + 6 * np.eye(2)[kind].repeat(6, axis=1)).astype(np.float64))
    a, b = harmony_space(x[:100], x[100:], count=5)
    assert (len(a), len(b)) == (100, 60)
    assert (knn_labels(a, kind[:100], b, 5) == kind[100:]).mean() > 0.9


def test_many_genes_have_the_same_components_as_the_whole_covariance() -> None:
    y = np.random.default_rng(1).standard_normal((60, 1200))
    y[:, :40] *= 4
    centred = y - y.mean(axis=0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    scores = principal_components(y, 5)
    assert np.allclose(np.abs(scores), np.abs(left[:, :5] * size[:5]), atol=1e-6)
    assert np.array_equal(scores, principal_components(y, 5))
