"""Simulations that several tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.core.job import RunContext
from backend.demo.multiomics import Simulated, simulate, three_modalities, two_modalities
from backend.models.spatialglue.tasks import IntegrateParams, Run, run

#: Enough to see structure, few enough to be quick.
QUICK = IntegrateParams(clusters=5, seeds=2, starts=2, truth="region")


@pytest.fixture(scope="session")
def pair() -> Simulated:
    return simulate(two_modalities(1), seed=31)


@pytest.fixture(scope="session")
def pair_run(pair: Simulated) -> Run:
    return run([pair.section], QUICK, RunContext(seed=3))


@pytest.fixture(scope="session")
def triple() -> Simulated:
    return simulate(three_modalities(), seed=32)


@pytest.fixture(scope="session")
def parity_fixture(datasets: Path) -> Path:
    path = datasets.parent / "parity" / "spatialglue_ggblocks1.npz"
    if not path.is_file():
        pytest.skip(f"no parity data at {path.parent}")
    return path
