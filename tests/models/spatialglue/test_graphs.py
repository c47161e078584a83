from __future__ import annotations

import numpy as np

from backend.models.spatialglue.graphs import (
    feature_graph,
    nearest,
    normalised,
    ring_average,
    spatial_graph,
)


def test_ties_in_space_go_to_the_lower_index() -> None:
    xy = np.array([[0.0, 0.0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    graph = spatial_graph(xy, 1).toarray()
    # the centre picks spot 1 of four equals; all others pick the centre
    expected = np.zeros((5, 5))
    expected[0, 1:] = expected[1:, 0] = 1
    np.testing.assert_array_equal(graph, expected)
    two = spatial_graph(np.vstack([xy, [[9, 9]]]), 2).toarray()
    assert two[5].nonzero()[0].tolist() == [1, 3]


def test_a_ring_keeps_ties_and_leaves_the_spot_out() -> None:
    y, x = np.divmod(np.arange(9), 3)
    ring = ring_average(np.stack([x, y], axis=1), 4).toarray()
    np.testing.assert_allclose(ring[4], [0, 0.25, 0, 0.25, 0, 0.25, 0, 0.25, 0])
    np.testing.assert_allclose(ring.sum(axis=1), 1)


def test_no_edge_joins_two_sections() -> None:
    xy = np.array([[0.0, 0], [1, 0], [0, 0.1], [1, 0.1]])
    group = np.array([0, 0, 1, 1])
    assert spatial_graph(xy, 1, group).toarray()[:2, 2:].sum() == 0
    assert ring_average(xy, 1, group).toarray()[:2, 2:].sum() == 0


def test_rows_that_are_equal_are_not_their_own_neighbours() -> None:
    x = np.zeros((4, 2))
    near = nearest(x, x, 2, skip_self=True)
    assert all(i not in row for i, row in enumerate(near))


def test_correlation_ignores_size_and_level() -> None:
    x = np.array([[1.0, 2, 3], [10, 20, 30], [3, 2, 1], [7, 6, 5]])
    graph = feature_graph(x, 1, correlation=True).toarray()
    np.testing.assert_array_equal(graph, np.array(
        [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]
    ))  # fmt: skip


def test_normalising_adds_the_spot_itself() -> None:
    graph = spatial_graph(np.array([[0.0, 0], [1, 0]]), 1)
    np.testing.assert_allclose(normalised(graph).toarray(), [[0.5, 0.5], [0.5, 0.5]])
