"""A small simulated atlas with a trained checkpoint, made once, and a query file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import anndata
import numpy as np
import pandas as pd
import pytest

from backend.core.data import SectionData
from backend.models.fusemap.train import TrainParams
from backend.runs.embed import embed_atlas
from backend.runs.train import train_fusemap
from backend.store.write import write_atlas
from tests.models.simulated import Simulation, simulate


class Trained(NamedTuple):
    """Paths of an atlas of two sections (one more with labels only), its checkpoint, a query."""

    atlas: Path
    checkpoint: Path
    query: Path
    simulation: Simulation


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("runs")
    simulation = simulate(n_cells=400)
    first, second, third = simulation.sections
    bare = replace(first, id="bare", counts=first.counts[:, :0], genes=(), unit="none")
    atlas = write_atlas(folder / "atlas.zarr", "Simulated", [first, second, bare], simulated=True)
    checkpoint = folder / "checkpoint"
    train_fusemap(atlas, checkpoint, TrainParams(k=6, scale="log1p", refine=False, iterations=30))
    embed_atlas(atlas, checkpoint)
    return Trained(atlas, checkpoint, write_h5ad(third, folder / "query.h5ad"), simulation)


def write_h5ad(section: SectionData, path: Path) -> Path:
    obs = pd.DataFrame(index=[f"={name}" for name in section.names])
    var = pd.DataFrame(index=[*section.genes[:-1], "Novel1"])
    data = anndata.AnnData(section.counts, obs=obs, var=var)
    data.obsm["spatial"] = np.asarray(section.xy)
    data.write_h5ad(path)
    return path
