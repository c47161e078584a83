from __future__ import annotations

import numpy as np
import pytest

from backend.core.job import RunContext
from backend.models.common.checkpoint import load_checkpoint, save_checkpoint
from backend.models.fusemap.mixture import Mixture, fit_mixture
from backend.models.fusemap.tasks import embed
from backend.models.fusemap.train import TrainParams, train
from tests.models.simulated import Simulation


def classes(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells of three classes far apart: their z, class and the centre of it."""
    rng = np.random.default_rng(seed)
    centres = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])
    kind = rng.integers(0, 3, 600)
    return centres[kind] + rng.normal(size=(600, 2)), kind, centres[kind]


def test_two_classes_draw_a_cell_by_hand() -> None:
    made = Mixture(np.array([[0.0], [4.0]]), np.array([[1.0]]), np.array([0.5, 0.5]), 0.5)
    # Half way between the classes both are as likely, so the mean of class means is 2 too.
    np.testing.assert_allclose(made.drawn(np.array([[2.0]])), [[2.0]])
    p = 1 / (1 + np.exp(-4.0))  # log odds of the first class at 1: 4 (2 - 1)
    np.testing.assert_allclose(made.drawn(np.array([[1.0]])), [[0.5 + 0.5 * 4 * (1 - p)]])


def test_cells_come_nearer_to_the_centre_of_their_class() -> None:
    z, _, centre = classes()
    drawn = fit_mixture([z], 1.0, seed=0).drawn(z)
    assert ((drawn - centre) ** 2).mean() < 0.7 * ((z - centre) ** 2).mean()


def test_no_pull_leaves_cells_where_they_are() -> None:
    z, _, _ = classes()
    np.testing.assert_array_equal(fit_mixture([z], 0.0, seed=0).drawn(z), z)


def test_a_drawn_space_is_kept_in_the_checkpoint(simulation: Simulation, tmp_path) -> None:
    params = TrainParams(
        k=6, scale="log1p", refine=False, pull=1.0, iterations=10, trust=False, parts=False
    )
    made = train(simulation.sections[:2], params, RunContext())
    save_checkpoint(tmp_path / "c", made)
    query = simulation.sections[2]
    again = embed(query, load_checkpoint(tmp_path / "c"))
    np.testing.assert_array_equal(embed(query, made).z, again.z)
    assert made.card["params"]["pull"] == pytest.approx(1.0)
    assert "space/0/mixture/means" in made.tensors
