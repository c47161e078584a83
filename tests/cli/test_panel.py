"""The command that chooses a panel: a table, a curve in text, one clear message."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.cli.main import main
from tests.tiny import tiny_atlas


def test_panel_writes_a_table_and_shows_the_curve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    atlas, out = tiny_atlas(tmp_path / "tiny.zarr"), tmp_path / "p.csv"
    listed = tmp_path / "genes.txt"
    listed.write_text("Sst\nVip\nMbp\nAqp4\nCldn5\n")
    asked = ["panel", str(atlas), "--sections", "alpha", "--genes", "4", "--draws", "2"]
    assert main([*asked, "--candidates", str(listed), "-o", str(out)]) == 0
    said = capsys.readouterr().out
    assert "4 of 5 candidate genes" in said
    assert "Greedy, labels only" in said
    assert len([x for x in out.read_text().splitlines() if not x.startswith("#")]) == 5
    assert main([*asked, "-o", str(out)]) == 2
    assert main([*asked, "--way", "best", "-o", str(tmp_path / "q.csv")]) == 2
    assert main([*asked, "--candidates", "none.txt", "-o", str(tmp_path / "q.csv")]) == 2
    errors = capsys.readouterr().err
    assert "exists already" in errors
    assert "way is 'best'" in errors
    assert "no file 'none.txt'" in errors
