from __future__ import annotations

import numpy as np
import pytest

from backend.models.fusemap.parity.balance import cluster_weights
from backend.models.fusemap.parity.clusters import communities, neighbourhood
from backend.models.fusemap.parity.settings import Settings

X, Y, Z = np.eye(3)


@pytest.mark.parametrize("joint_up_to", [6, 1], ids=["joint", "pairwise"])
def test_a_cluster_without_counterpart_weighs_nothing(joint_up_to: int) -> None:
    means = [np.array([X, Y]), np.array([X, Z])]
    sizes = [np.array([3.0, 1.0]), np.array([2.0, 2.0])]
    first, second = cluster_weights(means, sizes, Settings(joint_up_to=joint_up_to))
    np.testing.assert_allclose(first, [4 / 3, 0], atol=1e-12)
    np.testing.assert_allclose(second, [2, 0], atol=1e-12)


def test_abundant_clusters_weigh_less_and_the_mean_over_cells_is_one() -> None:
    means = [np.array([X, Y]), np.array([X, Y])]
    sizes = [np.array([9.0, 1.0]), np.array([5.0, 5.0])]
    first, _ = cluster_weights(means, sizes, Settings())
    np.testing.assert_allclose(first, [5 / 9, 5])
    assert (first * sizes[0]).sum() / 10 == pytest.approx(1.0)


@pytest.mark.parametrize("joint_up_to", [6, 1], ids=["joint", "pairwise"])
def test_the_cut_off_is_lowered_until_every_section_has_a_weight(joint_up_to: int) -> None:
    near = np.array([0.35, np.sqrt(1 - 0.35**2), 0])
    means, sizes = [np.array([X]), np.array([near, Z])], [np.ones(1), np.ones(2)]
    first, second = cluster_weights(means, sizes, Settings(joint_up_to=joint_up_to))
    np.testing.assert_allclose(first, [1])
    np.testing.assert_allclose(second, [2, 0], atol=1e-12)


def test_sections_with_nothing_in_common_keep_equal_weights() -> None:
    found = cluster_weights([np.array([X]), np.array([-X])], [np.ones(1), np.ones(1)], Settings())
    assert [w.tolist() for w in found] == [[1.0], [1.0]]


def test_planted_clusters_are_found_and_the_same_seed_finds_the_same() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [60, 40, 30])
    z = (5 * np.eye(3)[truth] + rng.normal(0, 0.4, (130, 3))).astype(np.float32)
    found = communities(z, 3)
    np.testing.assert_array_equal(found, communities(z, 3))
    # A community lies within one type; a type may fall into several.
    for c in np.unique(found):
        assert len(np.unique(truth[found == c])) == 1


def test_neighbour_weights_are_symmetric_and_at_most_one() -> None:
    z = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    graph = neighbourhood(z, 5)
    assert abs(graph - graph.T).max() < 1e-12
    assert 0 < graph.data.min() <= graph.data.max() <= 1 + 1e-12
    assert (np.diff(graph.indptr) >= 4).all()
