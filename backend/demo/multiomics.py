"""A simulated multi-omics section: four shapes, and modalities that are blind for some of them.

The simulations of the SpatialGlue specification. A 36 x 36 lattice with four shapes that do not
overlap; every feature follows one shape and one non-spatial factor that switches on in random
spots; a modality is blind for the shapes that it does not see. Counts are negative binomial, partly
dropped, plus Gaussian noise. ``python -m backend.demo.multiomics OUT.h5ad`` writes one with RNA and
protein.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from backend.core.data import Label, Modality, ModalityKind, SectionData
from backend.core.layers import Category

SIDE, BLOCK = 36, 6
SHAPES: tuple[tuple[tuple[int, int], ...], ...] = (
    ((0, 1), (1, 0), (1, 1), (1, 2), (2, 1)),
    ((0, 3), (0, 4), (0, 5), (1, 3), (1, 5), (2, 3), (2, 4), (2, 5)),
    ((3, 0), (4, 0), (4, 1), (5, 0), (5, 1), (5, 2)),
    ((3, 3), (3, 4), (3, 5), (4, 4), (5, 4)),
)
#: Background means of the five published settings.
RNA_BACKGROUND = (0.2, 0.3, 0.4, 0.5, 0.6)
PROTEIN_BACKGROUND = (0.4, 0.5, 0.6, 0.7, 0.8)


@dataclass(frozen=True, slots=True)
class Assay:
    """One simulated modality: which shapes (1-4) it sees, its size and its noise.

    ``depth`` scales all means; ``noise`` is the spread of a Gaussian of mean 2 that is added to
    every value, none where it is 0 (counts stay sparse whole numbers then).
    """

    kind: ModalityKind
    sees: tuple[int, ...]
    features: int
    background: float
    dropped: float
    switched_on: float
    depth: float = 1.0
    noise: float = 0.5


@dataclass(frozen=True, slots=True)
class Simulated:
    """A section and its truth: shape 0-4 of every spot, shapes seen per modality."""

    section: SectionData
    truth: NDArray[np.int64]
    sees: Mapping[str, tuple[int, ...]]


def two_modalities(level: int) -> dict[str, Assay]:
    """RNA sees shapes 1, 3, 4 and protein shape 2; ``level`` 1-5 is the published setting."""
    return {
        "rna": Assay("rna", (1, 3, 4), 1000, RNA_BACKGROUND[level - 1], 0.5, 0.2),
        "protein": Assay("protein", (2,), 100, PROTEIN_BACKGROUND[level - 1], 0.0, 0.25),
    }


def three_modalities() -> dict[str, Assay]:
    """RNA sees shapes 1 and 3, ATAC 3 and 4, protein 2."""
    return {
        "rna": Assay("rna", (1, 3), 1000, 0.2, 0.5, 0.2),
        "atac": Assay("atac", (3, 4), 1000, 0.2, 0.5, 0.2),
        "protein": Assay("protein", (2,), 100, 0.4, 0.0, 0.25),
    }


def sparse_bins() -> dict[str, Assay]:
    """Bins with few counts each, as large sections have them."""
    return {
        "rna": Assay("rna", (1, 3, 4), 1000, 0.2, 0.0, 0.2, depth=0.03, noise=0.0),
        "protein": Assay("protein", (2,), 60, 0.4, 0.0, 0.25, depth=0.2, noise=0.0),
    }


def simulate(assays: Mapping[str, Assay], seed: int, repeats: int = 1) -> Simulated:
    """Return a section of ``repeats`` x ``repeats`` copies of the plan, each drawn afresh."""
    rng = np.random.default_rng(seed)
    truth = np.tile(_plan(), (repeats, repeats)).ravel()
    side = SIDE * repeats
    y, x = np.divmod(np.arange(side * side), side)
    n = len(truth)
    measured = tuple(_measure(name, assay, truth, rng) for name, assay in assays.items())
    categories = tuple(Category(f"shape {k}" if k else "background", "#888888") for k in range(5))
    section = SectionData(
        id=f"ggblocks-{seed}",
        title=f"Simulation {seed}",
        xy=np.stack([x, y], axis=1).astype(np.float32),
        counts=csr_matrix((n, 0), dtype=np.float32),
        genes=(),
        names=np.array([f"spot{i}" for i in range(n)], dtype=object),
        labels={"region": Label(truth.astype(np.int16), categories)},
        unit="none",
        technology="simulation",
        modalities=measured,
    )
    return Simulated(section, truth, {name: a.sees for name, a in assays.items()})


def without(made: Simulated, name: str, rows: NDArray[np.int64]) -> Simulated:
    """Return the same with one modality missing in some spots."""
    changed = []
    for modality in made.section.modalities:
        if modality.name == name:
            present = modality.present.copy()
            present[rows] = False
            values = csr_matrix(modality.values).multiply(present[:, None]).tocsr()
            modality = replace(modality, present=present, values=values)
        changed.append(modality)
    return replace(made, section=replace(made.section, modalities=tuple(changed)))


def _plan() -> NDArray[np.int64]:
    plan = np.zeros((SIDE, SIDE), np.int64)
    for k, cells in enumerate(SHAPES, start=1):
        for row, column in cells:
            plan[row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK] = k
    return plan


def _measure(
    name: str, assay: Assay, truth: NDArray[np.int64], rng: np.random.Generator
) -> Modality:
    n, p = len(truth), assay.features
    shape = rng.integers(1, 5, p)
    nuisance = rng.integers(0, 3, p)
    on = rng.random((n, 3)) < assay.switched_on
    values = []
    seen = np.isin(shape, assay.sees)
    # By blocks, so that a large section needs no dense matrix of float64.
    for start in range(0, n, 4096):
        rows = slice(start, min(start + 4096, n))
        inside = (truth[rows, None] == shape) & seen
        mean = assay.depth * (assay.background + 11.0 * inside + 9.0 * on[rows][:, nuisance])
        drawn = rng.negative_binomial(10, 10 / (10 + mean)).astype(np.float32)
        drawn[rng.random(drawn.shape) < assay.dropped] = 0
        if assay.noise:
            drawn = np.maximum(drawn + rng.normal(2, assay.noise, drawn.shape), 0)
        values.append(csr_matrix(drawn.astype(np.float32)))
    features = tuple(f"{name}_{j}" for j in range(p))
    joined = csr_matrix(vstack(values))
    return Modality(name, assay.kind, joined, features, np.ones(n, np.bool_))


def write_demo(path: Path, seed: int = 7) -> None:
    """Write a section of RNA and protein as one .h5ad file with ``var['feature_type']``.

    The noise around zero is dropped and counts are rounded, so that the file holds raw counts.
    """
    import anndata  # slow to import
    import pandas as pd
    from scipy.sparse import hstack

    made = simulate(two_modalities(2), seed)
    section = made.section
    parts = [csr_matrix(m.values) for m in section.modalities]
    types = [m.kind for m in section.modalities for _ in m.features]
    names = [f for m in section.modalities for f in m.features]
    counts = csr_matrix(hstack(parts))
    counts.data = np.rint(counts.data)
    counts.eliminate_zeros()
    codes = section.labels["region"].codes
    shapes = pd.Index([c.name for c in section.labels["region"].categories])
    data = anndata.AnnData(
        counts,
        obs=pd.DataFrame(
            {"region": pd.Categorical.from_codes(codes, shapes)}, index=section.names.astype(str)
        ),
        var=pd.DataFrame({"feature_type": pd.Categorical(types)}, index=names),
        # 50 micrometres from spot to spot.
        obsm={"spatial": 50.0 * section.xy.astype(np.float64)},
        uns={"technology": "simulation", "simulated": "yes"},
    )
    draft = path.with_name(f"{path.name}.partial")
    data.write_h5ad(draft, compression="gzip")
    draft.replace(path)


if __name__ == "__main__":
    write_demo(Path(sys.argv[1]))
