"""soScope trained as published: a graph autoencoder of the spots, then the enhancement.

Notation follows the paper: x spots, y image features, z latent, K subspots of a spot.

Step 1. L = -E log p(x K | z) + BCE(sigmoid(z z'), A) + beta KL(q || N(0, I)).
Step 2. L = gamma [ MSE(sum_k E[x_k | z, y_k], x K) / scale + w BCE(sigmoid(R R'), W) + KL ],
        R what the subspots' expectations have beyond their spot.

Deviations
----------
- Sums over subspots are reshapes. The reference builds a block-diagonal matrix in a loop, every
  step; the result is the same.
- Logits of the negative binomial are cut at 30. The reference lets the mean overflow and replaces
  what is not a number afterwards.
- Irregular cells have one spot each, given by its row; the reference multiplies by a mask.
- The inputs of the enhancement decoder are not scaled by K: the reference repeats z before it
  infers K, so that its scaling never acts.
- Pre-training of two modalities uses their own heads where ``joint_untrained`` is switched off;
  the reference's (a Gaussian for proteins, one slice used twice) never learn.
- What else differs from the paper is an option of ``settings.Peculiarities``.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backend.core.errors import Diverged
from backend.core.job import RunContext
from backend.models.soscope.parity.heads import expected, log_likelihood, out_size
from backend.models.soscope.parity.inputs import Inputs, Tensors, tensors_of
from backend.models.soscope.parity.layers import Decoder, Encoder, NodeDecoder
from backend.models.soscope.parity.losses import (
    drawn,
    likeness_loss,
    residuals_of,
    spot_likeness,
    subspot_likeness,
)
from backend.models.soscope.parity.settings import Settings


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms of the loss of one epoch: fit, image cross-entropy, divergence in nats a spot."""

    fit: float
    image: float
    divergence: float


@dataclass(frozen=True, slots=True)
class Enhanced:
    """What a published run gives.

    Parameters
    ----------
    values : (s, g) float32
        Expectation per subspot, at the scale of the profiles.
    latent : (n, 128) float32
    record : tuple of Terms
        Of every epoch of step 2.
    """

    values: NDArray[np.float32]
    latent: NDArray[np.float32]
    record: tuple[Terms, ...]


def enhance_published(inputs: Inputs, settings: Settings, ctx: RunContext) -> Enhanced:
    """Return subspots as the published procedure makes them.

    Raises
    ------
    BadRequest
        If the inputs do not fit one another or the case.
    Diverged, Cancelled
    """
    data = tensors_of(inputs, settings.case)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        encoder = pretrained(data, settings, ctx.part(0.0, 0.3))
        return _enhanced(data, settings, encoder, ctx.part(0.3, 1.0))


def pretrained(data: Tensors, settings: Settings, ctx: RunContext) -> Encoder:
    """Return the encoder after step 1."""
    encoder = Encoder(data.x.shape[1])
    if "+" in settings.case and settings.peculiar.joint_untrained:
        return encoder
    decoder = NodeDecoder(out_size(settings.case, data.sizes))
    is_counts = settings.case in ("poisson", "nb")
    learns = [*encoder.parameters()]
    if not (is_counts and settings.peculiar.node_decoder_untrained):
        learns += decoder.parameters()
    seen, target = _spots(data, settings)
    if is_counts and settings.peculiar.truncated:
        target = target.floor()

    def loss(epoch: int) -> Tensor:
        z, divergence = drawn(*encoder(seen, data.edges))
        fit = -log_likelihood(settings.case, decoder(z), target, data.sizes).mean()
        near = likeness_loss(spot_likeness(z), data.adjacency)
        return fit / settings.pretrain_scale + near + settings.beta.at(epoch) * divergence

    rule = torch.optim.SGD if settings.pretrain_rule == "sgd" else torch.optim.Adam
    steps = rule(learns, lr=settings.pretrain_rate)
    _run(encoder, loss, steps, settings.pretrain_epochs, settings, ctx, "Pre-training")
    return encoder


def _enhanced(data: Tensors, settings: Settings, encoder: Encoder, ctx: RunContext) -> Enhanced:
    """Return the result of step 2."""
    case, sizes = settings.case, data.sizes
    network = nn.ModuleList([encoder, Decoder(data.y.shape[1], out_size(case, sizes))])
    seen, target = _spots(data, settings)
    record: list[Terms] = []

    def subspots(z: Tensor, sample: bool) -> Tensor:
        raw = network[1](z[data.parents], data.y)
        return expected(case, raw, sizes, settings.scale, data.k, sample)

    def loss(epoch: int) -> Tensor:
        z, divergence = drawn(*network[0](seen, data.edges))
        values = subspots(z, sample=True)
        fit = _misfit(data, settings, values, target)
        image = _image_term(data, settings, values)
        record.append(Terms(float(fit.detach()), float(image.detach()), float(divergence.detach())))
        twice = case == "gaussian" and settings.peculiar.image_twice
        weight = settings.image_weight ** (2 if twice else 1)
        return settings.gamma.at(epoch) * (fit / settings.scale + weight * image + divergence)

    steps = torch.optim.Adam(network.parameters(), lr=settings.rate)
    _run(network, loss, steps, settings.epochs, settings, ctx, "Enhancing")
    with torch.no_grad():
        mu, _ = network[0](seen, data.edges)
        return Enhanced(subspots(mu, sample=False).numpy(), mu.numpy(), tuple(record))


def _spots(data: Tensors, settings: Settings) -> tuple[Tensor, Tensor]:
    """Return what the encoder sees of the spots, and what sums over subspots are held to."""
    total = data.x if settings.case == "gaussian" else data.x * data.k
    seen = total if settings.case in ("poisson", "nb") else data.x
    return seen, total


def _misfit(data: Tensors, settings: Settings, values: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error of the spots, made from their subspots."""
    made = data.sum_to_spots(values)
    if settings.case == "gaussian":
        made = made / data.k
    if settings.case != "gaussian+nb":
        return ((made - target) ** 2).mean()
    square = (made - target) ** 2
    first = square[:, : data.sizes.first].mean() / settings.scale_first
    return first + square[:, data.sizes.first :].mean()


def _image_term(data: Tensors, settings: Settings, values: Tensor) -> Tensor:
    """Return the cross-entropy of subspot likeness and image likeness."""
    crossed = (
        settings.case == "gaussian+nb"
        and settings.peculiar.genes_minus_proteins
        and data.sizes.first == data.sizes.second
    )
    beyond = residuals_of(values, data.x, data.parents, data.is_even, data.sizes, crossed)
    return likeness_loss(subspot_likeness(beyond, data.sizes), data.likeness)


def _run(
    network: nn.Module,
    loss: Callable[[int], Tensor],
    steps: torch.optim.Optimizer,
    epochs: int,
    settings: Settings,
    ctx: RunContext,
    name: str,
) -> None:
    """Train; leave the state that the reference would have kept."""
    kept = None
    for epoch in range(epochs):
        ctx.step(epoch / epochs, f"{name}, epoch {epoch + 1:,} of {epochs:,}")
        value = loss(epoch)
        if not torch.isfinite(value):
            raise Diverged(
                f"{name}: the loss is not finite in epoch {epoch}.",
                "The published procedure has no guard; the default mode does not train.",
            )
        steps.zero_grad()
        value.backward()
        steps.step()
        if epoch % settings.peculiar.kept_every == 0:
            kept = deepcopy(network.state_dict())
    if kept is not None:
        network.load_state_dict(kept)
