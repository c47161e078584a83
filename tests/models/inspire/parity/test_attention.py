from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix

from backend.models.inspire.parity.attention import Attention, edge_softmax, edges_of, spread

GRAPH = csr_matrix(
    np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 1]], dtype=np.float32)
)
EDGES = edges_of(GRAPH)


def _layer() -> Attention:
    return Attention(3, 5, torch.Generator().manual_seed(0))


def test_weights_are_those_of_a_dense_softmax_over_the_edges() -> None:
    scores = torch.tensor([0.1, -0.4, 0.2, 0.3, -0.1, 0.45, -0.2, 0.0])
    dense = torch.full((4, 4), -torch.inf)
    dense[EDGES.rows, EDGES.columns] = scores
    expected = torch.softmax(dense, dim=1)[EDGES.rows, EDGES.columns]
    torch.testing.assert_close(edge_softmax(scores, EDGES), expected)


def test_gradients_of_the_sparse_sum_are_exact_for_any_graph() -> None:
    rng = torch.Generator().manual_seed(1)
    weights = torch.rand(8, generator=rng, dtype=torch.float64, requires_grad=True)
    h = torch.rand(4, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w, x: spread(w, x, EDGES), (weights, h))


def test_a_cell_without_neighbours_attends_to_itself() -> None:
    layer, x = _layer(), torch.arange(12.0).reshape(4, 3)
    torch.testing.assert_close(layer(x, EDGES)[3], layer.linear(x[3]))


def test_two_neighbours_differ_by_a_factor_of_e_at_most() -> None:
    scores = torch.sigmoid(torch.tensor([100.0, -100, 100, -100, 0, 0, 0, 0])) - 0.5
    weights = edge_softmax(scores, EDGES)
    torch.testing.assert_close(weights[0] / weights[1], torch.tensor(np.e, dtype=torch.float32))


def test_the_order_of_cells_does_not_change_the_answer() -> None:
    layer, x = _layer(), torch.arange(12.0).reshape(4, 3).sin()
    order = np.array([2, 0, 3, 1])
    turned = csr_matrix(GRAPH[order][:, order])
    turned.sort_indices()
    torch.testing.assert_close(layer(x[order], edges_of(turned)), layer(x, EDGES)[order])
