"""The terms of the loss, one function each.

With q = clamp(D(z), -m, m), over the critics of sections i and j = i + 1:

    (1) L_D   = sum  mean_i softplus(-q) + mean_j softplus(q)
    (2) L_G   = sum  mean_j softplus(-q)                     only section j is pulled
    (3) L_FE  = sum_s mean_i |x_i - x_hat_i|                 the norm, not its square
    (4) L_REC = -sum_s mean_i sum_g [Y (log(l + 1e-6) + log rate) - l rate]
    (5) L_GEO = sum_s mean_i sum_j (cos(z_i, z_j) - cos(x_i, x_j))^2
    (6) L_B   = -sum_k (5 - 1) log(mean beta_k + 1e-6)

Deviations
----------
- (5) is computed from products of genes by genes and latent by genes, never cells by cells:
  |Z Z' - X X'|^2 = |Z' Z|^2 - 2 |Z' X|^2 + |X' X|^2 with unit rows. The last one is fixed.
  (The authors keep the (n, n) cosines of the attention encoder.)
- A cell without counts has a cosine of 1 with itself in the authors' attention path and of 0 in
  the linear one; here of 0, which only adds constants.
- softplus as such, where the authors write log(1 + exp(.)).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize, softplus

from backend.models.inspire.parity.network import Critics
from backend.models.inspire.parity.settings import CONCENTRATION, FLOOR


def critic_loss(real: Tensor, fake: Tensor, margin: float) -> Tensor:
    """Return one term of (1) from scores of section i (n,) and j (m,)."""
    high, low = real.clamp(-margin, margin), fake.clamp(-margin, margin)
    return softplus(-high).mean() + softplus(low).mean()


def pulled_loss(fake: Tensor, margin: float) -> Tensor:
    """Return one term of (2) from scores of section j."""
    return softplus(-fake.clamp(-margin, margin)).mean()


def critics_loss(critics: Critics, z: Sequence[Tensor], margin: float) -> Tensor:
    """Return (1) of the embeddings (n, d) of every section, which get no gradient."""
    terms = [
        critic_loss(critic(z[i].detach()), critic(z[j].detach()), margin)
        for critic, (i, j) in zip(critics.each, critics.pairs, strict=True)
    ]
    return critics.share * torch.stack(terms).sum()


def adversary_loss(critics: Critics, z: Sequence[Tensor], margin: float) -> Tensor:
    """Return (2)."""
    terms = [
        pulled_loss(critic(z[j]), margin)
        for critic, (_, j) in zip(critics.each, critics.pairs, strict=True)
    ]
    return critics.share * torch.stack(terms).sum()


def rebuilt_loss(x: Tensor, rebuilt: Tensor) -> Tensor:
    """Return one term of (3), of (n, g) each."""
    return torch.linalg.vector_norm(x - rebuilt, dim=1).mean()


def likelihood_loss(counts: Tensor, library: Tensor, log_rate: Tensor) -> Tensor:
    """Return one term of (4): counts (n, g), library (n,), log rates (n, g)."""
    size = library[:, None]
    gain = counts * (torch.log(size + FLOOR) + log_rate) - size * log_rate.exp()
    return -gain.sum(dim=1).mean()


def unit_rows(x: Tensor) -> Tensor:
    """Return rows of length 1; rows of zeros stay."""
    return normalize(x, dim=1, eps=1e-12)


def gram(unit: Tensor) -> Tensor:
    """Return |X' X|^2 of unit rows (n, g), by the smaller of cells and genes."""
    n, g = unit.shape
    product = unit @ unit.T if n < g else unit.T @ unit
    return (product**2).sum()


def geometry_loss(z: Tensor, unit: Tensor, fixed: Tensor) -> Tensor:
    """Return one term of (5).

    Parameters
    ----------
    z : (n, d)
    unit : (n, g) unit rows of the features
    fixed : () their ``gram``
    """
    own = unit_rows(z)
    return (gram(own) - 2 * ((own.T @ unit) ** 2).sum() + fixed) / len(z)


def dirichlet_loss(total: Tensor, cells: float) -> Tensor:
    """Return (6) from the sum of beta (K,) over all cells, and the number it is divided by."""
    return -(CONCENTRATION - 1) * torch.log(total / cells + FLOOR).sum()
