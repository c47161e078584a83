"""The small atlas, written once and read by all tests of the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.store.atlas import Atlas
from tests.tiny import tiny_atlas


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_atlas(tmp_path_factory.mktemp("tiny") / "tiny.zarr")


@pytest.fixture
def atlas(tiny_path: Path) -> Atlas:
    return Atlas.open(tiny_path)
