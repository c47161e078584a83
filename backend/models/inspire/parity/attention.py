"""The attention layer: an edge softmax of sigmoid(score) - 0.5.

With h = W x + c:

    a_ij = h_i . v0 + h_j . v1          u_ij = sigmoid(a_ij) - 0.5
    P_i. = softmax of u_i. over the neighbours of i       out_i = sum_j P_ij h_j

u lies within (-0.5, 0.5), so two neighbours differ by a factor of e at most: attention is nearly
uniform.

Deviation: the authors softmax a dense (n, n) matrix and tell edges by u being not exactly 0; here
edges are a list, and an edge whose u is 0 stays. Memory is O(edges + n h), backwards too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from backend.models.inspire.parity.dense import dense, uniform

#: Values of the products of both ends of edges that are held at once, going backwards.
BLOCK = 1 << 22


class Edges(NamedTuple):
    """Edges i <- j of a graph of ``n`` cells.

    rows, columns : (e,) int64
        Ascending in ``rows``, then in ``columns``.
    back : (e,) int64
        The order that is ascending in ``columns``, then in ``rows``.
    """

    rows: Tensor
    columns: Tensor
    back: Tensor
    n: int


def edges_of(graph: csr_matrix, device: str = "cpu") -> Edges:
    """Return the entries of a graph (n, n), sorted within rows, as a list."""
    n = graph.shape[0]
    rows = np.repeat(np.arange(n), np.diff(graph.indptr))
    columns = graph.indices.astype(np.int64)
    lists = (rows, columns, np.argsort(columns, kind="stable"))
    i, j, back = (torch.from_numpy(values).to(device) for values in lists)
    return Edges(i, j, back, n)


def edge_softmax(scores: Tensor, edges: Edges) -> Tensor:
    """Return softmax weights (e,) of scores (e,) that are bounded, over the edges of a row."""
    # The scores lie within half of zero, so that no maximum needs to be taken off.
    grown = scores.exp()
    total = grown.new_zeros(edges.n).index_add(0, edges.rows, grown)
    return grown / total[edges.rows]


class _Spread(torch.autograd.Function):
    """out_i = sum over edges of weight times h_j, without a tensor of (e, h)."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, h: Tensor, edges: Edges) -> Tensor:
        """Return (n, d)."""
        ctx.edges = edges
        ctx.save_for_backward(weights, h)
        return _sparse(edges.rows, edges.columns, weights, edges.n) @ h

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """Return the gradients of weights and h."""
        [gradient] = gradients
        weights, h = ctx.saved_tensors
        edges: Edges = ctx.edges
        order = edges.back
        turned = _sparse(edges.columns[order], edges.rows[order], weights[order], edges.n)
        return _edge_products(gradient, h, edges), turned @ gradient, None


def spread(weights: Tensor, h: Tensor, edges: Edges) -> Tensor:
    """Return sums of ``h`` (n, d) over edges with ``weights`` (e,): (n, d)."""
    out: Tensor = _Spread.apply(weights, h, edges)
    return out


def _sparse(rows: Tensor, columns: Tensor, values: Tensor, n: int) -> Tensor:
    places = torch.stack([rows, columns])
    return torch.sparse_coo_tensor(
        places, values, (n, n), check_invariants=False, is_coalesced=True
    )


def _edge_products(a: Tensor, b: Tensor, edges: Edges) -> Tensor:
    """a_i . b_j of every edge, (e,), some edges at a time."""
    step = max(BLOCK // a.shape[1], 1)
    parts = [
        (a[i] * b[j]).sum(dim=1)
        for i, j in zip(edges.rows.split(step), edges.columns.split(step), strict=True)
    ]
    return torch.cat(parts)


class Attention(nn.Module):
    """One layer with a single head, from ``n_in`` to ``n_out`` features."""

    def __init__(self, n_in: int, n_out: int, rng: torch.Generator) -> None:
        """Draw the weights."""
        super().__init__()
        self.linear = dense(n_in, n_out, rng)
        self.v0 = nn.Parameter(uniform(n_out, 1, rng))
        self.v1 = nn.Parameter(uniform(n_out, 1, rng))

    def forward(self, x: Tensor, edges: Edges) -> Tensor:
        """Return (n, n_out) of ``x`` (n, n_in)."""
        h = self.linear(x)
        own, other = (h @ self.v0)[:, 0], (h @ self.v1)[:, 0]
        scores = torch.sigmoid(own[edges.rows] + other[edges.columns]) - 0.5
        return spread(edge_softmax(scores, edges), h, edges)
