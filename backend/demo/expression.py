"""Counts of simulated cells: exact log rates for any gene, and negative binomial draws.

Each cell has its own random stream, made from the section's seed and the cell's number, so counts
do not depend on how the work is cut into chunks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.demo.genes import GeneModel
from backend.demo.technologies import Technology
from backend.demo.types import gradients_of_type

#: Largest number of (cell, gene) entries worked on at once.
CHUNK_ENTRIES = 4_000_000
_MOST = 60_000


class Cells(NamedTuple):
    """Cells of a section; an observation (cell, spot or bead) has one or more of them.

    Parameters
    ----------
    start : (n + 1,) int64
        Cells of observation i are start[i] .. start[i + 1] - 1.
    kind : (m,) int16
        Type.
    parent : (m,) int16
        Parent region.
    factors : (m, N_FACTORS) float32
        Smooth functions of the place.
    """

    start: NDArray[np.int64]
    kind: NDArray[np.int16]
    parent: NDArray[np.int16]
    factors: NDArray[np.float32]

    @property
    def n(self) -> int:
        """Number of observations."""
        return self.start.size - 1


def true_log_rate(
    model: GeneModel, cells: Cells, genes: NDArray[np.int32], rows: slice = slice(None)
) -> NDArray[np.float32]:
    """Return the expected log expression, (n, len(genes)), free of depth, batch and noise.

    For spots it is the log of the mean over their cells.
    """
    first, last, _ = rows.indices(cells.n)
    part = slice(cells.start[first], cells.start[last])
    kind, parent = cells.kind[part], cells.parent[part]
    scaled = cells.factors[part] * gradients()[kind][:, None]
    rate: NDArray[np.float32] = np.exp(
        model.base[genes]
        + model.of_type[kind][:, genes]
        + model.of_region[parent][:, genes]
        + scaled @ model.loadings[:, genes]
    )
    edges = cells.start[first : last + 1] - cells.start[first]
    total = np.add.reduceat(rate, edges[:-1], axis=0)
    mean: NDArray[np.float32] = np.log(total / np.diff(edges)[:, None]).astype(np.float32)
    return mean


def draw_counts(
    model: GeneModel,
    cells: Cells,
    genes: NDArray[np.int32],
    technology: Technology,
    seed: tuple[int, ...],
    tell: Callable[[float], None] = lambda _: None,
) -> csr_matrix:
    """Return counts, (n, len(genes)) float32, of all observations of a section."""
    batch = batch_effects(technology, model, seed)[genes]
    pairs, pair = np.unique(cells.kind.astype(np.int64) * 64 + cells.parent, return_inverse=True)
    table = np.exp(
        (model.base + np.log(_sensitivity(model, genes, technology)))[genes]
        + model.of_type[pairs // 64][:, genes]
        + model.of_region[pairs % 64][:, genes]
        + batch
    ).astype(np.float32)
    scaled = cells.factors * gradients()[cells.kind][:, None]
    loadings = np.ascontiguousarray(model.loadings[:, genes])
    depth = _depths(technology, cells.n, seed)
    stream = np.uint64(np.random.default_rng([*seed, 105]).integers(1 << 62))
    step = max(1, CHUNK_ENTRIES // max(len(genes), 1))
    parts = []
    for first in range(0, cells.n, step):
        last = min(first + step, cells.n)
        parts.append(
            _draw(
                first,
                last,
                cells.start,
                pair.astype(np.int32),
                table,
                scaled,
                loadings,
                depth,
                float(technology.theta),
                technology.theta,
                technology.dropout,
                stream,
            )
        )
        tell(last / cells.n)
    lengths = np.concatenate([p[0] for p in parts])
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    values = np.concatenate([p[2] for p in parts]).astype(np.float32)
    indices = np.concatenate([p[1] for p in parts])
    return csr_matrix((values, indices, indptr), shape=(cells.n, len(genes)))


def batch_effects(
    technology: Technology, model: GeneModel, seed: tuple[int, ...]
) -> NDArray[np.float32]:
    """Return the log effect of technology and section on each gene, (g,)."""
    shared = np.random.default_rng([seed[0], 104, technology.panel, technology.theta])
    own = np.random.default_rng([*seed, 104])
    g = len(model.symbols)
    effect = technology.gene_batch * shared.normal(size=g)
    return (effect + technology.section_batch * own.normal(size=g)).astype(np.float32)


def gradients() -> NDArray[np.float32]:
    """Strength of gradients of each type; the type that no atlas section holds has none."""
    return np.append(gradients_of_type(), np.float32(0))


def _sensitivity(model: GeneModel, genes: NDArray[np.int32], technology: Technology) -> float:
    """Return the factor that gives a typical cell the technology's median counts."""
    totals = np.exp(model.base[genes] + model.of_type[:-1][:, genes]).sum(axis=1)
    return float(technology.median / np.median(totals))


def _depths(technology: Technology, n: int, seed: tuple[int, ...]) -> NDArray[np.float32]:
    rng = np.random.default_rng([*seed, 106])
    section = rng.normal(0.0, 0.15)
    return np.exp(section + technology.depth * rng.normal(size=n)).astype(np.float32)


@njit(cache=True, nogil=True)
def _add_exp(
    row: NDArray[np.float32],
    bend: NDArray[np.float32],
    bits: NDArray[np.int32],
    rate: NDArray[np.float32],
) -> None:
    """Add ``row * exp(bend)`` to ``rate``, to within 2e-7 of it, without a call per value.

    exp(x) is 2^n exp(r) with n whole and |r| below ln 2 / 2: a polynomial, and n written into the
    exponent bits of a float (``bits`` is room for that). Compilers make wide instructions of it.
    """
    power = bits.view(np.float32)
    for j in range(len(bend)):
        x = min(max(bend[j], np.float32(-80)), np.float32(80))
        n = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
        r = (x - n * np.float32(0.693359375)) + n * np.float32(2.12194440e-4)
        p = np.float32(1 / 120) + r * np.float32(1 / 720)
        p = np.float32(1 / 6) + r * (np.float32(1 / 24) + r * p)
        bend[j] = np.float32(1) + r * (np.float32(1) + r * (np.float32(0.5) + r * p))
        bits[j] = (np.int32(n) + np.int32(127)) << np.int32(23)
    for j in range(len(bend)):
        rate[j] += row[j] * (bend[j] * power[j])


@njit(cache=True, nogil=True)
def _draw(
    first: int,
    last: int,
    start: NDArray[np.int64],
    pair: NDArray[np.int32],
    table: NDArray[np.float32],
    scaled: NDArray[np.float32],
    loadings: NDArray[np.float32],
    depth: NDArray[np.float32],
    theta: float,
    shape: int,
    dropout: float,
    stream: np.uint64,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint16]]:
    """Return (nonzeros per row, columns, counts) of observations first .. last - 1."""
    g = table.shape[1]
    k = loadings.shape[0]
    lengths = np.zeros(last - first, np.int64)
    columns = np.empty((last - first) * g, np.int32)
    values = np.empty((last - first) * g, np.uint16)
    rate, bend = np.empty(g, np.float32), np.empty(g, np.float32)
    bits = np.empty(g, np.int32)
    used = 0
    for i in range(first, last):
        rate[:] = 0
        members = start[i + 1] - start[i]
        for m in range(start[i], start[i + 1]):
            row = table[pair[m]]
            bend[:] = 0
            for f in range(k):
                for j in range(g):
                    bend[j] += scaled[m, f] * loadings[f, j]
            _add_exp(row, bend, bits, rate)
        scale = depth[i] / members
        state = stream ^ (np.uint64(i + 1) * np.uint64(0x9E3779B97F4A7C15))
        before = used
        for j in range(g):
            state += np.uint64(0x9E3779B97F4A7C15)
            z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z = z ^ (z >> np.uint64(31))
            chance = (z >> np.uint64(11)) * (1.0 / 9007199254740992.0)
            if chance < dropout:
                continue
            chance = (chance - dropout) / (1.0 - dropout)
            mean = rate[j] * scale
            empty = theta / (theta + mean)
            p = empty
            for _ in range(shape - 1):
                p *= empty
            total = p
            count = 0
            while chance > total and count < _MOST and (count < mean or p > 1e-15):
                count += 1
                p *= (count - 1 + theta) / count * (1.0 - empty)
                total += p
            if count > 0:
                columns[used] = j
                values[used] = count
                used += 1
        lengths[i - first] = used - before
    return lengths, columns[:used].copy(), values[:used].copy()
