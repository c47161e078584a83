"""What a training gives: embeddings, proportions, programs; and values from nearest cells.

The published imputation copies a gene's count from the nearest cell of a section that measures it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backend.models.common.baselines import knn_values
from backend.models.inspire.parity.batches import Source, whole
from backend.models.inspire.parity.network import Network
from backend.models.inspire.parity.settings import Settings

#: Cells that are embedded at once by the linear encoder.
CHUNK = 10_000

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Embedded:
    """A section in the common space.

    Parameters
    ----------
    cells : (m,) int64
        Rows of the section that the published filters keep.
    z : (m, d) float32
    proportions : (m, K) float32
        Rows sum to 1.
    """

    cells: NDArray[np.int64]
    z: Floats
    proportions: Floats


@dataclass(frozen=True, slots=True)
class Fitted:
    """A training's result.

    Parameters
    ----------
    sections : tuple of Embedded
    genes : tuple of g str, upper case, ascending
    programs : (K, g) float32
        Loadings; rows sum to 1.
    offsets : (sections, g) float32
        Log offset of every gene in every section.
    history : tuple of dict
        Losses of every hundredth step, by ``step``.
    """

    sections: tuple[Embedded, ...]
    genes: tuple[str, ...]
    programs: Floats
    offsets: Floats
    history: tuple[dict[str, float], ...]


def fitted_of(
    network: Network,
    data: Source,
    genes: tuple[str, ...],
    settings: Settings,
    history: tuple[dict[str, float], ...],
    device: str,
) -> Fitted:
    """Return what the network says of all cells of all sections."""
    with torch.no_grad():
        pairs = list(_pairs(network, data, settings, device))
        programs = network.programs().cpu().numpy()
        offsets = network.gamma.detach().cpu().numpy()
    sections = tuple(
        Embedded(s.cells, z, beta) for s, (z, beta) in zip(data.sections, pairs, strict=True)
    )
    return Fitted(sections, genes, programs, offsets, history)


def _pairs(
    network: Network, data: Source, settings: Settings, device: str
) -> Iterator[tuple[Floats, Floats]]:
    """Return z and proportions of every section in turn."""
    if settings.encoder == "attention":
        batch = whole(data, device)
        z = network.encoder(batch.features, batch.edges)
        beta = network.proportions(z, batch.section)
        for one, other in zip(z.split(batch.sizes), beta.split(batch.sizes), strict=True):
            yield one.cpu().numpy(), other.cpu().numpy()
        return
    for s, features in enumerate(data.features):
        parts = []
        for first in range(0, features.shape[0], CHUNK):
            rows = features[first : first + CHUNK].toarray()
            z = network.encoder(torch.from_numpy(rows).to(device), None)
            code = torch.full((len(z),), s, device=device)
            parts.append((z, network.proportions(z, code)))
        yield _joined([p[0] for p in parts]), _joined([p[1] for p in parts])


def _joined(parts: Sequence[Tensor]) -> Floats:
    return torch.cat(list(parts)).cpu().numpy()


def copied(
    source: Embedded, values: NDArray[np.floating], target: Embedded, k: int = 1
) -> NDArray[np.float64]:
    """Return the mean of ``values`` over the nearest cells of another section.

    Parameters
    ----------
    source, target : Embedded
    values : (m, genes)
        Of the cells of ``source``.
    k : int
        1 as published; 15 to 50 predict better.
    """
    return knn_values(
        source.z.astype(np.float64), np.asarray(values, np.float64), target.z.astype(np.float64), k
    )
