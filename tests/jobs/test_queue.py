"""The queue: equal requests are one job, quotas, cancelling, dead workers, restarts, retention."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from backend.core.errors import BadRequest, NoSharedGenes, QuotaExceeded, UnknownJob
from backend.core.job import Job, JobState, RunContext
from backend.core.settings import Limits, Settings
from backend.jobs.queue import SILENT_AFTER, JobQueue, NotFinished

OFFERS = {("stub", "count"): ("seed", "n")}
Runner = Callable[[Job, RunContext], Mapping[str, Any]]


class Clock:
    """A clock that stands still until told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Queues:
    """Queues over one folder, as a web process, a worker, and both after a restart."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data=folder, limits=Limits(jobs_per_session=2, keep_hours=1))
        self.clock = Clock()
        self._opened: list[JobQueue] = []

    def open(self, runner: Runner | None = None, immediate: bool = False) -> JobQueue:
        queue = JobQueue(self.settings, immediate, runner=runner, offers=OFFERS, clock=self.clock)
        self._opened.append(queue)
        return queue

    def close(self) -> None:
        for queue in self._opened:
            queue.close()


@pytest.fixture
def queues(tmp_path: Path) -> Iterator[Queues]:
    found = Queues(tmp_path)
    yield found
    found.close()


def echo(job: Job, context: RunContext) -> Mapping[str, Any]:
    return {"n": job.params.get("n", 0), "seed": context.seed}


def submit(queue: JobQueue, owner: str = "me", **params: Any) -> Job:
    return queue.submit("stub", "count", params, {"section": "s1"}, owner)


def work(queue: JobQueue) -> None:
    """Do what a worker does, once."""
    task = queue.huey.dequeue()
    assert task is not None
    queue.huey.execute(task)


def test_a_job_runs_at_once_in_immediate_mode(queues: Queues) -> None:
    job = submit(queues.open(echo, immediate=True), n=7, seed=3)
    assert (job.state, job.fraction, job.message) == (JobState.DONE, 1.0, "Done")
    assert job.result == {"n": 7, "seed": 3}


def test_ids_are_random_and_opaque(queues: Queues) -> None:
    queue = queues.open()
    ids = {submit(queue, owner=f"o{i}").id for i in range(5)}
    assert len(ids) == 5
    assert all(len(i) == 32 and int(i, 16) >= 0 for i in ids)


def test_the_same_request_is_the_same_job_queued_running_or_done(queues: Queues) -> None:
    queue = queues.open(echo)
    first = submit(queue, n=1)
    assert submit(queue, n=1).id == first.id
    work(queue)
    assert submit(queue, n=1).state is JobState.DONE
    assert submit(queue, n=1).id == first.id
    assert submit(queue, n=2).id != first.id
    assert submit(queue, owner="you", n=1).id != first.id


def test_the_same_file_under_another_upload_is_the_same_job(queues: Queues) -> None:
    queue = queues.open()

    def sent(upload: str, sha: str, version: int = 1) -> str:
        inputs = {"upload": upload, "name": upload, "sha256": sha, "atlas_version": version}
        return queue.submit("stub", "count", {}, inputs, "me").id

    assert sent("a", "f00") == sent("b", "f00")
    assert sent("a", "f00", version=2) != sent("a", "f00")


def test_identity_decides_where_it_is_given(queues: Queues) -> None:
    queue = queues.open()
    found = [
        queue.submit("stub", "count", {}, {"upload": u}, "me", identity={"checkpoint": c}).id
        for u, c in (("a", "x"), ("b", "x"), ("a", "y"))
    ]
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_a_failed_or_cancelled_job_is_tried_anew(queues: Queues) -> None:
    def fail(job: Job, context: RunContext) -> Mapping[str, Any]:
        raise NoSharedGenes("0 of 12 genes are known.", "Use symbols.")

    queue = queues.open(fail, immediate=True)
    first = submit(queue)
    assert first.state is JobState.FAILED
    assert first.error == {
        "error": "NoSharedGenes",
        "message": "0 of 12 genes are known.",
        "hint": ["Use symbols."],
    }
    assert submit(queue).id != first.id


def test_an_error_of_ours_is_told_by_an_id_and_kept_for_the_log(
    queues: Queues, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(job: Job, context: RunContext) -> Mapping[str, Any]:
        raise RuntimeError("/secret/path")

    queue = queues.open(broken, immediate=True)
    job = submit(queue)
    assert job.error is not None
    assert job.error["error"] == "InternalError"
    assert "secret" not in str(job.error)
    assert "RuntimeError: /secret/path" in queue.table.traceback(job.id)
    assert "/secret/path" in caplog.text


def test_running_out_of_memory_is_said_in_words(queues: Queues) -> None:
    def greedy(job: Job, context: RunContext) -> Mapping[str, Any]:
        raise MemoryError

    job = submit(queues.open(greedy, immediate=True))
    assert job.error is not None
    assert job.error["error"] == "OutOfMemory"


def test_a_result_that_is_not_json_is_an_error_of_ours(queues: Queues) -> None:
    job = submit(queues.open(lambda j, c: {"x": object()}, immediate=True))
    assert job.state is JobState.FAILED


def test_quotas_count_unfinished_jobs_of_one_owner(queues: Queues) -> None:
    queue = queues.open(echo)
    submit(queue, n=1)
    submit(queue, n=2)
    with pytest.raises(QuotaExceeded, match="2 unfinished jobs; 2 are allowed"):
        submit(queue, n=3)
    submit(queue, owner="you", n=3)
    work(queue)
    submit(queue, n=3)


@pytest.mark.parametrize(
    ("model", "verb", "params"),
    [("stub", "drop", {}), ("../x", "count", {}), ("stub", "count", {"path": "/etc"})],
)
def test_only_what_is_offered_may_be_asked_for(
    queues: Queues, model: str, verb: str, params: dict[str, Any]
) -> None:
    with pytest.raises(BadRequest):
        queues.open().submit(model, verb, params, {}, "me")


def test_parameters_must_be_json(queues: Queues) -> None:
    with pytest.raises(BadRequest, match="JSON"):
        submit(queues.open(), n=float("nan"))


def test_positions_count_who_comes_first(queues: Queues) -> None:
    queue = queues.open(echo)
    jobs = [submit(queue, owner=f"o{i}") for i in range(3)]
    assert [queue.position(j.id) for j in jobs] == [0, 1, 2]
    queue.cancel(jobs[0].id)
    assert [queue.position(j.id) for j in jobs] == [None, 0, 1]


def test_a_cancelled_queued_job_never_runs(queues: Queues) -> None:
    ran: list[str] = []

    def note(job: Job, context: RunContext) -> Mapping[str, Any]:
        ran.append(job.id)
        return {}

    queue = queues.open(note)
    job = submit(queue)
    assert queue.cancel(job.id).state is JobState.CANCELLED
    work(queue)
    assert ran == []
    assert queue.get(job.id).state is JobState.CANCELLED


def test_a_running_job_is_asked_to_stop_and_stops_at_its_next_step(queues: Queues) -> None:
    steps: list[float] = []

    def slow(job: Job, context: RunContext) -> Mapping[str, Any]:
        for i in range(10):
            context.step(i / 10, "working")
            steps.append(i / 10)
            queues.clock.now += 1
            if i == 3:
                assert queue.cancel(job.id).message == "Stopping"
        return {}

    queue = queues.open(slow)
    job = submit(queue)
    work(queue)
    found = queue.get(job.id)
    assert found.state is JobState.CANCELLED
    assert found.error is not None
    assert found.error["error"] == "Cancelled"
    assert steps == [0.0, 0.1, 0.2, 0.3]


def test_cancelling_a_finished_job_changes_nothing(queues: Queues) -> None:
    queue = queues.open(echo, immediate=True)
    job = submit(queue)
    assert queue.cancel(job.id) == job


def test_progress_is_seen_from_another_process(queues: Queues) -> None:
    seen: list[Job] = []
    web = queues.open()

    def slow(job: Job, context: RunContext) -> Mapping[str, Any]:
        queues.clock.now += 10
        context.step(0.25, "a quarter")
        seen.append(web.get(job.id))
        context.step(0.5, "too soon to be written")
        seen.append(web.get(job.id))
        return {}

    queue = queues.open(slow)
    submit(queue)
    work(queue)
    assert [(j.state, j.fraction, j.message) for j in seen] == [
        (JobState.RUNNING, 0.25, "a quarter")
    ] * 2
    assert seen[0].seconds_left == pytest.approx(30.0)


def test_jobs_survive_a_restart(queues: Queues) -> None:
    before = queues.open()
    job = submit(before, n=5)
    before.close()
    after = queues.open(echo)
    assert after.get(job.id).state is JobState.QUEUED
    work(after)
    assert after.get(job.id).result == {"n": 5, "seed": 0}


def test_a_job_whose_message_was_lost_is_sent_again(queues: Queues) -> None:
    queue = queues.open(echo)
    job = submit(queue)
    queue.huey.storage.flush_queue()
    queue.recover()
    queue.recover()
    assert queue.huey.pending_count() == 1
    work(queue)
    assert queue.get(job.id).state is JobState.DONE


def test_a_message_delivered_twice_runs_once(queues: Queues) -> None:
    ran: list[str] = []
    queue = queues.open(lambda job, c: ran.append(job.id) or {})
    job = submit(queue)
    queue.execute(job.id)
    queue.execute(job.id)
    assert ran == [job.id]


def test_a_silent_job_is_tried_once_more_then_failed(queues: Queues) -> None:
    queue = queues.open(echo)
    job = submit(queue)
    for _ in range(2):
        queue.table.claim(job.id, queues.clock.now)
        queues.clock.now += SILENT_AFTER - 1
        queue.recover()
        assert queue.get(job.id).state is JobState.RUNNING
        queues.clock.now += 2
        queue.recover()
    found = queue.get(job.id)
    assert found.state is JobState.FAILED
    assert found.error is not None
    assert "stopped 2 times" in found.error["message"]


def test_a_silent_job_that_was_asked_to_stop_is_cancelled(queues: Queues) -> None:
    queue = queues.open(echo)
    job = submit(queue)
    queue.table.claim(job.id, queues.clock.now)
    queue.cancel(job.id)
    queues.clock.now += SILENT_AFTER + 1
    queue.recover()
    assert queue.get(job.id).state is JobState.CANCELLED


def test_a_worker_stopped_on_purpose_gives_its_job_back(queues: Queues) -> None:
    def stopped(job: Job, context: RunContext) -> Mapping[str, Any]:
        raise KeyboardInterrupt

    queue = queues.open(stopped)
    job = submit(queue)
    with pytest.raises(KeyboardInterrupt):
        queue.execute(job.id)
    assert queue.get(job.id).state is JobState.QUEUED


def test_a_process_without_a_runner_only_submits(queues: Queues) -> None:
    queue = queues.open()
    job = submit(queue)
    with pytest.raises(Exception, match="only submits"):
        queue.execute(job.id)
    assert queue.get(job.id).state is JobState.QUEUED


@pytest.mark.parametrize("job_id", ["0" * 32, "", "../../etc/passwd", "A" * 32, "' or 1=1 --"])
def test_unknown_ids_are_told_so(queues: Queues, job_id: str) -> None:
    with pytest.raises(UnknownJob, match="1 hours"):
        queues.open().get(job_id)


def test_a_list_is_of_one_owner_newest_first(queues: Queues) -> None:
    queue = queues.open()
    first = submit(queue, n=1)
    queues.clock.now += 1
    second = submit(queue, n=2)
    submit(queue, owner="you")
    assert [j.id for j in queue.list("me")] == [second.id, first.id]
    assert queue.is_owner(first.id, "me")
    assert not queue.is_owner(first.id, "you")


def test_results_are_found_by_format_and_only_when_done(queues: Queues) -> None:
    def write(job: Job, context: RunContext) -> Mapping[str, Any]:
        folder = queues.settings.results / job.id
        (folder / "atlas.zarr").mkdir(parents=True)
        (folder / "annotated.csv").write_text("a\n")
        return {}

    queue = queues.open(write)
    job = submit(queue)
    with pytest.raises(NotFinished, match="queued"):
        queue.result_file(job.id, "csv")
    work(queue)
    assert queue.result_file(job.id, "csv").read_text() == "a\n"
    for kind in ("h5ad", "zarr", "../../jobs", ""):
        with pytest.raises(BadRequest, match="Formats are csv"):
            queue.result_file(job.id, kind)


def test_a_sweep_deletes_what_is_past_its_time_and_nothing_else(queues: Queues) -> None:
    queue = queues.open(echo)
    old = submit(queue, n=1)
    folder = queues.settings.results / old.id
    folder.mkdir(parents=True)
    work(queue)
    waiting = submit(queue, n=2)
    limit = queue.deleted_after(queue.get(old.id))
    assert limit == queues.clock.now + 3600
    assert queue.sweep(limit - 1) == ()
    assert queue.sweep(limit + 1) == (old.id,)
    assert not folder.exists()
    assert queue.get(waiting.id).state is JobState.QUEUED


def test_messages_are_json_and_carry_nothing_but_the_id(queues: Queues) -> None:
    queue = queues.open()
    job = submit(queue)
    with sqlite3.connect(queues.settings.jobs) as db:
        (data,) = db.execute("select data from task").fetchone()
    db.close()
    text = bytes(data).decode()
    assert text.startswith('{"id": ')
    assert f'"args": ["{job.id}"]' in text


def test_health_counts_and_tells_when_a_worker_was_seen(queues: Queues) -> None:
    queue = queues.open()
    submit(queue)
    assert queue.health() == {"queued": 1, "running": 0, "worker_seconds_ago": None}
    queue.table.worker_beat(queues.clock.now - 5)
    assert queue.health()["worker_seconds_ago"] == 5.0


def test_the_table_uses_a_write_ahead_log(queues: Queues) -> None:
    queues.open()
    db = sqlite3.connect(queues.settings.jobs)
    assert db.execute("pragma journal_mode").fetchone() == ("wal",)
    db.close()
