from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backend.core.job import RunContext
from backend.models.common.graphs import delaunay_graph
from backend.models.fusemap.smoothing import Places, places_of, reach_by_regions
from backend.models.fusemap.train import TrainParams, train
from tests.models.simulated import Simulation


def bands(width: float, noise: float, seed: int = 0) -> Places:
    """Bands of two regions across a square of 1,500 cells, seen through noise."""
    rng = np.random.default_rng(seed)
    xy = rng.random((1500, 2)).astype(np.float32)
    region = (xy[:, 1] // width).astype(np.int64) % 2
    z = region[:, None] * np.array([[1.0, -1.0]]) + noise * rng.normal(size=(1500, 2))
    return Places(z, delaunay_graph(xy), xy, region)


def test_noisy_wide_regions_want_a_far_reach() -> None:
    found = reach_by_regions([bands(0.25, 3.0)])
    assert found.rounds > 2
    assert found.by == "accuracy of held-out regions"
    assert found.tried["6"] > found.tried["1"]


def test_narrow_clear_regions_keep_a_short_reach() -> None:
    found = reach_by_regions([bands(0.06, 0.3)])
    assert found.rounds <= 2
    assert found.tried["1"] > found.tried["6"]


def test_only_labels_of_places_count(simulation: Simulation) -> None:
    sections = simulation.sections[:1]
    graph = delaunay_graph(sections[0].xy)
    z = np.zeros((sections[0].n_cells, 2))
    codes = {
        name: {sections[0].id: label.codes.astype(np.int16)}
        for name, label in sections[0].labels.items()
    }
    assert set(codes) == {"type", "region"}
    [only] = places_of(sections, [z], [graph], codes)
    np.testing.assert_array_equal(only.classes, sections[0].labels["region"].codes)


@pytest.mark.parametrize("labelled", [True, False])
def test_the_card_says_on_what_the_reach_was_chosen(simulation: Simulation, labelled: bool) -> None:

    sections = [s if labelled else replace(s, labels={}) for s in simulation.sections[:2]]
    params = TrainParams(
        k=4, scale="log1p", refine=False, iterations=5, trust=False, label_cells=300
    )
    niche = train(sections, params, RunContext()).card["metrics"]["niche"]
    assert ("regions" if labelled else "neighbours") in niche["by"]
    assert set(niche["tried"]) == {"1", "2", "3", "4", "6"}
