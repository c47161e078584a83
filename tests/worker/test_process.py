"""A real worker process: it runs, cancels, survives a crash of a job, and ends with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backend.core.job import Job, JobState
from backend.core.settings import Settings
from backend.jobs.queue import JobQueue
from backend.worker.process import start_worker
from tests.worker.stub import OFFERS

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "tests.worker.stub")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path)


@pytest.fixture
def queue(settings: Settings) -> Iterator[JobQueue]:
    found = JobQueue(settings, offers=OFFERS)
    yield found
    found.close()


@pytest.fixture
def worker(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    process = start_worker(settings, settings.data / "atlas.zarr", None, COMMAND)
    yield process
    process.terminate()
    process.wait(timeout=20)


def until(done: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something is so; fail if it never is."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


def ended(queue: JobQueue, job: Job) -> Job:
    until(lambda: queue.get(job.id).is_final)
    return queue.get(job.id)


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{process}/status")
    return not status.exists() or "State:\tZ" in status.read_text()


@pytest.mark.usefixtures("worker")
def test_a_worker_runs_cancels_and_outlives_a_crash(queue: JobQueue, settings: Settings) -> None:
    first = ended(queue, queue.submit("stub", "quick", {}, {}, "me"))
    assert first.state is JobState.DONE
    assert first.result is not None
    assert first.result["niceness"] >= 10
    assert first.result["atlas"] == "atlas.zarr"
    assert set(queue.files(first.id)) == {"csv", "json"}

    slow = queue.submit("stub", "slow", {}, {}, "me")
    until(lambda: queue.get(slow.id).fraction > 0)
    queue.cancel(slow.id)
    assert ended(queue, slow).state is JobState.CANCELLED
    assert {p.name for p in settings.results.iterdir()} == {first.id}

    crash = queue.submit("stub", "crash", {}, {}, "me")
    until(lambda: queue.get(crash.id).state is JobState.RUNNING)
    later = ended(queue, queue.submit("stub", "quick", {"n": 2}, {}, "me"))
    assert later.result is not None
    assert later.result["process"] != first.result["process"]
    seen = queue.health()["worker_seconds_ago"]
    assert seen is not None


def test_a_job_waits_for_a_worker_that_starts_later(queue: JobQueue, settings: Settings) -> None:
    job = queue.submit("stub", "quick", {}, {}, "me")
    process = start_worker(settings, settings.data / "atlas.zarr", None, COMMAND)
    try:
        assert ended(queue, job).state is JobState.DONE
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_a_stopped_worker_gives_its_job_to_the_next(queue: JobQueue, settings: Settings) -> None:
    job = queue.submit("stub", "slow", {}, {}, "me")
    process = start_worker(settings, settings.data / "atlas.zarr", None, COMMAND)
    until(lambda: queue.get(job.id).fraction > 0)
    process.terminate()
    process.wait(timeout=20)
    until(lambda: queue.get(job.id).state is JobState.QUEUED)
    assert not list(settings.results.glob("*"))


def test_a_worker_ends_with_its_parent(queue: JobQueue, settings: Settings) -> None:
    code = (
        "import sys, time; from pathlib import Path;"
        "from backend.core.settings import Settings;"
        "from backend.worker.process import start_worker;"
        "data = Path(sys.argv[1]);"
        "process = start_worker(Settings(data=data), data / 'a', None, tuple(sys.argv[2:]));"
        "print(process.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(settings.data), *COMMAND],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    result = ended(queue, queue.submit("stub", "quick", {}, {}, "me")).result
    assert result is not None
    parent.send_signal(signal.SIGKILL)
    parent.wait(timeout=20)
    parent.stdout.close()
    until(lambda: gone(worker) and gone(int(result["process"])))
