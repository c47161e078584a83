"""The job table: one SQLite row per job, read by the web process, written by the worker."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from backend.core.job import Job, JobState

_SCHEMA = """
create table if not exists job (
    id text primary key, owner text not null, key text not null,
    model text not null, verb text not null, params text not null, inputs text not null,
    state text not null, fraction real not null default 0, message text not null default '',
    seconds_left real, created real not null, started real, finished real,
    error text, result text, traceback text not null default '',
    cancel integer not null default 0, beat real, attempts integer not null default 0
);
create index if not exists job_key on job (key);
create index if not exists job_owner on job (owner, created);
create index if not exists job_state on job (state, created);
create table if not exists worker (id integer primary key check (id = 1), beat real not null);
"""

_ACTIVE = "('queued', 'running')"


class JobTable:
    """Rows of jobs in one SQLite file (write-ahead log), safe between threads and processes.

    Every method opens its own connection: a tenth of a millisecond, and nothing to share.

    Parameters
    ----------
    path : Path
        The file; made with its folder where absent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._connect()) as db:
            db.execute("pragma journal_mode = wal")
            db.executescript(_SCHEMA)

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=15, isolation_level=None)
        db.row_factory = sqlite3.Row
        return db

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection whose statements happen all or not at all, with nobody between."""
        with closing(self._connect()) as db:
            db.execute("begin immediate")
            try:
                yield db
            except BaseException:
                db.execute("rollback")
                raise
            db.execute("commit")

    def _rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        with closing(self._connect()) as db:
            return db.execute(sql, values).fetchall()

    def _write(self, sql: str, *values: object) -> int:
        with closing(self._connect()) as db:
            return db.execute(sql, values).rowcount

    def get(self, job_id: str) -> Job | None:
        """Return the job of this id."""
        rows = self._rows("select * from job where id = ?", job_id)
        return _job(rows[0]) if rows else None

    def owner(self, job_id: str) -> str | None:
        """Return who submitted the job."""
        rows = self._rows("select owner from job where id = ?", job_id)
        return str(rows[0]["owner"]) if rows else None

    def traceback(self, job_id: str) -> str:
        """Return the traceback of a job that failed for a reason of ours, for the server's log."""
        rows = self._rows("select traceback from job where id = ?", job_id)
        return str(rows[0]["traceback"]) if rows else ""

    def of_owner(self, owner: str, limit: int) -> list[Job]:
        """Return the owner's jobs, newest first."""
        sql = "select * from job where owner = ? order by created desc, rowid desc limit ?"
        return [_job(row) for row in self._rows(sql, owner, limit)]

    def in_state(self, state: JobState) -> list[Job]:
        """Return the jobs in this state, oldest first."""
        sql = "select * from job where state = ? order by created, rowid"
        return [_job(row) for row in self._rows(sql, state.value)]

    def counts(self) -> dict[str, int]:
        """Return how many jobs are in which state."""
        rows = self._rows("select state, count(*) as n from job group by state")
        return {row["state"]: row["n"] for row in rows}

    def before(self, job_id: str) -> int | None:
        """Return how many queued jobs come first, or None where the job is not queued."""
        rows = self._rows("select rowid, created, state from job where id = ?", job_id)
        if not rows or rows[0]["state"] != JobState.QUEUED:
            return None
        sql = (
            "select count(*) as n from job where state = 'queued'"
            " and (created, rowid) < (?, ?) and cancel = 0"
        )
        return int(self._rows(sql, rows[0]["created"], rows[0]["rowid"])[0]["n"])

    def claim(self, job_id: str, now: float) -> Job | None:
        """Turn a queued job into a running one; None where somebody else did, or it was stopped."""
        changed = self._write(
            "update job set state = 'running', started = ?, beat = ?, fraction = 0, message = '',"
            " attempts = attempts + 1 where id = ? and state = 'queued' and cancel = 0",
            now,
            now,
            job_id,
        )
        return self.get(job_id) if changed else None

    def progress(
        self, job_id: str, fraction: float, message: str, seconds_left: float | None, now: float
    ) -> None:
        """Record how far a running job is."""
        self._write(
            "update job set fraction = ?, message = ?, seconds_left = ?, beat = ?"
            " where id = ? and state = 'running'",
            fraction,
            message,
            seconds_left,
            now,
            job_id,
        )

    def beat(self, job_id: str, now: float) -> None:
        """Record that the process of a running job is alive."""
        self._write("update job set beat = ? where id = ? and state = 'running'", now, job_id)

    def cancelled(self, job_id: str) -> bool:
        """Return whether the job was asked to stop, or is gone."""
        rows = self._rows("select cancel from job where id = ?", job_id)
        return not rows or bool(rows[0]["cancel"])

    def ask_to_stop(self, job_id: str, now: float) -> None:
        """Stop a queued job at once; ask a running one to stop."""
        with self.transaction() as db:
            db.execute(
                "update job set cancel = 1, state = 'cancelled', finished = ?,"
                " message = 'Cancelled' where id = ? and state = 'queued'",
                (now, job_id),
            )
            db.execute(
                "update job set cancel = 1, message = 'Stopping'"
                " where id = ? and state = 'running'",
                (job_id,),
            )

    def finish(
        self,
        job_id: str,
        state: JobState,
        now: float,
        *,
        result: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
        traceback: str = "",
    ) -> None:
        """Record the end of a running job."""
        fraction = "1" if state is JobState.DONE else "fraction"
        message = {"done": "Done", "cancelled": "Cancelled"}.get(state.value, "Failed")
        self._write(
            f"update job set state = ?, fraction = {fraction}, message = ?, seconds_left = null,"
            " finished = ?, result = ?, error = ?, traceback = ?"
            " where id = ? and state = 'running'",
            state.value,
            message,
            now,
            _text(result),
            _text(error),
            traceback,
            job_id,
        )

    def silent(self, before: float) -> list[tuple[Job, int, bool]]:
        """Return the running jobs not heard of since ``before``: (job, attempts, asked to stop)."""
        sql = "select * from job where state = 'running' and coalesce(beat, 0) < ?"
        return [
            (_job(row), int(row["attempts"]), bool(row["cancel"]))
            for row in self._rows(sql, before)
        ]

    def queue_again(self, job_id: str, message: str, before: float) -> bool:
        """Put a running job that fell silent back into the queue; False if it spoke meanwhile."""
        sql = (
            "update job set state = 'queued', fraction = 0, seconds_left = null, message = ?"
            " where id = ? and state = 'running' and coalesce(beat, 0) < ?"
        )
        return bool(self._write(sql, message, job_id, before))

    def give_back(self, job_id: str, message: str) -> None:
        """Put a running job back into the queue, as if it had not been tried."""
        self._write(
            "update job set state = 'queued', fraction = 0, seconds_left = null, message = ?,"
            " attempts = attempts - 1 where id = ? and state = 'running' and cancel = 0",
            message,
            job_id,
        )

    def forget(self, finished_before: float) -> list[str]:
        """Delete the rows of jobs that ended before this time; return their ids."""
        with self.transaction() as db:
            rows = db.execute(
                "delete from job where finished is not null and finished < ?"
                f" and state not in {_ACTIVE} returning id",
                (finished_before,),
            ).fetchall()
        return [str(row["id"]) for row in rows]

    def worker_beat(self, now: float) -> None:
        """Record that a worker is alive."""
        self._write(
            "insert into worker (id, beat) values (1, ?)"
            " on conflict (id) do update set beat = excluded.beat",
            now,
        )

    def worker_seen(self) -> float | None:
        """Return when a worker was last alive."""
        rows = self._rows("select beat from worker")
        return float(rows[0]["beat"]) if rows else None


def _text(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value)


def _value(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _job(row: sqlite3.Row) -> Job:
    """Return the job that a row spells."""
    return Job(
        id=row["id"],
        model=row["model"],
        verb=row["verb"],
        params=_value(row["params"]),
        inputs=_value(row["inputs"]),
        state=JobState(row["state"]),
        fraction=row["fraction"],
        message=row["message"],
        seconds_left=row["seconds_left"],
        created=row["created"],
        started=row["started"],
        finished=row["finished"],
        error=_value(row["error"]),
        result=_value(row["result"]),
    )
