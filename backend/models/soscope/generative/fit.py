"""Training the generative model: one seed, full batch, every term of the objective reported.

L = -log p(x | z, y) + beta * max(KL, free bits) + w * BCE(a cos(R_i, R_j) + b, likeness of i, j)

x is a spot's observed sum, log p the exact likelihood of that sum (``likelihood``), KL in closed
form with a floor of free bits per dimension and a warm-up of beta, so that the latent does not
collapse; R what a subspot's factor scores have beyond its spot, over sparse pairs of subspots.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, normalize

from backend.core.errors import Diverged
from backend.core.job import RunContext
from backend.models.soscope.generative.inputs import (
    Compressed,
    Inputs,
    around,
    compressed,
    neighbour_edges,
)
from backend.models.soscope.generative.likelihood import log_likelihood
from backend.models.soscope.generative.network import Decoder, Encoder, Shape, linked
from backend.models.soscope.generative.pairs import image_pairs


@dataclass(frozen=True, slots=True)
class Settings:
    """How one model is trained.

    Parameters
    ----------
    latent : int
        Dimensions of the latent.
    epochs : int
    rate, decay : float
        Learning rate of AdamW, and how fast weights and loadings shrink.
    free_nats : float
        Divergence per dimension that costs nothing.
    warm_up : float
        Share of the epochs over which the weight of the divergence rises to 1.
    image_weight : float
        Of the image term, in nats per spot.
    """

    latent: int = 16
    epochs: int = 300
    rate: float = 2e-3
    decay: float = 6.0
    free_nats: float = 0.1
    warm_up: float = 0.3
    image_weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Fitted:
    """One trained model's answer.

    Parameters
    ----------
    rates : tuple of (s, g) float32
        Expectation of every modality in every subspot.
    latent : (n, d) float32
    divergence : float
        KL in nats per spot at the end; 0 would be a collapsed latent.
    record : (epochs, 3) float32
        Log likelihood, divergence and image term of every epoch, per spot.
    """

    rates: tuple[NDArray[np.float32], ...]
    latent: NDArray[np.float32]
    divergence: float
    record: NDArray[np.float32]


class Model(nn.Module):
    """The network with the tensors that do not change."""

    def __init__(self, inputs: Inputs, settings: Settings, seed: int) -> None:
        super().__init__()
        self.sizes = torch.from_numpy(np.bincount(inputs.parents)).float()
        sizes = np.bincount(inputs.parents)
        self.parts = [compressed(m, sizes) for m in inputs.modalities]
        scores = np.concatenate([p.scores for p in self.parts], axis=1)
        self.scores = torch.from_numpy(scores)
        self.parents = torch.from_numpy(inputs.parents.astype(np.int64))
        self.edges = torch.from_numpy(neighbour_edges(inputs.spots))
        self.weights = _sparse(around(inputs.spots, inputs.subspots))
        self.image = torch.from_numpy(np.ascontiguousarray(inputs.image, dtype=np.float32))
        shape = Shape(scores.shape[1], settings.latent, inputs.image.shape[1], scores.shape[1])
        self.encoder, self.decoder = Encoder(shape), Decoder(shape)
        self.free = nn.ParameterList(nn.Parameter(_start(p, sizes)) for p in self.parts)
        self.loadings = nn.ParameterList(
            nn.Parameter(torch.from_numpy(p.loadings)) for p in self.parts
        )
        self.slope = nn.Parameter(torch.tensor([2.0, 0.0]))
        has_image = inputs.image.shape[1] > 0
        self.pairs = image_pairs(inputs.subspots, inputs.image, seed) if has_image else None

    def subspot_scores(self, z: Tensor) -> Tensor:
        """Return factor scores (s, k) for a latent of the spots (n, d)."""
        near = torch.sparse.mm(self.weights, torch.cat([self.scores, z], dim=1))
        base, latent = near.split([self.scores.shape[1], z.shape[1]], dim=1)
        return base + self.decoder(latent, self.image)

    def rates(self, scores: Tensor) -> list[Tensor]:
        """Return the expectation of every modality, (s, g) each."""
        split = scores.split([p.scores.shape[1] for p in self.parts], dim=1)
        return [
            linked(f, v, torch.from_numpy(p.centre))
            if p.law != "gaussian"
            else torch.from_numpy(p.centre) + f @ v
            for p, f, v in zip(self.parts, split, self.loadings, strict=True)
        ]

    def log_likelihood(self, rates: list[Tensor]) -> Tensor:
        """Return the log likelihood of each spot, (n,)."""
        total = torch.zeros(len(self.sizes))
        for part, made, free in zip(self.parts, rates, self.free, strict=True):
            sums = torch.zeros(len(self.sizes), made.shape[1]).index_add(0, self.parents, made)
            x = torch.from_numpy(part.totals)
            total = total + log_likelihood(part.law, sums, x, free, self.sizes)
        return total

    def image_term(self, scores: Tensor) -> Tensor:
        """Return the cross-entropy of the pairs' likeness."""
        if self.pairs is None:
            return torch.zeros(())
        means = torch.zeros(len(self.sizes), scores.shape[1]).index_add(0, self.parents, scores)
        beyond = scores - (means / self.sizes[:, None])[self.parents]
        i, j = torch.from_numpy(self.pairs.i), torch.from_numpy(self.pairs.j)
        alike = (normalize(beyond[i], dim=1) * normalize(beyond[j], dim=1)).sum(dim=1)
        logits = self.slope[0] * alike + self.slope[1]
        return binary_cross_entropy_with_logits(logits, torch.from_numpy(self.pairs.likeness))


def fit(inputs: Inputs, settings: Settings, seed: int, ctx: RunContext) -> Fitted:
    """Return a model trained from one seed.

    Raises
    ------
    Diverged, Cancelled
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Model(inputs, settings, seed)
        record = _train(model, settings, ctx)
    with torch.no_grad():
        mu, log_spread = model.encoder(model.scores, model.edges)
        rates = model.rates(model.subspot_scores(mu))
        divergence = float(_divergence(mu, log_spread).sum())
    found = tuple(r.numpy().astype(np.float32) for r in rates)
    return Fitted(found, mu.numpy(), divergence, record)


def _train(model: Model, settings: Settings, ctx: RunContext) -> NDArray[np.float32]:
    """Train; return the terms of every epoch."""
    steps = torch.optim.AdamW(_groups(model, settings.decay), lr=settings.rate)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(steps, max(settings.epochs, 1))
    record = []
    for epoch in range(settings.epochs):
        ctx.step(epoch / settings.epochs, f"Epoch {epoch + 1:,} of {settings.epochs:,}")
        mu, log_spread = model.encoder(model.scores, model.edges)
        z = mu + log_spread.exp() * torch.randn_like(mu)
        scores = model.subspot_scores(z)
        likely = model.log_likelihood(model.rates(scores)).mean()
        each = _divergence(mu, log_spread)
        image = model.image_term(scores)
        beta = min(1.0, (epoch + 1) / max(settings.warm_up * settings.epochs, 1.0))
        loss = -likely + beta * each.clamp(min=settings.free_nats).sum()
        loss = loss + settings.image_weight * image
        if not torch.isfinite(loss):
            raise Diverged(f"The loss is not finite in epoch {epoch}.", "Use the default mode.")
        record.append([float(t.detach()) for t in (likely, each.sum(), image)])
        steps.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 100.0)
        steps.step()
        slower.step()
    return np.array(record, np.float32).reshape(-1, 3)


def _groups(model: Model, decay: float) -> list[dict[str, object]]:
    """Return what learns: the network and the loadings shrink, what a law has beside does not.

    Shrinking the loadings is what keeps the fine structure honest: without it the gain on real
    sections is halved.
    """
    shrinking = [*model.encoder.parameters(), *model.decoder.parameters(), *model.loadings]
    free = [*model.free, model.slope]
    return [{"params": shrinking, "weight_decay": decay}, {"params": free, "weight_decay": 0.0}]


def _divergence(mu: Tensor, log_spread: Tensor) -> Tensor:
    """Return KL(q || N(0, I)) of each dimension, mean over spots, (d,)."""
    each = 0.5 * (mu**2 + (2 * log_spread).exp() - 1) - log_spread
    return each.mean(dim=0)


def _start(part: Compressed, sizes: NDArray[np.int64]) -> Tensor:
    """Return where the free numbers of a law begin: little dispersion, half the spread seen."""
    if part.law == "gaussian":
        seen = (part.totals / sizes[:, None]).std(axis=0) + 1e-3
        return torch.from_numpy(np.log(0.5 * seen)).float()
    return torch.full((part.totals.shape[1],), -1.0)


def _sparse(weights: csr_matrix) -> Tensor:
    """Return a scipy matrix as a sparse tensor."""
    coo = weights.tocoo()
    index = torch.from_numpy(np.stack([coo.row, coo.col]).astype(np.int64))
    values = torch.from_numpy(coo.data.astype(np.float32))
    return torch.sparse_coo_tensor(index, values, coo.shape, check_invariants=True).coalesce()
