"""A client of the routes over the fake service; jobs run at once, by a stub."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.core.job import Job, RunContext
from backend.core.settings import Limits, Settings
from backend.jobs.queue import JobQueue
from tests.http.fakes import FakeBackend, served


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path, limits=Limits(chunk_bytes=50_000, jobs_per_session=2))


@pytest.fixture
def jobs(settings: Settings) -> Iterator[JobQueue]:
    def run(job: Job, context: RunContext) -> Mapping[str, Any]:
        """Stand in for a model: write what an annotation writes."""
        context.step(0.5, "half way")
        folder = settings.results / job.id
        os.makedirs(folder)
        (folder / "annotated.csv").write_text("cell_id,type\ncell0,Glia\n")
        (folder / "annotated.h5ad").write_bytes(b"\x89HDF")
        if "sections" in job.inputs:
            (folder / "table.json").write_text('{"pairs": []}')
        return {"section": f"query-{job.id}", "n_cells": 240}

    queue = JobQueue(settings, immediate=True, runner=run, offers={("stub", "annotate"): ()})
    yield queue
    queue.close()


@pytest.fixture
def backend(settings: Settings, jobs: JobQueue) -> FakeBackend:
    return FakeBackend(settings, jobs)


@pytest.fixture
def client(backend: FakeBackend) -> FlaskClient:
    return served(backend).test_client()
