from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from backend.cli import parity
from backend.cli.main import main
from backend.core.errors import BadFile
from backend.core.job import RunContext
from backend.core.parity import ParityReport, metric, report
from backend.runs.fixture import read_arrays


def _runner(ours: float) -> parity.Runner:
    def run(path: Path, ctx: RunContext, epochs: int | None) -> ParityReport:
        return report("plain", path.name, [metric("epochs", epochs or ours, 3.0, 0.5)])

    return run


@pytest.mark.parametrize(("ours", "status"), [(3.2, 0), (4.0, 1)])
def test_the_status_says_whether_all_is_within_tolerance(
    ours: float, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(parity.METHODS, "plain", _runner(ours))
    assert main(["parity", "plain", "x.npz", "--json"]) == status
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] == (status == 0)
    assert found["rows"][0]["ours"] == ours
    assert main(["parity", "plain", "x.npz", "--epochs", "3"]) == 0
    assert "1 of 1 within tolerance." in capsys.readouterr().out


def test_an_unknown_method_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parity", "fusemapp", "x.npz"]) == 2
    said = capsys.readouterr().err
    assert "Did you mean fusemap?" in said
    assert "Known methods: fusemap" in said


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.npz", None, "no such file"),
        ("text.npz", b"not a zip", "cannot be read"),
        ("pickled.npz", "object", "cannot be read"),
        ("other.npz", "other", "lacks a, b"),
    ],
)
def test_an_unreadable_fixture_says_what_was_expected(
    tmp_path: Path, name: str, content: bytes | str | None, words: str
) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "object":
        np.savez(path, a=np.array([{}], dtype=object))
    elif content == "other":
        np.savez(path, c=np.zeros(2))
    with pytest.raises(BadFile, match="arrays a, b") as caught:
        read_arrays(path, ["a", "b"])
    assert words in str(caught.value)


def test_a_bad_fixture_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parity", "fusemap", "nowhere.npz"]) == 2
    assert "an .npz file with the arrays base, TE" in capsys.readouterr().err
