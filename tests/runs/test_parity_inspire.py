from __future__ import annotations

from pathlib import Path

import pytest

from backend.core.job import RunContext
from backend.runs.parity_inspire import check_inspire
from backend.runs.parity_inspire_reference import BASELINE, METRICS


@pytest.mark.slow
def test_two_steps_give_every_figure_and_say_that_they_are_few(datasets: Path) -> None:
    path = datasets.parent / "parity" / "threesections_truth.npz"
    if not path.is_file():
        pytest.skip(f"no parity fixtures at {path.parent}")
    found = check_inspire(path, RunContext(seed=0), steps=2)
    rows = {row.name: row for row in found.rows}
    named = {f"{variant}: {key}" for variant, keys in METRICS.items() for key in keys}
    assert named < set(rows)
    assert "at most so many steps" in found.notes[-1]
    # What does not depend on the length of the training.
    sharp = [
        "genes used", "cells used", "neighbours per cell", "linear: L_REC at step 0",
        "attention: L_FE at step 0", *(f"PCA: {key}" for key in BASELINE),
    ]  # fmt: skip
    assert [name for name in sharp if not rows[name].ok] == []
