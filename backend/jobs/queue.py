"""The queue: submit, look, cancel; huey carries ids, our table the states.

A message holds nothing but a job id. Whoever runs it claims the row first, so that a message
delivered twice, or left over from before a restart, does no harm.
"""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from backend.core.errors import AtlasError, BadRequest, Cancelled, QuotaExceeded, UnknownJob
from backend.core.job import Job, JobState, RunContext
from backend.core.settings import Settings
from backend.jobs.failures import died, internal
from backend.jobs.offers import OFFERS, Offers, check_offered
from backend.jobs.progress import Progress
from backend.jobs.table import JobTable
from backend.jobs.wire import json_text, open_huey, request_key

#: File in the folder of a result that says what the job was and found.
RECORD = "job.json"

#: What does the work: (job, context) -> what the task recorded, JSON only.
Runner = Callable[[Job, RunContext], Mapping[str, Any]]

#: Seconds of silence after which a running job's process is taken for dead.
SILENT_AFTER = 30.0
#: A job whose process died is tried once more; one that kills its process twice is not.
ATTEMPTS = 2
_ID = re.compile(r"[0-9a-f]{32}")
_log = logging.getLogger(__name__)


class NotFinished(BadRequest):
    """A result asked for while its job has not produced one."""


class JobQueue:
    """Jobs of one installation.

    Parameters
    ----------
    settings : Settings
        ``settings.jobs`` holds the table and, unless ``settings.queue`` is a Redis URL, the queue.
    immediate : bool
        Run each job inside ``submit``, for tests.
    runner : callable, optional
        What does the work. The web process has none: it only submits.
    offers : mapping
        What may be asked for.
    clock : callable () -> float
        Epoch seconds.
    """

    def __init__(
        self,
        settings: Settings,
        immediate: bool = False,
        *,
        runner: Runner | None = None,
        offers: Offers = OFFERS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.table = JobTable(settings.jobs)
        self._runner = runner
        self._offers = offers
        self._clock = clock
        self.huey = open_huey(settings, immediate)
        self._task = self.huey.task(name="run_job")(self.execute)

    def submit(
        self,
        model: str,
        verb: str,
        params: Mapping[str, Any],
        inputs: Mapping[str, Any],
        owner: str,
        identity: Mapping[str, Any] | None = None,
    ) -> Job:
        """Queue a job, or return the same job if it is queued, running or done already.

        Parameters
        ----------
        model, verb : str
        params, inputs : mapping
            JSON only.
        owner : str
            Opaque id of the session; a job is shared between equal requests of one owner only.
        identity : mapping, optional
            What decides the result beside model, verb and params: sha256 of the upload, version
            of the atlas, checkpoint. ``inputs`` where None, an upload known by its sha256.

        Raises
        ------
        BadRequest
            If nobody offers the verb or takes the parameters, or they are not JSON.
        QuotaExceeded
            If the owner has as many unfinished jobs as allowed.
        """
        check_offered(self._offers, model, verb, params)
        what = _content(inputs) if identity is None else identity
        key = request_key(owner, model, verb, params, what)
        job_id = secrets.token_hex(16)
        with self.table.transaction() as db:
            same = db.execute(
                "select id from job where key = ? and cancel = 0"
                " and state in ('queued', 'running', 'done') order by created desc limit 1",
                (key,),
            ).fetchone()
            if same is None:
                self._check_quota(db, owner)
                db.execute(
                    "insert into job (id, owner, key, model, verb, params, inputs, state, created,"
                    " message) values (?, ?, ?, ?, ?, ?, ?, 'queued', ?, 'Waiting for a worker')",
                    (
                        job_id,
                        owner,
                        key,
                        model,
                        verb,
                        json_text(params),
                        json_text(inputs),
                        self._clock(),
                    ),
                )
        if same is None:
            self._task(job_id)
        return self.get(job_id if same is None else same["id"])

    def _check_quota(self, db: Any, owner: str) -> None:
        sql = "select count(*) from job where owner = ? and state in ('queued', 'running')"
        active = db.execute(sql, (owner,)).fetchone()[0]
        allowed = self.settings.limits.jobs_per_session
        if active >= allowed:
            raise QuotaExceeded(
                f"This session has {active} unfinished jobs; {allowed} are allowed at once.",
                "Wait until one ends, or cancel one.",
            )

    def get(self, job_id: str) -> Job:
        """Return the job of this id.

        Raises
        ------
        UnknownJob
            If there is none, or it was deleted after its time.
        """
        job = self.table.get(job_id) if _ID.fullmatch(job_id) else None
        if job is None:
            raise UnknownJob(
                "There is no such job.",
                f"Jobs and results are deleted after {self.settings.limits.keep_hours} hours.",
            )
        return job

    def is_owner(self, job_id: str, owner: str) -> bool:
        """Return whether the job was submitted by ``owner``."""
        return self.table.owner(job_id) == owner

    def cancel(self, job_id: str) -> Job:
        """Stop a queued job, ask a running one to stop; a finished one stays as it is."""
        self.get(job_id)
        self.table.ask_to_stop(job_id, self._clock())
        return self.get(job_id)

    def list(self, owner: str, limit: int = 50) -> list[Job]:
        """Return the owner's jobs, newest first."""
        return self.table.of_owner(owner, limit)

    def position(self, job_id: str) -> int | None:
        """Return how many queued jobs come first (0: it is next), None unless it is queued."""
        return self.table.before(job_id)

    def deleted_after(self, job: Job) -> float | None:
        """Return the epoch second after which job and result are deleted, once it has ended."""
        if job.finished is None:
            return None
        return job.finished + 3600 * self.settings.limits.keep_hours

    def folder(self, job_id: str) -> Path:
        """Return the folder of the job's results, whether or not it exists."""
        return self.settings.results / self.get(job_id).id

    def files(self, job_id: str) -> dict[str, Path]:
        """Return the downloadable files of a finished job by format, such as h5ad and csv."""
        job = self.get(job_id)
        if job.state is not JobState.DONE:
            return {}
        folder = self.settings.results / job.id
        # The record of the job stands in for a table as JSON where the verb wrote none.
        return {
            path.suffix[1:]: path
            for path in sorted(folder.glob("*"), key=lambda p: (p.name != RECORD, p.name))
            if path.is_file() and path.suffix in {".h5ad", ".csv", ".json"}
        }

    def result_file(self, job_id: str, kind: str) -> Path:
        """Return the result of a finished job in one format.

        Raises
        ------
        NotFinished
            If the job is not done.
        BadRequest
            If it has no file of that format.
        """
        job = self.get(job_id)
        if job.state is not JobState.DONE:
            raise NotFinished(f"The job is {job.state.value}; there is no result to download.")
        files = self.files(job_id)
        if kind not in files:
            raise BadRequest(
                f"This job has no result in the format '{kind[:20]}'.",
                f"Formats are {', '.join(files)}." if files else "It wrote no files.",
            )
        return files[kind]

    def execute(self, job_id: str) -> None:
        """Run one job to its end; called by the worker (or by ``submit`` in immediate mode)."""
        if self._runner is None:
            raise AtlasError("This process only submits jobs.", "Start one that runs them.")
        job = self.table.claim(job_id, self._clock())
        if job is None:
            return
        progress = Progress(self.table, job_id, self._clock)
        context = RunContext(
            seed=_seed(job.params), report=progress.report, cancelled=progress.cancelled
        )
        with progress.alive():
            self._run(self._runner, job, context)

    def _run(self, runner: Runner, job: Job, context: RunContext) -> None:
        """Call the runner and record how it ended: the one broad catch of the product."""
        try:
            result = dict(runner(job, context))
            json_text(result)
        except Cancelled as error:
            self._end(job, JobState.CANCELLED, error=error.as_json())
        except AtlasError as error:
            self._end(job, JobState.FAILED, error=error.as_json())
        except (KeyboardInterrupt, SystemExit):
            self.table.give_back(job.id, "The worker was stopped; waiting to start again")
            raise
        except Exception as error:
            self._end(job, JobState.FAILED, error=internal(error), traceback=traceback.format_exc())
        else:
            self._end(job, JobState.DONE, result=result)

    def _end(self, job: Job, state: JobState, **record: Any) -> None:
        if record.get("traceback"):
            _log.error("job %s: %s\n%s", job.id, record["error"]["message"], record["traceback"])
        self.table.finish(job.id, state, self._clock(), **record)

    def recover(self) -> None:
        """Set right what a dead worker left: silent jobs queued again or failed, lost ids sent."""
        before = self._clock() - SILENT_AFTER
        for job, attempts, stopping in self.table.silent(before):
            if stopping:
                self._end(job, JobState.CANCELLED)
            elif attempts < ATTEMPTS:
                self.table.queue_again(job.id, "The worker stopped; waiting to start again", before)
            else:
                self._end(job, JobState.FAILED, error=died(attempts))
        waiting = {task.args[0] for task in self.huey.pending()}
        for job in self.table.in_state(JobState.QUEUED):
            if job.id not in waiting:
                self._task(job.id)

    def sweep(self, now: float) -> tuple[str, ...]:
        """Delete jobs and results that ended more than ``limits.keep_hours`` before ``now``."""
        oldest = now - 3600 * self.settings.limits.keep_hours
        gone = self.table.forget(oldest)
        for job_id in gone:
            shutil.rmtree(self.settings.results / job_id, ignore_errors=True)
        for folder in self.settings.results.glob("*.partial"):
            if folder.stat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)
        return tuple(gone)

    def health(self) -> dict[str, float | int | None]:
        """Return how many jobs wait and run, and how long ago a worker was alive."""
        counts = self.table.counts()
        seen = self.table.worker_seen()
        return {
            "queued": counts.get(JobState.QUEUED, 0),
            "running": counts.get(JobState.RUNNING, 0),
            "worker_seconds_ago": None if seen is None else round(self._clock() - seen, 1),
        }

    def close(self) -> None:
        """Close the queue's connection."""
        self.huey.storage.close()


def _content(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides the result: the same file uploaded twice is the same file."""
    dropped = {"upload", "name"} if inputs.get("sha256") else set()
    return {name: value for name, value in inputs.items() if name not in dropped}


def _seed(params: Mapping[str, Any]) -> int:
    seed = params.get("seed", 0)
    return seed if isinstance(seed, int) and not isinstance(seed, bool) else 0
