from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from backend.models.inspire.parity.graph import (
    averaged,
    isolated,
    radius_graph,
    smallest_distance,
)

LINE = np.array([[0, 0], [1, 0], [3, 0], [9, 0]], dtype=np.float32)


def test_cells_nearer_than_the_radius_are_neighbours_and_every_cell_its_own() -> None:
    graph = radius_graph(LINE, 2.0)
    # Cells 1 and 2 are exactly 2 apart, which is not nearer.
    expected = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert graph.toarray().tolist() == expected
    assert isolated(graph) == 2


def test_memory_grows_with_edges_not_with_pairs_of_cells() -> None:
    side = np.arange(200)
    xy = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    graph = radius_graph(xy, 1.1)
    assert graph.nnz == 40_000 + 4 * 200 * 199


def test_the_smallest_distance_is_not_that_of_cells_at_one_place() -> None:
    assert smallest_distance(np.vstack([LINE, LINE])) == 1.0


def test_features_are_followed_by_averages_over_neighbours() -> None:
    graph = radius_graph(LINE, 2.5)
    x = csr_matrix(np.array([[1, 0], [0, 2], [3, 0], [0, 0]], dtype=np.float32))
    g = graph.toarray()
    root = np.diag(1 / np.sqrt(g.sum(axis=1)))
    mean = root @ g @ root
    dense = x.toarray()
    expected = np.hstack([dense, mean @ dense, mean @ mean @ dense])
    np.testing.assert_allclose(averaged(x, graph, 2).toarray(), expected, rtol=1e-6)
