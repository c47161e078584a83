"""Options shared by all tests: which of them run, and where real data sets are looked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--browser", action="store_true", help="run the journeys in Chromium")
    parser.addoption("--slow", action="store_true", help="run tests that take over ten seconds")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for mark in ("browser", "slow"):
        if not config.getoption(f"--{mark}"):
            skip = pytest.mark.skip(reason=f"needs --{mark}")
            for item in items:
                if mark in item.keywords:
                    item.add_marker(skip)
    for item in items:
        # A browser on a busy machine may overrun a wait; the summary names what was tried again.
        if "browser" in item.keywords:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def datasets() -> Path:
    """Folder of real data sets; tests that need one are skipped where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "datasets"
    folder = Path(os.environ.get("ATLAS_DATASETS", default))
    if not folder.is_dir():
        pytest.skip(f"no real data sets at {folder}; set ATLAS_DATASETS")
    return folder
