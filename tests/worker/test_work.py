"""What a verb is given, and how its result becomes visible: whole or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from backend.core.errors import BadCheckpoint, BadRequest, UnknownUpload
from backend.core.job import Job, RunContext
from backend.core.settings import Settings
from backend.jobs.offers import OFFERS
from backend.worker.verbs import VERBS
from backend.worker.work import Work, make_runner, published

JOB = Job("ab" * 16, "stub", "count", {"n": 1}, {"upload": "cd" * 16})


def test_a_result_appears_with_its_record(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)

    def count(work: Work) -> dict[str, object]:
        (work.folder / "annotated.csv").write_text("a")
        assert not (settings.results / JOB.id).exists()
        return {"n_cells": 3, "figures": {"r": float("nan")}}

    run = make_runner(settings, tmp_path / "a.zarr", None, {("stub", "count"): count})
    assert run(JOB, RunContext()) == {"n_cells": 3}
    folder = settings.results / JOB.id
    assert {p.name for p in folder.iterdir()} == {"annotated.csv", "job.json"}
    assert json.loads((folder / "job.json").read_text())["result"] == {
        "n_cells": 3,
        "figures": {"r": None},
    }


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def write_and_fail() -> None:
        with published(tmp_path, "job") as folder:
            (folder / "half").write_text("x")
            raise ValueError("half written")

    with pytest.raises(ValueError, match="half written"):
        write_and_fail()
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with published(tmp_path, "job") as folder:
            (folder / text).write_text(text)
    assert [p.name for p in (tmp_path / "job").iterdir()] == ["second"]


def test_an_upload_that_was_deleted_is_told_so(tmp_path: Path) -> None:
    work = Work(JOB, RunContext(), tmp_path, tmp_path, None, Settings(data=tmp_path))
    with pytest.raises(UnknownUpload, match="Send it again"):
        work.upload()
    with pytest.raises(BadCheckpoint, match="no trained model"):
        work.trained()


def test_a_verb_on_sections_is_told_which_and_refuses_an_upload(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    job = replace(JOB, inputs={"sections": ["a", "b"]})
    named = Work(job, RunContext(), tmp_path, tmp_path, None, settings)
    assert named.sections() == ("a", "b")
    with pytest.raises(BadRequest, match="works on sections"):
        Work(JOB, RunContext(), tmp_path, tmp_path, None, settings).sections()


def test_what_is_offered_is_what_the_worker_can_do() -> None:
    assert set(OFFERS) == set(VERBS)
