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
        Squared change of the network's joint latent when a modality is taken away.
    levels : (R, M) float32
        Mean attention within each modality, by which embeddings mix the two graphs.
    """

    embeddings: list[NDArray[np.float32]]
    within: NDArray[np.float32]
    across: NDArray[np.float32]
    ablation: NDArray[np.float32]
    levels: NDArray[np.float32]

    def mean(self) -> NDArray[np.float32]:
        """Return the embedding averaged over seeds, (n, a)."""
        return np.asarray(np.mean(self.embeddings, axis=0), np.float32)


def embed(
    smooth: Sequence[NDArray[np.float32]],
    like: Sequence[NDArray[np.float32]],
    nets: Networks,
    ctx: RunContext,
    levels: NDArray[np.float32] | None = None,
) -> Ensemble:
    """Return embeddings, attention and ablation of all spots for every network.

    Parameters
    ----------
    smooth, like : M arrays (n, a_m)
        Axes averaged over neighbours in space, and over like spots.
    nets : Networks
    ctx : RunContext
    levels : (R, M) float32, optional
        Of the spots that the networks were trained on; of these spots where None.

    Notes
    -----
    Deviation: the embedding mixes the two graphs by the mean attention of each modality and sets
    the modalities side by side, at equal attention. Mixing and scaling spot by spot stretches
    domains along rays and splits them: on a public mosaic section that cost .12 ARI. Side by side,
    axes keep their meaning, and a mixture with a common full covariance sees the same as in the
    latent, which is a rotation of them at the start.
    """
    r, n, m = len(nets.u[0]), len(smooth[0]), len(smooth)
    within, across, ablation = (np.empty((r, n, m), np.float32) for _ in range(3))
    with torch.no_grad():
        for start in range(0, n, BLOCK):
            rows = slice(start, start + BLOCK)
            s, k = ([torch.from_numpy(x[rows]) for x in group] for group in (smooth, like))
            for i in range(r):
                net = nets.part(slice(i, i + 1))
                whole, within[i, rows], across[i, rows] = _one(s, k, net)
                for lost in range(m):
                    changed, _, _ = _one(s, k, net, lost)
                    ablation[i, rows, lost] = ((whole - changed) ** 2).sum(axis=1)
            ctx.step(min(start + BLOCK, n) / n, "Embedding the spots")
    if levels is None:
        levels = within.mean(axis=1, dtype=np.float64).astype(np.float32)
    embeddings = [_mixed(smooth, like, level) for level in levels]
    return Ensemble(embeddings, within, across, ablation, levels)


def _mixed(
    smooth: Sequence[NDArray[np.float32]],
    like: Sequence[NDArray[np.float32]],
    level: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Both graphs mixed at one level per modality, modalities side by side: (n, a)."""
    parts = [a * s + (1 - a) * k for a, s, k in zip(level, smooth, like, strict=True)]
    return np.concatenate(parts, axis=1)


def _one(
    smooth: list[torch.Tensor], like: list[torch.Tensor], net: Networks, lost: int = -1
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Attended axes (n, a), attention within (n, M) and across (n, M) of one network."""
    s, k = (
        [torch.zeros_like(x) if i == lost else x for i, x in enumerate(group)]
        for group in (smooth, like)
    )
    out = attend(s, k, net)
    parts = [len(s) * out.alpha[0, :, i : i + 1] * q[0] for i, q in enumerate(out.mixed)]
    within = torch.stack([a[0] for a in out.alpha_within], dim=1)
    return torch.cat(parts, dim=1).numpy(), within.numpy(), out.alpha[0].numpy()
