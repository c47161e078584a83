"""Three simulated sections with known types, regions and unmeasured genes.

After section 10 of the method notes on FuseMap: 5 regions, 8 types, 400 genes of which panels of
120, 160 and 200 are measured (40 shared by all), Poisson counts with over-dispersion and a log
batch effect per section and gene.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.data import Label, SectionData
from backend.core.layers import Category

SEED = 20240527
N_TYPES, N_REGIONS, N_GENES, N_CELLS = 8, 5, 400, 1500
UNIQUE = (80, 120, 160)
DEPTH = (1.0, 0.6, 1.5)
CUTS = (0.18, 0.36, 0.58, 0.80)


@dataclass(frozen=True, slots=True)
class Simulation:
    """Sections with their panels, and the counts of all 400 genes of each."""

    sections: list[SectionData]
    panels: list[NDArray[np.int64]]
    full: list[NDArray[np.int64]]
    types: list[NDArray[np.int64]]
    regions: list[NDArray[np.int64]]


def simulate(seed: int = SEED, n_cells: int = N_CELLS) -> Simulation:
    """Return the simulation of one random stream."""
    rng = np.random.default_rng(seed)
    base = rng.normal(-0.7, 0.7, N_GENES)
    type_effect = _marker_effects(rng)
    region_effect = rng.normal(0, 0.6, (N_GENES, N_REGIONS)) * (rng.random((N_GENES, 1)) < 0.35)
    composition = _compositions(rng)
    starts = 40 + np.concatenate([[0], np.cumsum(UNIQUE)[:-1]])
    out = Simulation([], [], [], [], [])
    for s in range(3):
        xy, region = _places(rng, s, n_cells)
        kind = np.array([rng.choice(N_TYPES, p=composition[r]) for r in region])
        batch = rng.normal(0, 0.35, N_GENES)
        size = DEPTH[s] * np.exp(rng.normal(0, 0.3, n_cells))
        log_rate = base + type_effect[:, kind].T + region_effect[:, region].T + batch
        rate = np.exp(log_rate) * size[:, None] * rng.gamma(4, 1 / 4, (n_cells, N_GENES))
        counts = rng.poisson(rate)
        panel = np.concatenate([np.arange(40), np.arange(starts[s], starts[s] + UNIQUE[s])])
        out.sections.append(_section(s, xy, counts[:, panel], panel, kind, region))
        out.panels.append(panel)
        out.full.append(counts)
        out.types.append(kind)
        out.regions.append(region)
    return out


def _marker_effects(rng: np.random.Generator) -> NDArray[np.float64]:
    """(genes, types) log effects: 70 % of genes mark one or two types."""
    effect = np.zeros((N_GENES, N_TYPES))
    for gene in np.flatnonzero(rng.random(N_GENES) < 0.7):
        marked = rng.choice(N_TYPES, rng.integers(1, 3), replace=False)
        effect[gene, marked] = rng.uniform(1.2, 2.5, len(marked))
    return effect


def _compositions(rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """Share of types per region."""
    out = []
    for r in range(N_REGIONS):
        a = np.full(N_TYPES, 0.25)
        a[[r, (r + 3) % N_TYPES]] = 3
        a[7] = 1
        out.append(rng.dirichlet(2 * a))
    return out


def _places(
    rng: np.random.Generator, s: int, n_cells: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Jittered grid and wavy bands."""
    columns = 50
    i = np.arange(n_cells)
    xy = np.stack([i % columns * 20.0, i // columns * (750 / np.ceil(n_cells / columns))], axis=1)
    xy = xy + rng.normal(0, 4.5, xy.shape)
    band = xy[:, 1] / 750 + 0.12 * np.sin(2 * np.pi * xy[:, 0] / 1000 + 0.5 * s)
    return xy, np.searchsorted(CUTS, band)


def _section(
    s: int,
    xy: NDArray[np.float64],
    counts: NDArray[np.int64],
    panel: NDArray[np.int64],
    kind: NDArray[np.int64],
    region: NDArray[np.int64],
) -> SectionData:
    """A section with its labels."""
    types = tuple(Category(f"type {t}", "#888888") for t in range(N_TYPES))
    regions = tuple(Category(f"region {r}", "#888888") for r in range(N_REGIONS))
    return SectionData(
        id=f"s{s}",
        title=f"Section {s}",
        xy=xy.astype(np.float32),
        counts=csr_matrix(counts.astype(np.float32)),
        genes=tuple(f"Gene{g}" for g in panel),
        names=np.array([f"s{s}-{i}" for i in range(len(xy))]),
        labels={
            "type": Label(kind.astype(np.int16), types),
            "region": Label(region.astype(np.int16), regions),
        },
        dataset=f"d{s}",
    )
