"""Default mode: train several small attention networks at once on spatial axes.

The architecture is the reference's (``network``), with these deviations, each measured in the
project's notes: features are spatial axes instead of raw components; the start is neutral (rows of
one random orthogonal matrix are dealt to the modalities, attention starts equal), so an untrained
network already returns a rotation of the smoothed axes; every loss is relative to the size of what
it rebuilds; and the schedule is short, since training on undoes the smoothing.

Everything linear is done on axes (n, a) and only what attention needs in the latent width h, so an
epoch costs O(n (a^2 + h)) per modality. Where a section is large, a step sees a batch of tiles with
their surroundings; the parameters are the same for all spots.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from backend.core.errors import Diverged
from backend.core.job import RunContext
from backend.models.spatialglue.tiles import Batch, batches

#: Steps, step size, and weight of the cycle losses.
EPOCHS, LEARNING_RATE, CYCLE = 100, 1e-3, 0.1
#: Latent width at least; at least the number of axes.
WIDTH = 32
#: Rows (spots times seeds) that are held at once.
ROWS = 48_000


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the network sees.

    Parameters
    ----------
    axes, smooth, like : M arrays (n, a_m) float32
        Axes, their averages over the spatial graph, and over the graph of like spots.
    present : (n, M) bool
    spatial : (n, n) csr_matrix
        Normalised spatial graph.
    xy : (n, 2)
    """

    axes: list[NDArray[np.float32]]
    smooth: list[NDArray[np.float32]]
    like: list[NDArray[np.float32]]
    present: NDArray[np.bool_]
    spatial: csr_matrix
    xy: NDArray[np.float32]


@dataclass(slots=True)
class Networks:
    """Parameters of R networks.

    Parameters
    ----------
    encoders : M tensors (R, a_m, h)
    decoders : M tensors (R, h, a_m)
    omega : M + 1 tensors (R, h, h)
        Attention within each modality, then between them.
    u : M + 1 tensors (R, h, 1)
    """

    encoders: list[Tensor]
    decoders: list[Tensor]
    omega: list[Tensor]
    u: list[Tensor]

    def tensors(self) -> list[Tensor]:
        """All parameters."""
        return [*self.encoders, *self.decoders, *self.omega, *self.u]

    def part(self, rows: slice) -> Networks:
        """Return some of the networks, sharing memory."""
        return Networks(*([t[rows] for t in group] for group in self.groups()))

    def groups(self) -> tuple[list[Tensor], ...]:
        """Return encoders, decoders, omega, u."""
        return self.encoders, self.decoders, self.omega, self.u


@dataclass(frozen=True, slots=True)
class Pass:
    """What R networks make of n spots: latent axes (R, n, a_m) and attention.

    mixed : M tensors (R, n, a_m), the attended mixture before encoding
    alpha_within : M tensors (R, n), weight of the spatial graph
    alpha : (R, n, M)
    """

    mixed: list[Tensor]
    alpha_within: list[Tensor]
    alpha: Tensor


def start(widths: Sequence[int], seeds: Sequence[int]) -> Networks:
    """Return one neutral network per seed."""
    h = max(WIDTH, sum(widths))
    bounds = np.cumsum([0, *widths])
    encoders: list[list[NDArray[np.float32]]] = [[] for _ in widths]
    omega: list[list[NDArray[np.float32]]] = [[] for _ in range(len(widths) + 1)]
    for seed in seeds:
        rng = np.random.default_rng(seed)
        q, _ = np.linalg.qr(rng.standard_normal((h, h)))
        for m in range(len(widths)):
            encoders[m].append(q[bounds[m] : bounds[m + 1]].astype(np.float32))
        bound = np.sqrt(3.0 / h)
        for block in omega:
            block.append(rng.uniform(-bound, bound, (h, h)).astype(np.float32))
    q_m = [torch.from_numpy(np.stack(e)) for e in encoders]
    return Networks(
        [len(widths) * q for q in q_m],
        [q.transpose(1, 2).contiguous() for q in q_m],
        [torch.from_numpy(np.stack(o)) for o in omega],
        [torch.zeros(len(seeds), h, 1) for _ in omega],
    )


def attend(smooth: Sequence[Tensor], like: Sequence[Tensor], nets: Networks) -> Pass:
    """Return mixtures and attention; ``smooth`` and ``like`` hold M tensors (n, a_m)."""
    mixed, within = [], []
    for s, k, e, w, u in zip(smooth, like, nets.encoders, nets.omega, nets.u, strict=False):
        g = e @ w  # (R, a, h)
        # softmax over two scores is a logistic function of their difference
        score = ((torch.tanh(s @ g) - torch.tanh(k @ g)) @ u).squeeze(-1)
        a = torch.sigmoid(score)  # (R, n)
        within.append(a)
        mixed.append(k + a.unsqueeze(-1) * (s - k))
    w, u = nets.omega[-1], nets.u[-1]
    scores = [torch.tanh(q @ (e @ w)) @ u for q, e in zip(mixed, nets.encoders, strict=True)]
    return Pass(mixed, within, torch.softmax(torch.cat(scores, dim=-1), dim=-1))


def loss_of(batch: Batch, size: Sequence[float], out: Pass, nets: Networks) -> Tensor:
    """Return the loss of each network, (R,), over the core of a batch.

    Parameters
    ----------
    batch : Batch
    size : M floats
        Mean square of the axes per spot, which reconstruction errors are relative to.
    """
    m_all = range(len(out.mixed))
    weighted = [out.alpha[..., m : m + 1] * out.mixed[m] for m in m_all]
    crossed = [[e @ d for d in nets.decoders] for e in nets.encoders]  # (R, a_m, a_k)
    count = float(batch.core.sum())
    total: Tensor | None = None
    for k in m_all:
        latent = sum((weighted[m] @ crossed[m][k] for m in m_all), start=torch.zeros(()))
        rebuilt = _spread(batch.graph, latent)
        known = (batch.core & batch.present[:, k]).float()
        error = ((batch.axes[k] - rebuilt) ** 2).sum(-1) @ known
        term = error / (size[k] * torch.clamp(known.sum(), min=1.0))
        total = term if total is None else total + term
    core = batch.core.float().unsqueeze(-1)
    for m, k in permutations(m_all, 2):
        back = _spread(batch.graph, _spread(batch.graph, out.mixed[m] @ crossed[m][k]))
        both = torch.cat([out.mixed[m], back], dim=-1) * core
        gram = both.transpose(1, 2) @ both / count  # (R, a_m + a_k, a_m + a_k)
        e = torch.cat([nets.encoders[m], -nets.encoders[k]], dim=1)
        a = out.mixed[m].shape[-1]
        whole = (gram[:, :a, :a] * (nets.encoders[m] @ nets.encoders[m].transpose(1, 2))).sum(
            (1, 2)
        )
        error = (gram * (e @ e.transpose(1, 2))).sum((1, 2))
        assert total is not None
        total = total + CYCLE * error / whole.detach()
    assert total is not None
    return total


class _Average(torch.autograd.Function):
    """A product with a symmetric sparse graph, which is its own transpose on the way back."""

    @staticmethod
    def forward(ctx: Any, graph: Tensor, x: Tensor) -> Tensor:
        """Return graph @ x."""
        ctx.graph = graph
        return graph @ x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        """Return graph' @ gradient."""
        return None, ctx.graph @ grads[0].contiguous()


def _spread(graph: Tensor, x: Tensor) -> Tensor:
    """Average (R, n, a) over a graph (n, n)."""
    r, n, a = x.shape
    flat = x.permute(1, 0, 2).reshape(n, r * a)
    averaged: Tensor = _Average.apply(graph, flat)
    return averaged.reshape(n, r, a).permute(1, 0, 2)


def train(
    inputs: Inputs, seeds: Sequence[int], ctx: RunContext, epochs: int = EPOCHS
) -> tuple[Networks, NDArray[np.float64]]:
    """Return one trained network per seed, and its losses (epochs, R).

    Raises
    ------
    Diverged, Cancelled
    """
    nets = start([x.shape[1] for x in inputs.axes], seeds)
    size = [float((x[inputs.present[:, m]] ** 2).sum(1).mean()) for m, x in enumerate(inputs.axes)]
    per_batch = min(len(inputs.xy), ROWS)
    together = max(1, min(len(seeds), ROWS // min(per_batch, 5000)))
    chunks = [slice(i, i + together) for i in range(0, len(seeds), together)]
    record = np.zeros((epochs, len(seeds)))
    for c, rows in enumerate(chunks):
        part = ctx.part(c / len(chunks), (c + 1) / len(chunks))
        own = nets.part(rows)
        stream = batches(inputs.axes, inputs.smooth, inputs.like, inputs.present,
                         inputs.spatial, inputs.xy, int(seeds[rows][0]))  # fmt: skip
        record[:, rows] = _train_some(own, stream, size, epochs, part)
    return nets, record


def _train_some(
    nets: Networks, stream: Iterator[Batch], size: list[float], epochs: int, ctx: RunContext
) -> NDArray[np.float64]:
    """Train in place; return losses (epochs, R)."""
    for tensor in nets.tensors():
        tensor.requires_grad_()
    optimiser = torch.optim.Adam(nets.tensors(), lr=LEARNING_RATE, fused=True)
    record = []
    for epoch in range(epochs):
        ctx.step(epoch / epochs, f"Training, epoch {epoch + 1} of {epochs}")
        batch = next(stream)
        loss = loss_of(batch, size, attend(batch.smooth, batch.like, nets), nets)
        if not torch.isfinite(loss).all():
            raise Diverged(f"The loss is not finite in epoch {epoch}.", "Check the counts.")
        optimiser.zero_grad()
        loss.sum().backward()
        optimiser.step()
        record.append(loss.detach().numpy().copy())
    return np.array(record)
