from __future__ import annotations

import numpy as np

from backend.models.common.graphs import delaunay_graph


def test_square_with_centre_has_the_edges_of_its_triangulation() -> None:
    xy = np.array([[0, 0], [2, 0], [2, 2], [0, 2], [1, 1]], dtype=np.float32)
    graph = delaunay_graph(xy).toarray()
    expected = np.array(
        [
            [0, 1, 0, 1, 1],
            [1, 0, 1, 0, 1],
            [0, 1, 0, 1, 1],
            [1, 0, 1, 0, 1],
            [1, 1, 1, 1, 0],
        ]
    )
    np.testing.assert_allclose(graph, expected / expected.sum(axis=1, keepdims=True), rtol=1e-6)


def test_rows_sum_to_one_without_self_loops() -> None:
    graph = delaunay_graph(np.random.default_rng(0).random((300, 2)).astype(np.float32))
    np.testing.assert_allclose(np.asarray(graph.sum(axis=1)).ravel(), 1, rtol=1e-5)
    assert not graph.diagonal().any()


def test_edge_across_a_gap_is_cut() -> None:
    grid = np.stack(np.meshgrid(np.arange(4.0), np.arange(4.0)), axis=-1).reshape(-1, 2)
    graph = delaunay_graph(np.concatenate([grid, grid + [100, 0]]).astype(np.float32))
    assert graph[:16, 16:].nnz == 0
    assert graph[:16, :16].nnz > 0


def test_duplicate_place_shares_the_neighbours_of_its_twin() -> None:
    xy = np.array([[0, 0], [2, 0], [2, 2], [0, 2], [1, 1], [1, 1]], dtype=np.float32)
    near = delaunay_graph(xy).toarray() > 0
    assert near[5, 4]
    assert near[4, 5]
    assert (near[5, :4] == near[4, :4]).all()
    assert near[5, :4].all()


def test_cells_on_a_line_are_joined_to_the_next() -> None:
    graph = delaunay_graph(np.array([[0, 0], [1, 0], [2, 0], [3, 0]], dtype=np.float32))
    assert graph[0, 1] > 0
    assert graph[0, 3] == 0


def test_lonely_cell_is_its_own_neighbour() -> None:
    assert delaunay_graph(np.zeros((1, 2), dtype=np.float32)).toarray().tolist() == [[1.0]]
