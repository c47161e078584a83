"""Several trained networks as one: embeddings, attention and ablation of every seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from backend.core.job import RunContext
from backend.models.spatialglue.fit import Networks, attend

#: Spots that pass through a network at once.
BLOCK = 20_000


@dataclass(frozen=True, slots=True)
class Ensemble:
    """What R networks make of n spots.

    Parameters
    ----------
    embeddings : R arrays (n, a) float32
        In the coordinates of the axes side by side, so that seeds can be compared and averaged.
    within : (R, n, M) float32
        Attention within a modality: weight of the spatial graph.
    across : (R, n, M) float32
        Attention between modalities.
    ablation : (R, n, M) float32
        Squared change of the embedding when a modality is taken away.
    """

    embeddings: list[NDArray[np.float32]]
    within: NDArray[np.float32]
    across: NDArray[np.float32]
    ablation: NDArray[np.float32]

    def mean(self) -> NDArray[np.float32]:
        """Return the embedding averaged over seeds, (n, a)."""
        return np.asarray(np.mean(self.embeddings, axis=0), np.float32)


def embed(
    smooth: Sequence[NDArray[np.float32]],
    like: Sequence[NDArray[np.float32]],
    nets: Networks,
    ctx: RunContext,
) -> Ensemble:
    """Return embeddings, attention and ablation of all spots for every network.

    Notes
    -----
    Z = sum_m alpha_m q_m E_m with q_m the attended axes. The embedding kept is the side by side
    [M alpha_m q_m], of which Z is a linear image; a mixture with a common full covariance sees no
    difference, and the axes keep their meaning.
    """
    r, n, m = len(nets.u[0]), len(smooth[0]), len(smooth)
    width = sum(x.shape[1] for x in smooth)
    embeddings = [np.empty((n, width), np.float32) for _ in range(r)]
    within, across, ablation = (np.empty((r, n, m), np.float32) for _ in range(3))
    with torch.no_grad():
        for start in range(0, n, BLOCK):
            rows = slice(start, start + BLOCK)
            s, k = ([torch.from_numpy(x[rows]) for x in group] for group in (smooth, like))
            for i in range(r):
                net = nets.part(slice(i, i + 1))
                whole, a, b = _one(s, k, net)
                embeddings[i][rows], within[i, rows], across[i, rows] = whole, a, b
                for lost in range(m):
                    ablation[i, rows, lost] = ((whole - _one(s, k, net, lost)[0]) ** 2).sum(axis=1)
            ctx.step(min(start + BLOCK, n) / n, "Embedding the spots")
    return Ensemble(embeddings, within, across, ablation)


def _one(
    smooth: list[torch.Tensor], like: list[torch.Tensor], net: Networks, lost: int = -1
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Embedding (n, a), attention within (n, M) and across (n, M) of one network."""
    s, k = (
        [torch.zeros_like(x) if i == lost else x for i, x in enumerate(group)]
        for group in (smooth, like)
    )
    out = attend(s, k, net)
    parts = [len(s) * out.alpha[0, :, i : i + 1] * q[0] for i, q in enumerate(out.mixed)]
    within = torch.stack([a[0] for a in out.alpha_within], dim=1)
    return torch.cat(parts, dim=1).numpy(), within.numpy(), out.alpha[0].numpy()
