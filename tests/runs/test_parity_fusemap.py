from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.core.errors import BadFile
from backend.core.job import RunContext
from backend.runs.parity_fusemap import REFERENCE, check_fusemap
from backend.runs.threesections import TRUTH, generate, hidden_genes, read_threesections


@pytest.fixture(scope="module")
def truth(datasets: Path) -> Path:
    path = datasets.parent / "parity" / "threesections_truth.npz"
    if not path.is_file():
        pytest.skip(f"no parity fixtures at {path.parent}")
    return path


def test_the_generator_draws_the_published_depths() -> None:
    made = list(generate())
    assert [counts.shape for counts, _, _ in made] == [(1500, 400)] * 3
    assert [len(np.unique(types)) for _, types, _ in made] == [8, 8, 8]
    assert [len(np.unique(regions)) for _, _, regions in made] == [5, 5, 5]


def test_the_sections_of_the_fixture_are_those_of_the_generator(truth: Path) -> None:
    sections = read_threesections(truth)
    assert [len(hidden_genes(s)) for s in sections] == [280, 240, 200]
    depth = [s.full[:, s.panel].sum(axis=1).mean() for s in sections]
    assert depth == pytest.approx([152, 121, 361], abs=0.5)


def test_another_truth_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "threesections_truth.npz"
    shapes = {"base": 400, "TE": (8, 400), "RE": (5, 400), "comp": (5, 8), "shared": 40}
    np.savez(path, **{name: np.zeros(shapes[name]) for name in TRUTH})
    with pytest.raises(BadFile, match="not what seed 20240527 draws"):
        read_threesections(path)


def test_missing_sections_are_all_named(truth: Path, tmp_path: Path) -> None:
    path = tmp_path / truth.name
    path.write_bytes(truth.read_bytes())
    with pytest.raises(BadFile, match="3 problems.*threesections_s2.h5ad"):
        read_threesections(path)


@pytest.mark.slow
def test_one_epoch_gives_every_figure_and_says_that_it_is_short(truth: Path) -> None:
    found = check_fusemap(truth, RunContext(seed=0), epochs=1)
    rows = {row.name: row for row in found.rows}
    assert set(REFERENCE) < set(rows)
    assert "not the published 15" in found.notes[1]
    # What the first batch and the baseline give does not depend on the length of the training.
    for name in ("lambda after the first batch", "kNN-50 baseline r, section 0"):
        assert rows[name].ok
