"""Golden values: what the published functions return for inputs made of sines.

S(r, c, a, o) is the (r, c) matrix with entries sin(a (1 + o + i c + j)). The figures were computed
with the authors' functions in float32 on a CPU and are quoted to six digits or fewer, which is
what the tolerances allow for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor, nn
from torch.nn.functional import softplus

from backend.core.parity import ParityRow, compared
from backend.models.fusemap.parity.balance import joint, pairwise
from backend.models.fusemap.parity.batches import as_sparse
from backend.models.fusemap.parity.graph import published_graph
from backend.models.fusemap.parity.losses import divergence, reconstruction, section_loss
from backend.models.fusemap.parity.network import Discriminator, Encoder, decode, spread
from backend.models.fusemap.parity.schedule import fading
from backend.models.fusemap.parity.settings import Settings

Part = TypeVar("Part", bound=nn.Module)

#: Figures of six and of five decimals.
SIX, FIVE = 2e-6, 1.5e-5

PLACES = ((0, 0), (1, 0.1), (2, 0), (0.1, 1), (1.1, 1.2), (2.2, 0.9), (0, 2.1), (1.2, 2))
ROW_SUMS = (1.00618, 1.08518, 0.90134, 0.96515, 1.08518, 1.01236, 1.00618, 0.90134)
FIRST_ROW = (0.2, 0.18257, 0.22361, 0.2, 0, 0, 0.2, 0)
ENCODER_ORDER = (
    "bn_0.bias", "bn_0.weight", "bn_1.bias", "bn_1.weight", "linear_0.bias", "linear_0.weight",
    "linear_1.bias", "linear_1.weight", "sd.bias", "sd.weight", "mean.bias", "mean.weight",
)  # fmt: skip
ADVERSARY_ORDER = (
    "linear_0.bias", "linear_0.weight", "linear_1.bias", "linear_1.weight", "pred.bias",
    "pred.weight",
)  # fmt: skip
CELL, NICHE = (-0.715462, -0.930871, -0.221560), (-0.718757, -0.926454, -0.216686)
SIZES = ((4, 5, 6), (3, 4, 5, 6), (5, 6, 7))
JOINT = (
    1.872837, 1.491306, 0.008686, 0.025970, 0.015636, 1.797924, 1.478321, 0.012509, 1.498270,
    1.278263,
)  # fmt: skip
PAIRWISE = (
    1.775724, 1.473396, 0.088354, 0.221329, 0.760730, 1.447690, 1.175774, 0.611015, 1.239368,
    1.072674,
)  # fmt: skip
FADING = (0.98490, 0.96645, 0.92618, 0.83894, 0.65102, 0.24847)


def sines(rows: int, columns: int, a: float, o: int) -> NDArray[np.float32]:
    """Return S(rows, columns, a, o)."""
    place = 1 + o + np.arange(rows * columns, dtype=np.float64)
    return np.sin(a * place).reshape(rows, columns).astype(np.float32)


def golden_rows() -> Iterator[ParityRow]:
    """Yield our values beside the golden ones."""
    with torch.no_grad():
        yield from _losses()
        yield from _graph()
        yield from _network()
    yield from _balance()
    fades = [fading(epoch, 14 + epoch) for epoch in range(10, 16)]
    # Quoted to five digits but computed from rounded values: the last is off in the fourth.
    yield compared("noise left, phase 4, epochs 10 to 15", fades, FADING, 2e-4)


def _tensor(rows: int, columns: int, a: float, o: int) -> Tensor:
    return torch.from_numpy(sines(rows, columns, a, o))


def _losses() -> Iterator[ParityRow]:
    hat, x = torch.relu(_tensor(4, 5, 1, 0)), 2 * _tensor(4, 5, 0.7, 0).abs()
    mse = reconstruction(hat, x)
    kl = divergence(_tensor(4, 3, 1.3, 0), softplus(_tensor(4, 3, 0.5, 0)), 5)
    yield compared("loss: squared error", mse.item(), 1.378477, SIX)
    yield compared("loss: KL term", kl.item(), 0.307696, SIX)
    yield compared("loss: autoencoder", (mse + kl).item(), 1.686173, SIX)
    logits, labels = 3 * _tensor(6, 3, 0.9, 0), torch.tensor([0, 1, 2, 0, 1, 2])
    twice, once = (section_loss(logits, labels, double=d).item() for d in (True, False))
    yield compared("loss: cross-entropy, softmax twice", twice, 1.138860, SIX)
    yield compared("loss: cross-entropy, softmax once", once, 1.780534, SIX)


def _golden_graph() -> csr_matrix:
    return published_graph(np.array(PLACES, dtype=np.float32))


def _graph() -> Iterator[ParityRow]:
    graph = _golden_graph()
    yield compared("graph: entries", graph.nnz, 40, 0.0)
    sums = np.asarray(graph.sum(axis=1)).ravel()
    yield compared("graph: row sums", sums, ROW_SUMS, FIVE)
    yield compared("graph: first row", graph[0].toarray().ravel(), FIRST_ROW, 4e-5)


def _network() -> Iterator[ParityRow]:
    settings = Settings(latent=3, hidden=4)
    encoder = _filled(Encoder(5, settings).eval(), ENCODER_ORDER, 0.5)
    graph = as_sparse(_golden_graph())
    cell, sd = encoder(2 * _tensor(8, 5, 0.7, 0).abs())
    niche = spread(graph.t(), cell)
    hat = decode(graph, niche, _tensor(3, 5, 0.4, 0))
    yield compared("encoder: z_C of cell 0", cell[0], CELL, SIX)
    yield compared("encoder: sd of cell 0", sd[0], (0.682424, 0.388482, 0.499249), SIX)
    yield compared("encoder: z_T of cell 0", niche[0], NICHE, SIX)
    yield compared("decoder: cell 0", hat[0], (0, 0, 0, 0, 0.104595), FIVE)
    yield compared("decoder: sum", hat.sum().item(), 0.815498, SIX)
    judge = _filled(Discriminator(3, settings).eval(), ADVERSARY_ORDER, 0.1)
    logits = judge(cell[:1])[0]
    yield compared("discriminator: z_C of cell 0", logits, (0.641189, -0.501968, -0.656760), SIX)


def _filled(module: Part, order: tuple[str, ...], scale: float) -> Part:
    """Fill the parameters in the given order with scaled sines."""
    parameters = dict(module.named_parameters())
    assert set(parameters) == set(order)
    for i, name in enumerate(order):
        values = scale * _tensor(1, parameters[name].numel(), 0.3, i)
        parameters[name].data = values.reshape(parameters[name].shape)
    return module


def _balance() -> Iterator[ParityRow]:
    means = [sines(3, 3, 0.8, 0), sines(4, 3, 0.8, 2), sines(3, 3, 0.8, 5)]
    unit = [m.astype(np.float64) / np.linalg.norm(m, axis=1, keepdims=True) for m in means]
    sizes = [np.array(s, dtype=np.float64) for s in SIZES]
    yield compared("balance weights, joint", np.concatenate(joint(unit, sizes)), JOINT, SIX)
    found = np.concatenate(pairwise(unit, sizes))
    yield compared("balance weights, pairwise", found, PAIRWISE, SIX)
