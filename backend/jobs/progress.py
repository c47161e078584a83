"""How a running job tells the table where it is, seldom enough to cost nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from backend.jobs.table import JobTable

#: Seconds between two writes of progress, two reads of the cancel flag, two signs of life.
WRITE_EVERY = 0.5
ASK_EVERY = 0.25
BEAT_EVERY = 3.0
#: Below this fraction an extrapolation of the time left is noise.
LEAST_FRACTION = 0.02


class Progress:
    """Reports of one running job, throttled.

    Parameters
    ----------
    table : JobTable
    job_id : str
    clock : callable () -> float
        Epoch seconds.
    """

    def __init__(
        self, table: JobTable, job_id: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._table = table
        self._id = job_id
        self._clock = clock
        self._started = clock()
        self._written = float("-inf")
        self._asked = float("-inf")
        self._stop = False

    def report(self, fraction: float, message: str) -> None:
        """Write fraction, message and seconds left, unless just written; the end always is."""
        now = self._clock()
        if now - self._written < WRITE_EVERY and fraction < 1:
            return
        self._written = now
        left = seconds_left(fraction, now - self._started)
        self._table.progress(self._id, fraction, message, left, now)

    def cancelled(self) -> bool:
        """Return whether the owner asked to stop; the table is asked now and then."""
        now = self._clock()
        if not self._stop and now - self._asked >= ASK_EVERY:
            self._asked = now
            self._stop = self._table.cancelled(self._id)
        return self._stop

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Give signs of life from a thread while the body runs, however long one step takes."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(BEAT_EVERY):
                self._table.beat(self._id, self._clock())

        thread = threading.Thread(target=beat, name="signs of life", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def seconds_left(fraction: float, elapsed: float) -> float | None:
    """Return the seconds left at the mean speed so far; None while too early to tell."""
    if fraction < LEAST_FRACTION:
        return None
    return max(0.0, elapsed * (1 - fraction) / fraction)
