"""Real sets for the benchmark of co-localisation: tissue to learn from, and unseen tissue."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
from scipy.sparse import csr_matrix

from backend.core.data import SectionData

#: Micrometres per unit where the source states none: assumed, see the data sets' own page.
ASSUMED = {"mpfc": 0.1, "embryo": 280.0}
FILES = {
    "mpfc": "starmap_mpfc/starmap_mpfc.h5ad",
    "mop": "merfish_mop/merfish_mop.h5ad",
    "hypo": "merfish_hypothalamus/merfish_hypothalamus.h5ad",
    "osm": "osmfish_sscortex/osmfish_sscortex.h5ad",
    "xen": "xenium_breast/xenium_breast_rois.h5ad",
    "embryo": "seqfish_embryo/seqfish_embryo1.h5ad",
}
#: Width of the band between two halves of a section that neither has, micrometres.
GAP = 150.0
#: Cells with fewer counts are left out.
LEAST_COUNTS = 10


def load(folder: Path, name: str) -> tuple[SectionData, np.ndarray, np.ndarray]:
    """Return all cells of a set as one section, with their section names and cell types."""
    data = anndata.read_h5ad(folder / FILES[name])
    keep = np.asarray(data.X.sum(axis=1)).ravel() >= LEAST_COUNTS
    if "cell_type" in data.obs:
        types = data.obs["cell_type"].astype(object).fillna("").to_numpy().astype(str)
        keep &= ~np.isin(types, ["Ambiguous", "Excluded"]) | (name == "osm")
    else:
        types = np.full(data.n_obs, "")
    if name == "osm":
        types = np.where(types == "Excluded", "", types)
    xy = np.asarray(data.obsm["spatial"], np.float32) * ASSUMED.get(name, 1.0)
    section = SectionData(
        name,
        name,
        np.asarray(xy[keep], np.float32),
        csr_matrix(data.X[keep], dtype=np.float32),
        tuple(map(str, data.var_names)),
        data.obs_names.to_numpy()[keep],
        unit="volume-normalised" if name == "hypo" else "counts",
    )
    return section, data.obs["section"].to_numpy().astype(str)[keep], types[keep]


def part(section: SectionData, rows: np.ndarray, title: str) -> SectionData:
    """Return some cells of a section."""
    return SectionData(
        title, title, section.xy[rows], section.counts[rows], section.genes, section.names[rows],
        unit=section.unit,
    )  # fmt: skip


def splits(folder: Path, name: str) -> list[tuple[list[np.ndarray], np.ndarray]]:
    """Return rows to train on (per section) and unseen rows, for each fold of a set."""
    section, groups, _ = load(folder, name)
    rows = {g: np.flatnonzero(groups == g) for g in np.unique(groups)}
    if name == "mop":
        return [
            ([rows["slice1"]], rows["slice10"]),
            ([rows["slice1"], rows["slice10"]], rows["slice200"]),
        ]
    if len(rows) == 2:
        one, two = rows.values()
        return [([one], two)] if name == "embryo" else [([one], two), ([two], one)]
    axis = int(np.ptp(section.xy, axis=0).argmax())
    along = section.xy[:, axis] - np.median(section.xy[:, axis])
    low, high = np.flatnonzero(along < -GAP / 2), np.flatnonzero(along > GAP / 2)
    return [([low], high), ([high], low)]
