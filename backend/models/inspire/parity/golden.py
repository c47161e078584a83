"""Golden values: what the published functions return for inputs made of sines.

S(r, c, a, o) is the (r, c) matrix with entries sin(a (1 + o + i c + j)). The figures were computed
with the authors' functions in float32 on a CPU and are quoted to six digits after the point, which
is what the tolerances allow for.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.spatial import Delaunay
from torch import Tensor

from backend.core.parity import ParityRow, compared
from backend.models.inspire.align import kabsch
from backend.models.inspire.parity.attention import Attention, edges_of
from backend.models.inspire.parity.losses import (
    critic_loss,
    dirichlet_loss,
    geometry_loss,
    gram,
    likelihood_loss,
    pulled_loss,
    rebuilt_loss,
    unit_rows,
)
from backend.models.inspire.parity.network import Critic, log_rate
from backend.models.inspire.parity.settings import SCORE_LIMIT
from backend.models.inspire.programs import coherence, diversity

SIX = 2e-6

PLACES = ((0, 0), (1, 0.1), (2, 0), (0.1, 1), (1.1, 1.2), (2.2, 0.9), (0, 2.1), (1.2, 2))
ATTENDED = (2.237119, 2.106876, -1.868228, -2.268493)
REAL = (-4.501397, -3.657041, -5.432436, -2.353806, -4.969692, -2.918318)
FAKE = (-5.315017, -2.384195, -4.602989, -5.299974, -2.374655)
MARGIN = 5.0
FROM, TO = ((0, 0), (1, 0), (0, 1), (2, 2)), ((1, 1), (1, 2), (0, 1), (-1, 3.1))
ROTATION = ((0.022217, -0.999753), (0.999753, 0.022217))


def sines(rows: int, columns: int, a: float, o: int) -> Tensor:
    """Return S(rows, columns, a, o) as float32."""
    place = 1 + o + np.arange(rows * columns, dtype=np.float64)
    return torch.from_numpy(np.sin(a * place).reshape(rows, columns).astype(np.float32))


def golden_rows() -> Iterator[ParityRow]:
    """Yield our values beside the golden ones."""
    with torch.no_grad():
        yield from _attention()
        yield from _critics()
        yield from _factors()
        yield from _places()
    yield from _rigid()


def golden_graph() -> csr_matrix:
    """Return the Delaunay graph of eight places with self loops, (8, 8) ones."""
    corners = Delaunay(np.array(PLACES)).simplices
    i, j = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]]).T
    own = np.arange(len(PLACES))
    rows, columns = np.r_[i, j, own], np.r_[j, i, own]
    graph = csr_matrix((np.ones(len(rows), np.float32), (rows, columns)))
    graph.data[:] = 1.0
    return graph


def _attention() -> Iterator[ParityRow]:
    layer = Attention(5, 4, torch.Generator().manual_seed(0))
    layer.linear.weight.copy_(0.5 * sines(4, 5, 0.3, 0))
    layer.linear.bias.copy_(0.1 * sines(1, 4, 0.2, 0)[0])
    layer.v0.copy_(sines(4, 1, 0.6, 0))
    layer.v1.copy_(sines(4, 1, 0.9, 0))
    out = layer(2 * sines(8, 5, 0.7, 0).abs(), edges_of(golden_graph()))
    yield compared("attention: cell 0", out[0], ATTENDED, SIX)
    yield compared("attention: sum", out.sum().item(), 1.417600, SIX)


def _critics() -> Iterator[ParityRow]:
    critic = Critic(3, 4, torch.Generator().manual_seed(0))
    for i, (_, values) in enumerate(sorted(critic.named_parameters())):
        values.copy_(1.5 * sines(1, values.numel(), 0.7, i).reshape(values.shape))
    real, fake = critic(sines(6, 3, 0.9, 0)), critic(sines(5, 3, 0.7, 0))
    yield compared("critic: scores of the first", real, REAL, SIX)
    yield compared("critic: scores of the second", fake, FAKE, SIX)
    free = critic_loss(real, fake, SCORE_LIMIT).item()
    yield compared("loss of critics, no margin", free, 4.043375, SIX)
    yield compared("loss of critics", critic_loss(real, fake, MARGIN).item(), 3.972403, SIX)
    yield compared("loss of what is pulled", pulled_loss(fake, MARGIN).item(), 3.912474, SIX)


def _factors() -> Iterator[ParityRow]:
    counts = (torch.arange(30.0) % 7).reshape(6, 5)
    beta, mu = (torch.softmax(s, dim=1) for s in (sines(6, 3, 0.9, 0), sines(3, 5, 0.4, 0)))
    rate = log_rate(beta, mu, 0.1 * sines(1, 5, 0.6, 0))
    found = likelihood_loss(counts, counts.sum(dim=1), rate).item()
    yield compared("loss: Poisson", found, -0.734447, SIX)
    yield compared("loss: Dirichlet", dirichlet_loss(beta.sum(dim=0), 6).item(), 13.221693, SIX)
    programs = mu.numpy().astype(np.float64)
    yield compared("diversity of top 2", diversity(programs, 2), 0.666667, SIX)
    yield compared("coherence of top 2", coherence(programs, counts.numpy(), 2), -0.100679, 1e-5)


def _places() -> Iterator[ParityRow]:
    x = sines(6, 5, 0.7, 0).abs()
    yield compared("loss: rebuilt", rebuilt_loss(x, sines(6, 5, 0.5, 0)).item(), 1.868840, SIX)
    unit = unit_rows(x)
    found = geometry_loss(sines(6, 3, 0.9, 0), unit, gram(unit)).item()
    yield compared("loss: geometry", found, 7.219235, SIX)


def _rigid() -> Iterator[ParityRow]:
    found = kabsch(np.array(FROM, dtype=np.float64), np.array(TO, dtype=np.float64))
    yield compared("rigid fit: rotation", found.rotation, ROTATION, SIX)
    yield compared("rigid fit: translation", found.translation, (0.983152, 1.008523), SIX)
