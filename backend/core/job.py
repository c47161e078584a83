"""Jobs: the life of one run, and how a run reports while it works."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from backend.core.errors import Cancelled


class JobState(StrEnum):
    """States of a job; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Job:
    """One row of the job table.

    fraction is in 0..1; seconds_left is an estimate or None; error has the shape of
    ``AtlasError.as_json``; result is what the task recorded (ids and figures, JSON only).
    """

    id: str
    model: str
    verb: str
    params: Mapping[str, Any]
    inputs: Mapping[str, Any]
    state: JobState = JobState.QUEUED
    fraction: float = 0.0
    message: str = ""
    seconds_left: float | None = None
    created: float = 0.0
    started: float | None = None
    finished: float | None = None
    error: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None

    @property
    def is_final(self) -> bool:
        """Whether the job will not change any more."""
        return self.state in FINAL


def _silent(fraction: float, message: str) -> None:
    """Report to nobody."""


def _never() -> bool:
    """Say that nobody asked to stop."""
    return False


@dataclass(slots=True)
class RunContext:
    """What a running task may know of the world: seed, device, whom to tell, whether to stop.

    Parameters
    ----------
    seed : int
    device : str
        "cpu" or "cuda"; models read it, nobody else.
    report : callable (fraction, message)
        Told at every step; fraction in 0..1.
    cancelled : callable () -> bool
        Asked at every step.
    """

    seed: int = 0
    device: str = "cpu"
    report: Callable[[float, str], None] = _silent
    cancelled: Callable[[], bool] = _never
    started: float = field(default_factory=time.monotonic)

    def step(self, fraction: float, message: str) -> None:
        """Report progress; raise Cancelled if the owner asked to stop."""
        if self.cancelled():
            raise Cancelled("The run was cancelled.", "Nothing was written.")
        self.report(min(max(fraction, 0.0), 1.0), message)

    def part(self, lo: float, hi: float) -> RunContext:
        """Return a context whose 0..1 is lo..hi of this one, for a step made of steps."""
        return RunContext(
            seed=self.seed,
            device=self.device,
            report=lambda f, m: self.report(lo + (hi - lo) * f, m),
            cancelled=self.cancelled,
            started=self.started,
        )
