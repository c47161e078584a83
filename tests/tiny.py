"""A small atlas on disk for the tests of everybody: three sections, 12 genes, two labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from backend.core.data import Column, Label, Provenance, SectionData, TaskResult
from backend.core.layers import Category, LayerKey
from backend.store.atlas import Atlas
from backend.store.write import plan_of, write_atlas, write_result

GENES = (
    "Slc17a7", "Gad1", "Gad2", "Sst", "Pvalb", "Vip", "Aqp4", "Mbp", "Cx3cr1", "Cldn5",
    "Prox1", "Foxp2",
)  # fmt: skip
TYPES = tuple(
    Category(name, colour)
    for name, colour in (
        ("Excitatory", "#f07b26"),
        ("Inhibitory", "#7a87fb"),
        ("Astrocyte", "#007973"),
        ("Oligodendrocyte", "#7340af"),
    )
)
REGIONS = (
    Category("L2/3", "#aed8ef", "Isocortex"),
    Category("L5", "#3377be", "Isocortex"),
    Category("CA1", "#157a63", "Hippocampal formation"),
)
SIZES = {"alpha": 240, "beta": 160, "gamma": 40}
DIMENSIONS = 4


def tiny_section(section_id: str, seed: int = 0, unit: str = "counts") -> SectionData:
    """Section alpha (all genes, 1000 um), beta (8 genes, 900 um) or gamma (no genes, 200 um).

    Gamma is small and of another data set, so its slot lies two levels deeper.
    """
    n = SIZES[section_id]
    rng = np.random.default_rng([seed, n])
    side = {"alpha": 1000, "beta": 900, "gamma": 200}[section_id]
    xy = rng.uniform(0, side, (n, 2)).astype(np.float32) + np.float32(50)
    genes = {"alpha": GENES, "beta": GENES[4:], "gamma": ()}[section_id]
    types = rng.integers(-1, len(TYPES), n).astype(np.int16)
    # Bands from top to bottom, so that a region is a place.
    regions = np.minimum((xy[:, 1] - 50) / side * len(REGIONS), len(REGIONS) - 1).astype(np.int16)
    labels = {"type": Label(types, TYPES), "region": Label(regions, REGIONS)}
    rate = 0.3 + 3.0 * (np.arange(len(genes))[None, :] % len(TYPES) == types[:, None])
    counts = csr_matrix(rng.poisson(rate).astype(np.float32))
    return SectionData(
        id=section_id,
        title=section_id.capitalize(),
        xy=xy,
        counts=counts,
        genes=tuple(genes),
        names=np.array([f"{section_id}-{i}" for i in range(n)], dtype=object),
        labels=labels if section_id != "gamma" else {"type": labels["type"]},
        numbers={LayerKey("confidence", "type"): rng.uniform(0, 1, n).astype(np.float32)}
        if section_id == "alpha"
        else {},
        unit=unit if genes else "none",
        technology="MERFISH",
        dataset="tiny" if genes else "tiny-labels",
    )


def tiny_atlas(path: Path, with_embedding: bool = True) -> Path:
    """Write the small atlas to ``path`` and return it; the same bytes at every call."""
    sections = [tiny_section(name) for name in SIZES]
    positions = {"alpha": -1.0, "beta": -1.5, "gamma": None}
    plan = [
        plan_of(s, simulated=True, axis="bregma", position=positions[s.id], animal="1")
        for s in sections
    ]
    write_atlas(
        path,
        "tiny",
        sections,
        simulated=True,
        plan=plan,
        ensembl={"Gad1": "ENSMUSG00000070880"},
    )
    if with_embedding:
        _embed(path)
    return path


def _embed(path: Path) -> None:
    """Write an embedding in which the type of a cell can be read off, and gene tables."""
    atlas = Atlas.open(path)
    rng = np.random.default_rng(7)
    types = np.asarray(atlas.label("type").codes[:])
    cells = rng.normal(0, 8, (atlas.n_cells, DIMENSIONS))
    cells[np.arange(atlas.n_cells), np.maximum(types, 0)] += 60 * (types >= 0)
    measured = [info.id for info in atlas.sections() if info.n_genes]
    scale = np.array([0.02, 0.02, 0.025, 0.025], np.float32)
    genes = np.zeros((len(GENES), DIMENSIONS), np.float32)
    genes[np.arange(len(GENES)), np.arange(len(GENES)) % DIMENSIONS] = 1.0
    trust = np.full((len(GENES), 3), np.nan, np.float32)
    trust[:8] = [0.6, 0.3, 1.0]
    provenance = Provenance("fusemap", "0", {"note": "made by hand"}, 7, ("tiny",))
    section = atlas.sections()[0]
    score = Column(
        section.id, LayerKey("score", "hand"), np.linspace(0, 1, section.n_cells, dtype=np.float32)
    )
    write_result(
        path,
        TaskResult(columns=(score,), provenance=provenance),
        embeddings={"cell": (np.clip(np.rint(cells), -127, 127).astype(np.int8), scale)},
        genes=(genes, np.full(len(GENES), 0.1, np.float32), trust),
        checkpoint="hand-made",
        embedded=measured,
    )
