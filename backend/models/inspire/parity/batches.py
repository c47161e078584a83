"""What a step sees: all cells at once, or batches drawn from every section.

Deviation: sections stay sparse; the rows of a batch are made dense, of the attention encoder all
rows, since it rebuilds every cell at every step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import block_diag, csr_matrix, vstack
from torch import Tensor

from backend.models.inspire.parity.attention import Edges, edges_of
from backend.models.inspire.parity.graph import averaged
from backend.models.inspire.parity.losses import gram, unit_rows
from backend.models.inspire.parity.prepare import Published
from backend.models.inspire.parity.settings import Settings


class Batch(NamedTuple):
    """Cells of all sections, one section after another.

    features : (n, f); x, counts : (n, g); library : (n,); section : (n,) int64
    sizes : cells per section
    units, fixed : per section, unit rows of x and their ``gram``
    """

    features: Tensor
    x: Tensor
    counts: Tensor
    library: Tensor
    section: Tensor
    sizes: list[int]
    edges: Edges | None
    units: list[Tensor]
    fixed: list[Tensor]


class Source(NamedTuple):
    """Sections with the features that the encoder sees, (n, f) csr_matrix each."""

    sections: Sequence[Published]
    features: Sequence[csr_matrix]


def source(sections: Sequence[Published], settings: Settings) -> Source:
    """Return sections with features: averages over neighbours for the linear encoder."""
    if settings.encoder == "attention":
        return Source(sections, [s.x for s in sections])
    return Source(sections, [averaged(s.x, s.graph, settings.hops) for s in sections])


def batches(data: Source, settings: Settings, seed: int, device: str) -> Iterator[Batch]:
    """Yield what every step sees, without end."""
    if settings.encoder == "attention":
        batch = whole(data, device)
        while True:
            yield batch
    rng = np.random.default_rng(seed)
    while True:
        yield drawn(data, settings.batch, rng, device)


def whole(data: Source, device: str) -> Batch:
    """Return all cells, with the edges of all sections."""
    graph = csr_matrix(block_diag([s.graph for s in data.sections], format="csr"))
    graph.sort_indices()
    features = _dense(vstack(data.features), device)
    counts = _dense(vstack([s.counts for s in data.sections]), device)
    library = np.concatenate([s.library for s in data.sections])
    sizes = [s.n_cells for s in data.sections]
    return _batch(features, counts, library, sizes, edges_of(graph, device))


def drawn(data: Source, size: int, rng: np.random.Generator, device: str) -> Batch:
    """Return ``size`` cells of every section, drawn with replacement."""
    rows = [rng.choice(s.n_cells, size) for s in data.sections]
    features = _dense(vstack([f[r] for f, r in zip(data.features, rows, strict=True)]), device)
    pairs = list(zip(data.sections, rows, strict=True))
    counts = _dense(vstack([s.counts[r] for s, r in pairs]), device)
    library = np.concatenate([s.library[r] for s, r in pairs])
    return _batch(features, counts, library, [size] * len(rows), None)


def _batch(
    features: Tensor, counts: Tensor, library: np.ndarray, sizes: list[int], edges: Edges | None
) -> Batch:
    x = features[:, : counts.shape[1]]
    section = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    units = [unit_rows(part) for part in x.split(sizes)]
    size = torch.from_numpy(library).to(x.device)
    fixed = [gram(u) for u in units]
    return Batch(features, x, counts, size, section.to(x.device), sizes, edges, units, fixed)


def _dense(matrix: csr_matrix, device: str) -> Tensor:
    return torch.from_numpy(matrix.toarray().astype(np.float32, copy=False)).to(device)
