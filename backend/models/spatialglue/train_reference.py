"""Parity mode: train the network of the reference as the reference does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from backend.core.errors import Diverged
from backend.core.job import RunContext
from backend.models.spatialglue.network import Output, Weights, draw_weights, forward, losses

LEARNING_RATE = 1e-4


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained network: losses (epochs, terms + 1), the total last; first and last outputs."""

    weights: Weights
    losses: NDArray[np.float64]
    first: Output
    last: Output


def sparse_tensor(graph: csr_matrix) -> Tensor:
    """Return a graph as a sparse tensor of float32 that multiplies quickly."""
    coo = graph.tocoo()
    index = torch.from_numpy(np.stack([coo.row, coo.col]).astype(np.int64))
    values = torch.from_numpy(coo.data.astype(np.float32))
    return torch.sparse_coo_tensor(index, values, coo.shape, check_invariants=True).coalesce()


def train(
    features: Sequence[NDArray[np.float32]],
    spatial: Sequence[csr_matrix],
    feature: Sequence[csr_matrix],
    term_weights: Sequence[float],
    epochs: int,
    ctx: RunContext,
    weights: Weights | None = None,
) -> Trained:
    """Return the network after ``epochs`` full-batch steps of Adam at 1e-4.

    Parameters
    ----------
    features : M arrays (n, d_m)
    spatial, feature : M graphs (n, n)
    term_weights : sequence of float
        One per loss of ``network.losses``.
    epochs : int
    ctx : RunContext
        Its seed draws the start where ``weights`` is None.

    Raises
    ------
    Diverged, Cancelled
    """
    xs = [torch.from_numpy(np.ascontiguousarray(f, dtype=np.float32)) for f in features]
    ss, ks = ([sparse_tensor(g) for g in graphs] for graphs in (spatial, feature))
    if weights is None:
        weights = draw_weights([x.shape[1] for x in xs], torch.Generator().manual_seed(ctx.seed))
    optimiser = torch.optim.Adam(weights.tensors(), lr=LEARNING_RATE)
    scale = torch.tensor(list(term_weights), dtype=torch.float32)
    record, first = [], None
    for epoch in range(epochs):
        ctx.step(epoch / epochs, f"Training, epoch {epoch + 1} of {epochs}")
        out = forward(xs, ss, ks, weights)
        first = first or _detached(out)
        terms = torch.stack(losses(xs, out))
        total = (scale * terms).sum()
        if not torch.isfinite(total):
            raise Diverged(f"The loss is not finite in epoch {epoch}.", "Check the features.")
        record.append([*terms.detach().tolist(), float(total.detach())])
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    with torch.no_grad():
        last = _detached(forward(xs, ss, ks, weights))
    return Trained(weights, np.array(record), first or last, last)


def _detached(out: Output) -> Output:
    """Return the same values without their history."""
    return Output(
        tuple(t.detach() for t in out.latent),
        out.joint.detach(),
        tuple(t.detach() for t in out.reconstruction),
        {pair: t.detach() for pair, t in out.cycle.items()},
        tuple(t.detach() for t in out.alpha_within),
        out.alpha.detach(),
    )
