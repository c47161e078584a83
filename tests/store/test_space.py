"""Common coordinates in the store: written with a version, kept, replaced, refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.core.data import TaskResult
from backend.core.errors import BadRequest
from backend.store.atlas import Atlas
from backend.store.result import write_result
from backend.store.space import SpaceResult, read_space, read_volume
from tests.spaced import RECORD, places, spaced_atlas


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return spaced_atlas(tmp_path / "a.zarr")


def test_an_atlas_without_places_has_no_space(tiny_path: Path) -> None:
    assert read_space(Atlas.open(tiny_path)) is None
    assert read_volume(Atlas.open(tiny_path)) is None


def test_places_records_and_reference_come_back(path: Path) -> None:
    atlas = Atlas.open(path)
    space = read_space(atlas)
    assert space is not None
    np.testing.assert_array_equal(space.xyz[atlas.section("alpha").rows], places())
    assert np.isnan(space.xyz[atlas.section("gamma").rows]).all()
    assert set(space.records) == {"alpha", "beta"}
    assert space.outline.shape == (2, 3)
    volume = read_volume(atlas)
    assert volume is not None
    assert volume[0].shape == (5, 4, 3)
    assert volume[0][3, 1, 1] == 7


def test_a_section_that_is_refused_later_loses_its_places(path: Path) -> None:
    before = Atlas.open(path).version
    refused = SpaceResult({}, {"alpha": {"status": "refused"}}, {"name": "x"})
    atlas = write_result(path, TaskResult(), space=refused)
    space = read_space(atlas)
    assert space is not None
    assert atlas.version == before + 1
    assert np.isnan(space.xyz[atlas.section("alpha").rows]).all()
    assert len(space.outline) == 2


def test_places_of_another_size_leave_the_atlas_as_it_was(path: Path) -> None:
    wrong = SpaceResult({"beta": np.zeros((3, 3), np.float32)}, {"beta": RECORD})
    with pytest.raises(BadRequest, match="Give one per cell"):
        write_result(path, TaskResult(), space=wrong)
    space = read_space(Atlas.open(path))
    assert space is not None
    assert space.records["beta"]["status"] == "refused"
