"""A small simulation and a checkpoint trained on two of its three sections."""

from __future__ import annotations

import pytest

from backend.core.job import RunContext
from backend.models.common.checkpoint import Checkpoint
from backend.models.fusemap.train import TrainParams, train
from tests.models.simulated import Simulation, simulate

QUICK = TrainParams(k=6, scale="log1p", refine=False, iterations=30, trust=False, left_out=2)


@pytest.fixture(scope="session")
def simulation() -> Simulation:
    return simulate(n_cells=500)


@pytest.fixture(scope="session")
def checkpoint(simulation: Simulation) -> Checkpoint:
    return train(simulation.sections[:2], QUICK, RunContext())
