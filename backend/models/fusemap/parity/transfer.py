"""Label transfer as published: a small network on embeddings, the softmax taken twice.

    k -> 256, ReLU -> classes, softmax;  class-balanced cross-entropy of the softmax's output

Adam at 1e-3, batches of 256, cells split 80 / 10 / 10 at random, up to 50 epochs, stopped when the
accuracy on the second part has not improved for more than 10 epochs; the last weights are kept, not
the best. Uncertainty is 1 - the largest probability. Cell types are learned on z_C, regions on z_T.

Deviations
----------
The test tenth is left out of the training, as published, though nothing is reported on it here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backend.models.fusemap.parity.losses import section_loss
from backend.models.fusemap.parity.streams import Draw, stream

HIDDEN, BATCH, RATE = 256, 256, 1e-3
TRAIN, VALIDATE = 0.8, 0.1
PATIENCE = 10


@dataclass(frozen=True, slots=True)
class Transferred:
    """Labels of other cells.

    codes : (m,) int64, the likeliest class
    probability : (m, classes) float32
    uncertainty : (m,) float32
    """

    codes: NDArray[np.int64]
    probability: NDArray[np.float32]

    @property
    def uncertainty(self) -> NDArray[np.float32]:
        """1 - the largest probability."""
        return np.asarray(1 - self.probability.max(axis=1))


def transfer(
    reference: NDArray[np.float32],
    codes: NDArray[np.int64],
    query: NDArray[np.float32],
    seed: int,
    epochs: int = 50,
    *,
    double: bool = True,
) -> Transferred:
    """Return labels of ``query`` cells learned from ``reference`` cells.

    Parameters
    ----------
    reference, query : (n, k), (m, k) embeddings of one training
    codes : (n,) int64 in 0 .. classes - 1
    seed : int
    epochs : int
    double : bool
        Whether to take the softmax twice, as published.
    """
    x, y = torch.from_numpy(reference), torch.from_numpy(codes)
    order = torch.randperm(len(x), generator=stream(seed, Draw.SPLIT))
    n_train, n_check = int(TRAIN * len(x)), int(VALIDATE * len(x))
    train, check = order[:n_train], order[n_train : n_train + n_check]
    network = _network(x.shape[1], int(codes.max()) + 1, seed)
    weight = _balanced(y[train], int(codes.max()) + 1)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    best, waited = -1.0, 0
    for epoch in range(epochs):
        mixed = train[torch.randperm(n_train, generator=stream(seed, Draw.ORDER, epoch))]
        for rows in mixed.split(BATCH):
            _step(network, optimiser, x[rows], y[rows], weight, double)
        right = _accuracy(network, x[check], y[check])
        best, waited = (right, 0) if right > best else (best, waited + 1)
        if waited > PATIENCE:
            break
    with torch.no_grad():
        probability = torch.softmax(network(torch.from_numpy(query)), dim=1).numpy()
    return Transferred(probability.argmax(axis=1).astype(np.int64), probability)


def _network(k: int, n_classes: int, seed: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(k, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, n_classes))


def _balanced(codes: Tensor, n_classes: int) -> Tensor:
    """(n,) weight per class: cells over classes times cells of the class; 0 where it has none."""
    count = torch.bincount(codes, minlength=n_classes)
    whole = len(codes) / (int((count > 0).sum()) * count.clamp(min=1))
    return torch.where(count > 0, whole, 0.0)


def _step(
    network: nn.Sequential, optimiser: torch.optim.Optimizer, x: Tensor, y: Tensor,
    weight: Tensor, double: bool,
) -> None:  # fmt: skip
    """One batch; a class-weighted mean divides by the sum of the weights."""
    own = weight[y]
    loss = section_loss(network(x), y, own, double=double) * len(own) / own.sum()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def _accuracy(network: nn.Sequential, x: Tensor, y: Tensor) -> float:
    if not len(x):
        return 0.0
    with torch.no_grad():
        return float((network(x).argmax(dim=1) == y).float().mean())
