"""From a decoder's numbers to distributions of features: Poisson, negative binomial, Gaussian."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import NegativeBinomial, Normal, Poisson
from torch.nn.functional import softplus

from backend.models.soscope.parity.layers import TINY
from backend.models.soscope.parity.settings import Case

#: Spread of Gaussian features of a spot in the pre-training, as published.
SPOT_SPREAD = 11.16418
#: Logits of the negative binomial beyond this would overflow the mean; the reference lets them and
#: replaces what is not a number afterwards.
MOST_LOGIT = 30.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """Features of the first modality and of the second; the second is 0 where there is one."""

    first: int
    second: int = 0


def out_size(case: Case, sizes: Sizes) -> int:
    """Return how many numbers a decoder has to give.

    Poisson alone has two per feature, one of them unused, so that the published counts of
    parameters hold.
    """
    if case == "poisson+nb":
        return sizes.first + 2 * sizes.second
    return 2 * (sizes.first + sizes.second)


def expected(case: Case, raw: Tensor, sizes: Sizes, scale: float, k: int, sample: bool) -> Tensor:
    """Return the expectation of each feature, (n, first + second).

    Parameters
    ----------
    raw : (n, out_size)
    scale : float
        Bounds the spread of Gaussian features: scale / k to 100 (two modalities: 10) scale / k.
    k : int
        Subspots of a spot.
    sample : bool
        Gaussian features: one draw instead of the mean, as in training.
    """
    parts = split(case, raw, sizes)
    most = 10.0 if sizes.second else 100.0
    return torch.cat([_mean(part, scale / k, most * scale / k, sample) for part in parts], dim=1)


def log_likelihood(
    case: Case, raw: Tensor, x: Tensor, sizes: Sizes, spread: float = SPOT_SPREAD
) -> Tensor:
    """Return the log probability of profiles (n, g), summed over features, (n,)."""
    first = 0
    total = torch.zeros(len(x))
    for part in split(case, raw, sizes):
        values = x[:, first : first + part.size]
        total = total + _distribution(part, spread).log_prob(values).sum(dim=1)
        first += part.size
    return total


@dataclass(frozen=True, slots=True)
class Part:
    """One modality: its kind, and one or two numbers per feature."""

    kind: str
    raw: Tensor
    positive: Tensor

    @property
    def size(self) -> int:
        """Number of features."""
        return self.positive.shape[1]


def split(case: Case, raw: Tensor, sizes: Sizes) -> list[Part]:
    """Return the numbers of each modality."""
    p, g = sizes.first, sizes.second
    if case == "poisson+nb":
        rate, r, logits = raw.split([p, g, g], dim=1)
        return [Part("poisson", rate, _positive(rate)), Part("nb", logits, _positive(r))]
    if case == "gaussian+nb":
        mean, spread, r, logits = raw.split([p, p, g, g], dim=1)
        return [Part("gaussian", mean, _positive(spread)), Part("nb", logits, _positive(r))]
    free, other = raw.split([p, p], dim=1)
    return [Part(case, free, _positive(other))]


def _positive(raw: Tensor) -> Tensor:
    return softplus(raw) + TINY


def _mean(part: Part, least: float, most: float, sample: bool) -> Tensor:
    """Return the expectation of one modality."""
    if part.kind == "poisson":
        return part.positive
    if part.kind == "nb":
        return part.positive * part.raw.clamp(max=MOST_LOGIT).exp()
    spread = part.positive.clamp(least, most)
    return part.raw + spread * torch.randn_like(spread) if sample else part.raw


def _distribution(part: Part, spread: float) -> Poisson | NegativeBinomial | Normal:
    """Return the distribution of a spot's features."""
    if part.kind == "poisson":
        return Poisson(part.positive, validate_args=False)
    if part.kind == "nb":
        logits = part.raw.clamp(max=MOST_LOGIT)
        return NegativeBinomial(part.positive, logits=logits, validate_args=False)
    return Normal(part.raw, spread)
