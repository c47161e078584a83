from __future__ import annotations

import pytest

from backend.core.errors import Cancelled
from backend.core.job import Job, JobState, RunContext


def test_a_part_reports_inside_its_share() -> None:
    seen: list[tuple[float, str]] = []
    ctx = RunContext(report=lambda f, m: seen.append((f, m)))
    ctx.part(0.5, 1.0).step(0.5, "halfway through the second half")
    assert seen == [(0.75, "halfway through the second half")]


def test_a_cancelled_run_stops_at_its_next_step() -> None:
    ctx = RunContext(cancelled=lambda: True)
    with pytest.raises(Cancelled, match="Nothing was written"):
        ctx.part(0, 0.5).step(0.1, "working")


def test_only_three_states_are_final() -> None:
    final = {s for s in JobState if Job("1", "fusemap", "annotate", {}, {}, s).is_final}
    assert final == {JobState.DONE, JobState.FAILED, JobState.CANCELLED}
