"""Progress of a running job: written seldom, asked seldom, never noisy."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.jobs.progress import ASK_EVERY, WRITE_EVERY, Progress, seconds_left
from backend.jobs.table import JobTable


class Recorder(JobTable):
    """A table that counts what is asked of it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.written: list[float] = []
        self.asked = 0

    def progress(
        self, job_id: str, fraction: float, message: str, seconds_left: float | None, now: float
    ) -> None:
        self.written.append(fraction)

    def cancelled(self, job_id: str) -> bool:
        self.asked += 1
        return self.asked > 1


def test_writes_are_throttled_but_the_end_is_written(tmp_path: Path) -> None:
    table, now = Recorder(tmp_path / "jobs.sqlite"), [0.0]
    progress = Progress(table, "j", lambda: now[0])
    for i in range(100):
        now[0] = i * WRITE_EVERY / 10
        progress.report(i / 100, "x")
    progress.report(1.0, "end")
    assert table.written == [i / 100 for i in range(0, 100, 10)] + [1.0]


def test_the_flag_is_asked_now_and_then_and_stays(tmp_path: Path) -> None:
    table, now = Recorder(tmp_path / "jobs.sqlite"), [0.0]
    progress = Progress(table, "j", lambda: now[0])
    assert [progress.cancelled() for _ in range(5)] == [False] * 5
    now[0] = ASK_EVERY
    assert [progress.cancelled() for _ in range(5)] == [True] * 5
    assert table.asked == 2


@pytest.mark.parametrize(
    ("fraction", "elapsed", "left"),
    [(0.0, 5.0, None), (0.01, 5.0, None), (0.5, 10.0, 10.0), (1.0, 10.0, 0.0)],
)
def test_the_time_left_follows_the_mean_speed(
    fraction: float, elapsed: float, left: float | None
) -> None:
    assert seconds_left(fraction, elapsed) == left
