"""Simulated cells with a known rule: patches of one profile, and a gene pair of two types."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.sparse import csr_matrix

from backend.core.data import Label, SectionData
from backend.core.layers import Category
from backend.models.spatialformer.pairs import cell_graph

TYPES = (Category("A", "#000000"), Category("B", "#ffffff"))
SIDE = 700.0


def section_of(counts: np.ndarray, xy: np.ndarray, name: str = "planted") -> SectionData:
    genes = tuple(f"g{i}" for i in range(counts.shape[1]))
    names = np.array([f"c{i}" for i in range(len(xy))])
    return SectionData(
        name, name, xy.astype(np.float32), csr_matrix(counts, dtype=np.float32), genes, names
    )


def patches(seed: int, n: int = 1500) -> tuple[SectionData, Label]:
    """Cells whose profile follows patches of 100 um; types are places in a chessboard."""
    random = np.random.default_rng(seed)
    xy = random.uniform(0, SIDE, (n, 2))
    place = np.floor(xy / 100).astype(int)
    kind = (place[:, 0] * 3 + place[:, 1] * 5) % 6
    rates = np.random.default_rng(0).gamma(0.5, 2.0, (6, 40))
    counts = random.poisson(rates[kind] + 0.05)
    return section_of(counts, xy), Label((kind % 2).astype(np.int16), TYPES)


def contacts(seed: int, ratio: float = 1.0, n: int = 1600) -> tuple[SectionData, Label]:
    """Two types mixed at random; g3 of A is ``ratio`` times as common beside a B that shows g7."""
    random = np.random.default_rng(seed)
    xy = random.uniform(0, SIDE, (n, 2))
    codes = random.integers(0, 2, n)
    counts = random.poisson(0.7, (n, 25)).astype(float)
    counts[:, 7] = random.random(n) < 0.3
    graph = cell_graph(xy.astype(np.float32))
    beside = np.asarray(graph @ ((codes == 1) & (counts[:, 7] > 0)).astype(float)) > 0
    chance = np.where(beside & (codes == 0), min(0.15 * ratio, 0.9), 0.15)
    counts[:, 3] = random.random(n) < chance
    return section_of(counts, xy), Label(codes.astype(np.int16), TYPES)


def spilled(section: SectionData, share: float, seed: int) -> SectionData:
    """The same with ``share`` of the counts of cells within 15 um of each cell added to it."""
    random = np.random.default_rng(seed)
    near = cell_graph(section.xy, 15.0)
    more = np.asarray((near @ section.counts).todense())
    return replace(
        section, counts=csr_matrix(section.counts + random.poisson(share * more), dtype=np.float32)
    )
