"""Likelihood of a spot given its subspots: exact, since the sums of these laws are known.

Poisson: sum of Poisson(m_k) is Poisson(sum m_k). Negative binomial with one success probability
per gene: sum of NB(r_k, p) is NB(sum r_k, p). Gaussian: the mean of K normals with one spread per
feature is normal, its variance divided by K. Multinomial splits follow, given the sum.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Law = Literal["poisson", "nb", "gaussian"]
LAWS: tuple[Law, ...] = ("poisson", "nb", "gaussian")


def log_likelihood(law: Law, made: Tensor, x: Tensor, free: Tensor, sizes: Tensor) -> Tensor:
    """Return the log probability of each spot, up to a constant, (n,).

    Parameters
    ----------
    law : str
    made : (n, g)
        Sum over the subspots of a spot of their expectations.
    x : (n, g)
        Observed sum.
    free : (g,)
        Log of what the law has beside its mean: nothing for Poisson, the dispersion phi of
        variance = mean (1 + phi) for the negative binomial, the spread of a subspot for Gaussian
        features.
    sizes : (n,)
        Subspots per spot.
    """
    if law == "poisson":
        return (torch.xlogy(x, made) - made).sum(dim=1)
    if law == "nb":
        # r = mean / phi keeps p = phi / (1 + phi) the same for all subspots of a gene.
        phi = free.exp()
        r = made / phi
        gamma = torch.lgamma(x + r) - torch.lgamma(r)
        return (gamma - r * torch.log1p(phi) + x * (free - torch.log1p(phi))).sum(dim=1)
    spread = free + 0.5 * sizes.log()[:, None]
    return (-spread - 0.5 * ((x - made) / spread.exp()) ** 2).sum(dim=1)
