"""The tool of common coordinates, without a browser."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from backend.core.layers import LayerKey
from backend.core.settings import Settings
from backend.service import Backend
from explorer.space_figures import (
    SECTION_TRACE,
    At,
    Nudge,
    brain_figure,
    nudged,
    parse_at,
    plane_corners,
    slice_figure,
    write_at,
)
from explorer.space_parts import label_of
from explorer.space_said import corrections_of, near_line, score_table
from explorer.views import space
from tests.explorer.said import text as said
from tests.spaced import RECORD, REFUSED, spaced_atlas

REGION = LayerKey("label", "region")


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Backend:
    folder: Path = tmp_path_factory.mktemp("space")
    return Backend(Settings(data=folder / "data"), spaced_atlas(folder / "a.zarr"))


@pytest.mark.parametrize(
    "at",
    [At(), At("sagittal", 5600.0), At("coronal", 1200.0, Nudge(-12.5, 100.0, 0.0, -250.0))],
    ids=["default", "plane", "nudged"],
)
def test_the_link_holds_plane_and_nudge(at: At) -> None:
    assert parse_at(write_at(at)) == at


@pytest.mark.parametrize("text", ["", "slanted@x", "coronal@nan~1,2", "coronal@1e99"])
def test_a_strange_link_is_read_as_the_default(text: str) -> None:
    assert parse_at(text) == At()


def test_a_quarter_turn_moves_right_to_down() -> None:
    xyz = np.array([[600.0, 100.0, 100.0], [600.0, 100.0, 300.0]])
    found = nudged(xyz, "coronal", Nudge(90.0, 0.0, 50.0, 25.0))
    np.testing.assert_allclose(found, [[625.0, 50.0, 200.0], [625.0, 250.0, 200.0]], atol=1e-9)


def test_the_plane_cuts_all_points() -> None:
    around = np.array([[0.0, 0.0, 0.0], [10.0, 20.0, 30.0]])
    corners = plane_corners(around, "sagittal", 7.0)
    assert (corners[:, 2] == 7.0).all()
    assert np.ptp(corners[:, :2], axis=0).tolist() == [10.0, 20.0]


def test_isolated_classes_are_drawn_alone(placed: Backend) -> None:
    points = placed.space_points(REGION, 200)
    every, one = brain_figure(points, []), brain_figure(points, [1])
    assert len(one.data[3].x) == int((points["codes"] == 1).sum())
    assert len(every.data[3].x) == len(points["codes"]) <= 200
    assert len(every.data[SECTION_TRACE].x) == 0


def test_a_slice_is_drawn_with_units_and_dorsal_up(placed: Backend) -> None:
    found = placed.space_slice("alpha", REGION)
    figure = slice_figure(found, [{"name": "a", "colour": "#111111"}], Nudge())
    assert figure.layout.yaxis.autorange == "reversed"
    assert "µm" in figure.layout.xaxis.title.text
    assert len(figure.data[1].x) == 240


def test_the_nearest_section_can_be_opened() -> None:
    records = [{"id": "alpha", **RECORD}, {"id": "far", **RECORD, "position_um": 9000.0}]
    text = said(near_line(records, "coronal", 700.0))
    assert "Nearest: Alpha, 100 µm away" in text
    assert "No sagittal section" in said(near_line(records, "sagittal", 0.0))


def test_scores_stand_beside_their_baseline_and_refusals_say_why() -> None:
    records = [{"id": "alpha", **RECORD}, {"id": "beta", **REFUSED}]
    text = said(score_table(records, "alpha"))
    for word in ("30 %", "60 %", "80 %", "0.95", "42 µm", "0.80 to 1.20", "No plane is known."):
        assert word in text


def test_saved_corrections_are_what_the_command_reads(placed: Backend, tmp_path: Path) -> None:
    from backend.analysis.registration.corrections import Correction, read_corrections

    text = corrections_of(placed.space_info()["sections"], "alpha", Nudge(5.0, 0.0, -100.0, 50.0))
    assert text is not None
    (tmp_path / "c.json").write_text(text)
    assert read_corrections(tmp_path / "c.json") == {
        "alpha": Correction(position_um=650.0, rotate_deg=5.0, shift_down_um=-100.0)
    }
    assert corrections_of(placed.space_info()["sections"], "alpha", Nudge()) is None
    assert corrections_of(placed.space_info()["sections"], "beta", Nudge(5.0)) is None


def test_a_nudge_of_a_corrected_section_adds_to_its_correction() -> None:
    before = {"rotate_deg": 5.0, "flip": True, "shift_down_um": 50.0}
    records = [{"id": "alpha", **RECORD, "correction": before}]
    text = corrections_of(records, "alpha", Nudge(10.0, 25.0, -50.0))
    assert text is not None
    assert json.loads(text)["sections"]["alpha"] == {
        "rotate_deg": 15.0,
        "flip": True,
        "shift_right_um": 25.0,
    }


def test_without_places_the_tool_says_how_to_make_them(backend: Backend) -> None:
    assert "python -m backend register" in said(space.layout(backend))


def test_a_layer_that_is_no_label_is_drawn_by_region(placed: Backend) -> None:
    assert label_of(placed, "imputed:Gad1") == REGION
    assert label_of(placed, "label:type") == LayerKey("label", "type")
    json.dumps(space.layout(placed).to_plotly_json(), default=lambda c: c.to_plotly_json())
