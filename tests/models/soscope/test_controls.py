"""Controls of the image: where each spot looks, and what a wrong image is called."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from backend.core.job import RunContext
from backend.models.soscope.controls import Control, middle, orders
from backend.models.soscope.enhance import enhance_layout, fit_layout
from backend.models.soscope.gate import Gate, gate_of
from backend.models.soscope.layouts import Layout, joined, subdivided
from backend.models.soscope.report import figures_of
from tests.models.soscope.planted import Planted, grid, planted


@pytest.fixture(scope="module")
def section() -> Planted:
    return planted()


def found(layout: Layout) -> dict[str, list[int]]:
    return {name: order.tolist() for name, _, order in orders(layout, 0)}


def test_turns_mirrors_and_moves_of_nine_spots_are_those_one_would_draw() -> None:
    # Spots in rows: 0 1 2 / 3 4 5 / 6 7 8.
    where = found(subdivided(grid(3), 2))
    assert where["turned by 180°"] == [8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert where["mirrored"] == [2, 1, 0, 5, 4, 3, 8, 7, 6]
    assert sorted([where["turned by 90°"], where["turned by 270°"]]) == [
        [2, 5, 8, 1, 4, 7, 0, 3, 6],
        [6, 3, 0, 7, 4, 1, 8, 5, 2],
    ]
    assert where["moved by 50 % down"][:3] == [3, 4, 5]
    kinds = [kind for _, kind, _ in orders(subdivided(grid(3), 2), 0)]
    assert [kinds.count(k) for k in ("turned", "mirrored", "moved", "shuffled")] == [3, 4, 4, 8]


def test_controls_stay_within_their_section() -> None:
    layout = joined([subdivided(grid(4), 2), subdivided(grid(3), 2)])
    for _, _, order in orders(layout, 0):
        assert np.array_equal(layout.section[order], layout.section)


def test_of_large_sections_the_middle_is_weighed() -> None:
    layout = subdivided(grid(9), 2)
    assert len(middle(layout, 100)) == 81
    kept = middle(layout, 9)
    assert sorted(layout.spots[kept].tolist()) == sorted((grid(3) + 300).tolist())


def test_the_gate_wants_evidence_and_no_control_that_fits_as_well() -> None:
    as_sent = Control("", "", 0.95, 9.0)
    worse = [Control("mirrored", "mirrored", 0.5, 1.0)] * 19
    assert gate_of(0.95, [as_sent, *worse]).is_open
    assert gate_of(0.95, [as_sent, *worse]).chance == 0.05
    assert not gate_of(0.6, [as_sent, *worse]).is_open
    other = Control("turned by 180°", "turned", 0.99, 30.0)
    beaten = gate_of(0.95, [as_sent, *worse[1:], other])
    assert not beaten.is_open
    assert beaten.chance == 0.1
    assert beaten.best is other
    assert beaten.worst("turned") == 0.99
    assert np.isnan(Gate().image)
    assert not Gate().is_open


@pytest.mark.parametrize("way", ["turned by 180°", "mirrored"])
def test_an_image_sent_the_wrong_way_round_is_refused_and_told(section: Planted, way: str) -> None:
    layout = section.layout
    low, high = layout.xy.min(axis=0), layout.xy.max(axis=0)
    goes = low + high - layout.xy
    if way == "mirrored":
        goes[:, 1] = layout.xy[:, 1]
    seen = section.features[cKDTree(layout.xy).query(goes)[1]]
    made = enhance_layout(layout, section.totals, RunContext(), features=seen, check=False)
    assert not made.gate.is_open
    assert made.gate.best is not None
    assert made.gate.best.name == way
    genes = [f"G{i}" for i in range(40)]
    figures = figures_of(layout, section.totals, genes, made, ["s"], 2)
    if made.gate.image >= 0.85:
        assert f"fits at least as well {way}" in figures["warnings"][0]
    assert figures["gate"]["better"] == way
    assert len(figures["gate"]["controls"]) == 19


def test_controls_are_not_weighed_where_the_choice_is_made(section: Planted) -> None:
    _, made = fit_layout(
        section.layout, section.totals, np.zeros(40, np.int64), section.features, RunContext(),
        use_image=True,
    )  # fmt: skip
    assert made.gate.controls == ()
