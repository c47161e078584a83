"""A service over the small atlas, without jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.core.settings import Settings
from backend.service import Backend
from tests.tiny import tiny_atlas


@pytest.fixture(scope="session")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Backend:
    folder: Path = tmp_path_factory.mktemp("explorer")
    return Backend(Settings(data=folder / "data"), tiny_atlas(folder / "tiny.zarr"))
