from pathlib import Path

import numpy as np
import pytest

from backend.core.errors import BadFile
from backend.core.job import RunContext
from backend.runs.parity_soscope import check_soscope


def write(path, **change):
    rng = np.random.default_rng(0)
    hr = rng.poisson(5, (16, 3)).astype(np.float32)
    places = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])
    pairs = np.array([(0, 1), (1, 0), (0, 2), (2, 0), (1, 3), (3, 1), (2, 3), (3, 2)])
    weighted = np.column_stack([pairs, np.full(8, 0.5)])
    arrays = {
        "lr": hr.reshape(4, 4, 3).mean(axis=1), "hr": hr, "rc_lr": places,
        "sub": np.arange(32).reshape(16, 2), "A": weighted, "W": weighted,
        "Y": rng.normal(size=(16, 5)).astype(np.float32), "pred": hr, "bilinear": hr,
        "names": np.array(["a", "b", "c"]),
    }  # fmt: skip
    np.savez(path, **{**arrays, **change})
    return path


def test_metrics_stand_beside_those_of_the_fixture(tmp_path):
    found = check_soscope(write(tmp_path / "x.npz"), RunContext(), epochs=2)
    rows = {row.name: row for row in found.rows}
    assert rows["median r"].reference == pytest.approx(1)
    assert rows["median r"].ours < 0.9
    assert rows["edges of the spots"].ok
    assert {"r of a", "r of c", "divergence, nats"} <= set(rows)
    assert "Shortened to 2 epochs" in found.notes[1]


def test_noise_is_drawn_where_there_is_no_image(tmp_path):
    found = check_soscope(write(tmp_path / "x.npz", Y=np.zeros(0)), RunContext(), epochs=1)
    assert "noise of the same kind is drawn" in found.notes[-1]


def test_shapes_that_do_not_fit_are_all_named(tmp_path):
    path = write(tmp_path / "x.npz", pred=np.zeros((2, 2)), names=np.array(["a"]))
    with pytest.raises(BadFile, match="2 problems"):
        check_soscope(path, RunContext(), epochs=1)


def test_the_plain_ways_score_as_the_reference_says(datasets: Path):
    path = datasets.parent / "parity" / "soscope_skin_positional_image.npz"
    if not path.is_file():
        pytest.skip(f"no parity fixtures at {path.parent}")
    found = check_soscope(path, RunContext(), epochs=1)
    rows = {row.name: row for row in found.rows}
    exact = [n for n in rows if n.startswith(("bilinear", "copied", "edges", "param", "largest"))]
    assert len(exact) == 11
    assert all(rows[name].ok for name in exact)
