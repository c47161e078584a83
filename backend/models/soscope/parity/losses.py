"""Terms of the published losses."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Normal
from torch.nn.functional import binary_cross_entropy

from backend.models.soscope.parity.heads import Sizes


def drawn(mu: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Return one draw of the latent, and log q - log p of it as a mean over spots."""
    q = Normal(mu, sigma)
    z = q.rsample()
    apart = q.log_prob(z) - Normal(0.0, 1.0).log_prob(z)
    return z, apart.sum(dim=1).mean()


def likeness_loss(similar: Tensor, wanted: Tensor) -> Tensor:
    """Return the cross-entropy of similarities in 0..1; logs are cut at -100, as published."""
    return binary_cross_entropy(similar, wanted)


def spot_likeness(z: Tensor) -> Tensor:
    """Return sigmoid(z z'), (n, n)."""
    return torch.sigmoid(z @ z.T)


def subspot_likeness(residuals: Tensor, sizes: Sizes) -> Tensor:
    """Return sigmoid(R R'), (s, s); of two modalities p and g, p + g - p g.

    The noisy or may leave 0..1 by a rounding error, which the cross-entropy refuses.
    """
    parts = [r for r in residuals.split([sizes.first, sizes.second], dim=1) if r.shape[1]]
    alike = [torch.sigmoid(r @ r.T) for r in parts]
    if len(alike) == 1:
        return alike[0]
    return (alike[0] + alike[1] - alike[0] * alike[1]).clamp(0.0, 1.0)


def residuals_of(
    values: Tensor, x: Tensor, parents: Tensor, is_even: bool, sizes: Sizes, crossed: bool
) -> Tensor:
    """Return what subspots have beyond their spot; irregular cells, beyond the mean of all.

    Parameters
    ----------
    crossed : bool
        Subtract the first modality's mean from the second's values too, as one program does.
    """
    if not is_even:
        return values - values.mean(dim=0, keepdim=True)
    mean = x
    if crossed:
        first = x[:, : sizes.first]
        mean = torch.cat([first, first], dim=1)
    return values - mean[parents]
