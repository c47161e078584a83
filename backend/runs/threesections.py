"""The three simulated sections of the FuseMap fixture, with the counts of all genes they lack.

The fixture holds what every section measured, and the rates. The generator below draws the same
stream again (numpy's default generator, seed 20240527), so that a gene outside a panel has the very
counts that the section would have shown. Whether it does is checked against the files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.data import SectionData
from backend.core.errors import BadFile, Fault
from backend.intake.read import read_h5ad
from backend.runs.fixture import Arrays, read_arrays

#: Log rates, effects of type and region, composition of regions, genes of all panels.
TRUTH = ("base", "TE", "RE", "comp", "shared")
SEED, N_CELLS, N_GENES, N_TYPES, N_REGIONS = 20240527, 1500, 400, 8, 5
N_SHARED, UNIQUE = 40, (80, 120, 160)
DEPTH, CUTS = (1.0, 0.6, 1.5), (0.18, 0.36, 0.58, 0.80)

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Simulated:
    """One section.

    Parameters
    ----------
    data : SectionData
        Its panel, as the file has it.
    panel : (p,) int64
        Numbers of the genes it measured, in the order of ``data.genes``.
    full : (n, 400) int64
        Counts of all genes.
    types, regions : (n,) int64
    """

    data: SectionData
    panel: Ints
    full: Ints
    types: Ints
    regions: Ints


def read_threesections(path: Path) -> list[Simulated]:
    """Return the sections beside ``path``, with the counts of all genes.

    Parameters
    ----------
    path : Path
        ``threesections_truth.npz``; threesections_s0.h5ad to s2 lie beside it.

    Raises
    ------
    BadFile
        If a file is missing or is not of this simulation.
    """
    truth = read_arrays(path, TRUTH)
    made = list(generate(truth))
    files = [path.with_name(f"threesections_s{s}.h5ad") for s in range(len(DEPTH))]
    absent = [f for f in files if not f.is_file()]
    if absent:
        raise BadFile(path.name, [_absent(f) for f in absent])
    out = []
    for file, (full, types, regions) in zip(files, made, strict=True):
        [data] = read_h5ad(file)
        panel = np.array([gene_number(g) for g in data.genes], dtype=np.int64)
        if not np.array_equal(full[:, panel], data.counts.toarray()):
            raise BadFile(file.name, [_other(file)])
        out.append(Simulated(data, panel, full, types, regions))
    return out


def gene_number(name: str) -> int:
    """Return the number of a gene of the simulation, such as GENE017."""
    return int(name.upper().removeprefix("GENE"))


def generate(truth: Arrays | None = None) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Yield counts (n, 400), types (n,) and regions (n,) of the three sections.

    Raises
    ------
    BadFile
        If ``truth`` is not what the generator draws.
    """
    rng = np.random.default_rng(SEED)
    base = rng.normal(-0.7, 0.7, N_GENES)
    type_effect, region_effect = _type_effects(rng), _region_effects(rng)
    composition = _composition(rng)
    shared = np.sort(rng.permutation(N_GENES)[:N_SHARED])
    drawn = (base, type_effect, region_effect, composition, shared)
    _check(dict(zip(TRUTH, drawn, strict=True)), truth)
    for s, depth in enumerate(DEPTH):
        regions = _regions(rng, s)
        types = np.array([rng.choice(N_TYPES, p=composition[r]) for r in regions])
        batch = rng.normal(0, 0.35, N_GENES)
        size = depth * np.exp(rng.normal(0, 0.3, N_CELLS))
        rate = np.exp(base + type_effect[types] + region_effect[regions] + batch)
        noisy = rate * size[:, None] * rng.gamma(4, 1 / 4, (N_CELLS, N_GENES))
        yield rng.poisson(noisy), types, regions


def true_scores(truth: Arrays, section: Simulated) -> NDArray[np.float64]:
    """Return the log rate (n, 400) of every cell but for size and batch, which shift it alone."""
    effects = truth["TE"][section.types] + truth["RE"][section.regions]
    return np.asarray(truth["base"] + effects)


def hidden_genes(section: Simulated) -> Ints:
    """Return the numbers of the genes that a section did not measure."""
    return np.setdiff1d(np.arange(N_GENES), section.panel)


def full_counts(section: Simulated) -> csr_matrix:
    """Return the counts (n, 400) of all genes as floats."""
    return csr_matrix(section.full.astype(np.float32))


def _type_effects(rng: np.random.Generator) -> NDArray[np.float64]:
    """(types, genes): 70 % of the genes mark one or two types."""
    out = np.zeros((N_TYPES, N_GENES))
    for g in range(N_GENES):
        n = rng.integers(1, 3)
        if rng.random() < 0.7:
            size = rng.uniform(1.2, 2.5, n)
            out[rng.choice(N_TYPES, n, replace=False), g] = size
    return out


def _region_effects(rng: np.random.Generator) -> NDArray[np.float64]:
    """(regions, genes): 35 % of the genes vary by region."""
    varies = rng.random(N_GENES) < 0.35
    out = np.zeros((N_REGIONS, N_GENES))
    out[:, varies] = rng.normal(0, 0.6, (N_REGIONS, int(varies.sum())))
    return out


def _composition(rng: np.random.Generator) -> NDArray[np.float64]:
    """(regions, types): share of every type."""
    rows = []
    for r in range(N_REGIONS):
        a = np.full(N_TYPES, 0.25)
        a[[r, (r + 3) % N_TYPES]] = 3
        a[7] = 1
        rows.append(rng.dirichlet(2 * a))
    return np.array(rows)


def _regions(rng: np.random.Generator, s: int) -> Ints:
    """Wavy bands over a jittered grid of 50 by 30 cells."""
    i = np.arange(N_CELLS)
    grid = np.stack([i % 50 * 20.0, i // 50 * 25.0], axis=1)
    xy = grid + rng.normal(0, 4.5, grid.shape)
    band = xy[:, 1] / 750 + 0.12 * np.sin(2 * np.pi * xy[:, 0] / 1000 + 0.5 * s)
    return np.searchsorted(CUTS, band).astype(np.int64)


def _check(drawn: Arrays, truth: Arrays | None) -> None:
    if truth is None:
        return
    faults = [
        Fault(
            "it is not what seed 20240527 draws",
            name,
            f"an array of shape {values.shape} as in the specification of the simulation",
            "Use the truth file that came with the sections.",
        )
        for name, values in drawn.items()
        if truth[name].shape != values.shape or not np.allclose(truth[name], values)
    ]
    if faults:
        raise BadFile("threesections_truth.npz", faults)


def _absent(path: Path) -> Fault:
    remedy = "Put threesections_s0.h5ad to s2 beside the truth file."
    return Fault("there is no such file", str(path), "a simulated section", remedy)


def _other(path: Path) -> Fault:
    expected = "the counts that the generator draws for this section"
    return Fault("its counts are others", str(path), expected, "Use the file of the fixture.")
