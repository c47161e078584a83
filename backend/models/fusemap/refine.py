"""A small network that moves z after the exact posterior, trained on masked genes.

z = z0 + f(z0, N z0, v), where z0 is the posterior mean given the unmasked genes, N averages over
the neighbours of a cell (under the same mask: nobody has measured an unmeasured gene), v is how
vague the posterior is, and f is two layers of 128 whose last one starts at zero, so that training
starts at the posterior. The gene embedding stays frozen: an imputed gene is still offset + z . e.

One mask per batch: with probability .7 a random 30-90 % of the panel is kept, otherwise only the
genes that other data sets measure too. Loss: .8 MSE of hidden and .2 MSE of kept genes.
Under ``torchrun`` every process draws its own batches and gradients are averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import nn

from backend.core.errors import Diverged, OutOfMemory
from backend.core.job import RunContext
from backend.models.common.prep import Prepared

WIDTH, DROPOUT = 128, 0.1
STEPS, BATCH, RATE, DECAY = 600, 256, 2e-3, 1e-2
#: How often a random part of the panel is kept, and how large a part.
RANDOM_SHARE, KEPT = 0.7, (0.3, 0.9)
#: Weight of hidden genes in the loss; kept genes have the rest.
HIDDEN_WEIGHT = 0.8
#: Weight of the mean square of f: where scores do not care, z stays at the posterior.
STAY = 0.1
#: Steps between two looks at whether the loss is still finite and sane, and its worst growth.
CHECK_EVERY, WORST_GROWTH = 20, 10.0
#: Cells that are moved at a time.
BLOCK = 65_536


@dataclass(frozen=True, slots=True)
class Refiner:
    """The trained network: weights (out, in) and biases (out,) of three layers, float32."""

    weights: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]


@dataclass(frozen=True, slots=True)
class RefineSection:
    """What training sees of a section.

    prepared : of the genes that the fit saw
    embedding : (p, k) rows of the frozen gene embedding
    reader : from kept columns to the linear map (kept, k) and its vagueness
    bridge : (p,) whether another data set measures the gene
    weight : how often the section is drawn, relative to the others
    """

    prepared: Prepared
    graph: csr_matrix
    embedding: NDArray[np.float64]
    reader: Callable[[NDArray[np.int64]], tuple[NDArray[np.float64], float]]
    bridge: NDArray[np.bool_]
    weight: float


def refined(
    refiner: Refiner, z: NDArray[np.float64], graph: csr_matrix, vague: float
) -> NDArray[np.float64]:
    """Return z (n, k) moved by the network, float64."""
    near = graph @ z
    out = np.empty_like(z)
    for start in range(0, len(z), BLOCK):
        rows = slice(start, start + BLOCK)
        out[rows] = z[rows] + _forward(refiner, _inputs(z[rows], near[rows], vague))
    return out


def train_refiner(
    sections: Sequence[RefineSection], ctx: RunContext, steps: int = STEPS, batch: int = BATCH
) -> Refiner:
    """Return the network after ``steps`` batches; the seed of ``ctx`` decides them.

    Raises
    ------
    Diverged
        If the loss is not finite before there is a state worth keeping.
    OutOfMemory
        If a batch does not fit.
    """
    k = sections[0].embedding.shape[1]
    torch.manual_seed(ctx.seed)
    net = _network(k).to(ctx.device)
    rank, world = _rank()
    rng = np.random.default_rng([ctx.seed, rank])
    descent = AdamWithSchedule(net, steps)
    share = np.array([s.weight for s in sections])
    good, history = _frozen(net), []
    for step in range(steps):
        section = sections[rng.choice(len(sections), p=share / share.sum())]
        try:
            loss = _loss(net, section, rng, batch, ctx.device)
            descent.step(loss, world)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(
                f"A batch of {batch} cells does not fit into memory.",
                f"Use a smaller batch, for example {max(batch // 2, 16)}.",
            ) from error
        history.append(float(loss.detach()))
        if (step + 1) % CHECK_EVERY == 0:
            if not _is_sane(history):
                if step + 1 == CHECK_EVERY:
                    raise Diverged(
                        "The loss of the refinement is not finite from the start.",
                        "Check for genes with extreme values, or train without refinement.",
                    )
                ctx.step(step / steps, "The loss diverged; keeping the last good state")
                return good
            good = _frozen(net)
            ctx.step((step + 1) / steps, f"Refining, {step + 1} of {steps}")
    return _frozen(net)


class AdamWithSchedule:
    """AdamW on a one-cycle schedule, with gradients averaged over processes."""

    def __init__(self, net: nn.Module, steps: int) -> None:
        self._parameters = list(net.parameters())
        self._adam = torch.optim.AdamW(self._parameters, lr=RATE, weight_decay=DECAY)
        total = max(steps, 1)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(self._adam, RATE, total_steps=total)

    def step(self, loss: torch.Tensor, world: int) -> None:
        """Take one step down the gradient of ``loss``."""
        self._adam.zero_grad()
        torch.autograd.backward([loss])
        if world > 1:
            for parameter in self._parameters:
                assert parameter.grad is not None
                torch.distributed.all_reduce(parameter.grad)
                parameter.grad /= world
        self._adam.step()
        self._schedule.step()


def _loss(
    net: nn.Module, section: RefineSection, rng: np.random.Generator, batch: int, device: str
) -> torch.Tensor:
    """Loss of one batch of one section under one mask."""
    p, n = section.prepared, section.prepared.n_cells
    rows = np.sort(rng.choice(n, min(batch, n), replace=False))
    kept = _mask(section.bridge, rng)
    near = csr_matrix(section.graph[rows])
    around, local = np.unique(near.indices, return_inverse=True)
    y = _standard(p, rows)
    reader, vague = section.reader(np.flatnonzero(kept))
    z = y[:, kept] @ reader
    others = _standard(p, around)[:, kept] @ reader
    mean = csr_matrix((near.data, local.ravel(), near.indptr), (len(rows), len(around))) @ others
    x = torch.from_numpy(_inputs(z, mean, vague)).to(device)
    step = net(x)
    moved = torch.from_numpy(z.astype(np.float32)).to(device) + step
    e = torch.from_numpy(section.embedding.astype(np.float32)).to(device)
    error = (torch.from_numpy(y.astype(np.float32)).to(device) - moved @ e.T) ** 2
    hidden = torch.from_numpy(~kept).to(device)
    fit = HIDDEN_WEIGHT * error[:, hidden].mean() + (1 - HIDDEN_WEIGHT) * error[:, ~hidden].mean()
    return fit + STAY * (step**2).mean()


def _mask(bridge: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which genes are kept; some are, and some are not."""
    p = len(bridge)
    if rng.random() >= RANDOM_SHARE and 2 <= bridge.sum() < p:
        return bridge
    n = int(np.clip(round(p * rng.uniform(*KEPT)), 2, p - 1))
    kept = np.zeros(p, dtype=bool)
    kept[rng.permutation(p)[:n]] = True
    return kept


def _standard(p: Prepared, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Standardised genes of a few cells, dense."""
    x = np.asarray(p.x[rows].todense(), dtype=np.float64)
    return np.asarray((x - p.mean) / p.sd)


def _inputs(z: NDArray[np.float64], near: NDArray[np.float64], vague: float) -> NDArray[np.float32]:
    """Join what the network sees, (n, 2 k + 1)."""
    column = np.full((len(z), 1), vague)
    return np.concatenate([z, near, column], axis=1).astype(np.float32)


def _network(k: int) -> nn.Sequential:
    """Two hidden layers, and a last one that starts at zero."""
    last = nn.Linear(WIDTH, k)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Linear(2 * k + 1, WIDTH), nn.GELU(), nn.Dropout(DROPOUT),
        nn.Linear(WIDTH, WIDTH), nn.GELU(), last,
    )  # fmt: skip


def _frozen(net: nn.Sequential) -> Refiner:
    """Copy the weights."""
    layers = [m for m in net if isinstance(m, nn.Linear)]
    arrays = [
        tuple(t.detach().cpu().numpy().copy() for t in tensors)
        for tensors in ((m.weight for m in layers), (m.bias for m in layers))
    ]
    return Refiner(*arrays)


def _forward(refiner: Refiner, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply the network without dropout."""
    out = torch.from_numpy(x)
    last = len(refiner.weights) - 1
    for i, (w, b) in enumerate(zip(refiner.weights, refiner.biases, strict=True)):
        out = nn.functional.linear(out, torch.from_numpy(w), torch.from_numpy(b))
        out = nn.functional.gelu(out) if i < last else out
    return np.asarray(out.numpy())


def _is_sane(history: Sequence[float]) -> bool:
    """Whether the loss is finite and has not grown out of proportion."""
    recent = np.mean(history[-CHECK_EVERY:])
    return bool(np.isfinite(recent) and recent < WORST_GROWTH * np.mean(history[:CHECK_EVERY]))


def _rank() -> tuple[int, int]:
    """Rank of this process, and how many take part."""
    group = torch.distributed
    if group.is_available() and group.is_initialized():
        return group.get_rank(), group.get_world_size()
    return 0, 1
