"""What the screen asks of common coordinates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.core.data import TaskResult
from backend.core.errors import UnknownLayer
from backend.core.layers import LayerKey
from backend.core.settings import Settings
from backend.service import Backend, planes
from backend.service.space import sampled
from backend.store.atlas import Atlas
from backend.store.result import write_result
from backend.store.space import SpaceResult
from tests.spaced import ABOUT, RECORD, spaced_atlas
from tests.tiny import tiny_atlas

REGION = LayerKey("label", "region")


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Backend:
    folder = tmp_path_factory.mktemp("space")
    return Backend(Settings(data=folder / "data"), spaced_atlas(folder / "a.zarr"))


def test_sections_say_whether_they_are_registered(backend: Backend) -> None:
    found = {s["id"]: s["registered"] for s in backend.sections()}
    assert found["alpha"]["grade"] == "good"
    assert found["beta"]["reason"] == "No plane is known."
    assert found["gamma"] is None


def test_points_are_a_sample_of_placed_cells_with_their_sections(backend: Backend) -> None:
    points = backend.space_points(REGION, 50)
    assert 45 <= len(points["xyz"]) <= 50
    assert (points["xyz"][:, 0] == 600).all()
    assert points["n_placed"] == 240
    alpha = [s["id"] for s in backend.sections()].index("alpha")
    assert set(points["sections"].tolist()) == {alpha}
    again = backend.space_points(REGION, 50)
    np.testing.assert_array_equal(points["xyz"], again["xyz"])


def test_a_slice_has_the_borders_of_the_reference(backend: Backend) -> None:
    found = backend.space_slice("alpha", REGION)
    assert found["xyz"].shape == (240, 3)
    borders = found["borders"]
    # One column of two voxels of 200 um: six sides, around 100 to 300 right and 100 to 500 down.
    assert borders.shape == (6, 2, 2)
    np.testing.assert_array_equal(borders.min(axis=(0, 1)), [100.0, 100.0])
    np.testing.assert_array_equal(borders.max(axis=(0, 1)), [300.0, 500.0])


def test_a_refused_section_has_no_slice_and_says_why(backend: Backend) -> None:
    with pytest.raises(UnknownLayer, match="No plane is known"):
        backend.space_slice("beta", REGION)


def test_an_atlas_without_space_says_how_to_get_one(tmp_path: Path) -> None:
    bare = Backend(Settings(data=tmp_path / "data"), tiny_atlas(tmp_path / "a.zarr"))
    assert bare.space_info()["sections"] == []
    with pytest.raises(UnknownLayer, match="backend register"):
        bare.space_points(REGION)


def test_an_upload_that_a_job_placed_is_seen_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planes, "CHECK_EVERY", -1.0)
    settings = Settings(data=tmp_path / "data")
    query = tiny_atlas(settings.results / "abc" / "atlas.zarr")
    backend = Backend(settings, tiny_atlas(tmp_path / "a.zarr"))
    assert backend.space_info("query-abc")["sections"] == []
    first = Atlas.open(query).sections()[0]
    xyz = {first.id: np.ones((first.n_cells, 3), np.float32)}
    write_result(query, TaskResult(), space=SpaceResult(xyz, {first.id: RECORD}, ABOUT))
    assert backend.space_info("query-abc")["sections"][0]["grade"] == "good"
    assert len(backend.space_slice("query-abc", REGION)["xyz"]) == first.n_cells


def test_small_classes_are_favoured_in_a_sample() -> None:
    codes = np.repeat(np.array([0, 1, -1], np.int16), [9000, 100, 400])
    rows = sampled(codes, 500, seed=1)
    assert 450 <= len(rows) <= 500
    counts = {c: int((codes[rows] == c).sum()) for c in (0, 1, -1)}
    assert counts[1] >= 40
    assert counts[0] > counts[-1] > counts[1]
