"""The consumer: one job at a time in a child process, kept alive, set right, swept.

Jobs run in a process of their own, so that one that exhausts the memory takes neither the queue
nor the next job with it.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any

from huey.consumer import Consumer, ConsumerStopped, Scheduler

from backend.core.settings import Settings
from backend.intake.uploads import Uploads
from backend.jobs.queue import JobQueue
from backend.worker.verbs import VERBS
from backend.worker.work import Verbs, make_runner

#: Added to the process's niceness: tiles come before jobs.
NICE = 10
#: Longest wait between two looks at an empty queue, seconds.
MOST_DELAY = 1.0
#: Seconds after which a job's process that died is replaced.
CHECK_EVERY = 2
#: Seconds between two signs of life, and between two rounds of tidying.
BEAT_EVERY, TIDY_EVERY = 5.0, 30.0
#: Environment variable with the process that this worker ends with.
PARENT = "ATLAS_WORKER_PARENT"
_log = logging.getLogger(__name__)


def run_worker(
    settings: Settings, atlas_path: Path, checkpoint: Path | None, verbs: Verbs = VERBS
) -> None:
    """Run queued jobs until stopped.

    Parameters
    ----------
    settings : Settings
    atlas_path : Path
        The atlas that uploads are annotated against.
    checkpoint : Path or None
        The model that does so.
    verbs : mapping
        What can be done.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    os.nice(NICE)
    queue = JobQueue(settings, runner=make_runner(settings, atlas_path, checkpoint, verbs))
    queue.recover()
    parent = os.environ.get(PARENT, "")
    consumer = BoundConsumer(queue, Uploads(settings), int(parent) if parent.isdigit() else None)
    consumer.run()


class Housekeeper(Scheduler):
    """Huey's scheduler, which has nothing to schedule here, and tidies instead."""

    def __init__(self, queue: JobQueue, uploads: Uploads, **options: Any) -> None:
        super().__init__(**options)
        self._queue = queue
        self._uploads = uploads
        self._tidied = self._beaten = float("-inf")
        self._owner = os.getpid()

    def loop(self, now: Any = None) -> None:
        """Give a sign of life; now and then set right what a dead process left, and sweep."""
        if _orphaned(self._owner):
            self.stop_flag.set()
            return
        clock = time.monotonic()
        if clock - self._beaten >= BEAT_EVERY:
            self._beaten = clock
            self._queue.table.worker_beat(time.time())
        if clock - self._tidied >= TIDY_EVERY:
            self._tidied = clock
            self._queue.recover()
            self._queue.sweep(time.time())
            self._uploads.sweep(time.time())
        super().loop(now)


class BoundConsumer(Consumer):
    """A consumer of one process that stops when the process it belongs to is gone.

    Parameters
    ----------
    queue : JobQueue
    uploads : Uploads
    parent : int or None
        Id of the process that it ends with.
    """

    def __init__(self, queue: JobQueue, uploads: Uploads, parent: int | None) -> None:
        self._queue = queue
        self._uploads = uploads
        self._parent = parent
        super().__init__(
            queue.huey,
            workers=1,
            worker_type="process",
            periodic=False,
            initial_delay=0.1,
            max_delay=MOST_DELAY,
            graceful_signal="INT",
            health_check_interval=CHECK_EVERY,
        )

    def _create_scheduler(self) -> Housekeeper:
        return Housekeeper(
            self._queue,
            self._uploads,
            huey=self.huey,
            stop_flag=self.stop_flag,
            interval=self.scheduler_interval,
            periodic=self.periodic,
        )

    def loop(self, health_check_ts: float | None = None) -> float:
        """Look after the children once; stop when the parent is gone."""
        if self._parent is not None and os.getppid() != self._parent:
            self.stop()
            raise ConsumerStopped
        found: float = super().loop(health_check_ts)
        return found


def _orphaned(owner: int) -> bool:
    """Whether the consumer that forked this process is gone."""
    return os.getppid() != owner
