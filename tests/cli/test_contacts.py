"""The command that counts contacts: a table, figures for programs, one clear message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.cli.main import main
from tests.tiny import tiny_atlas


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_atlas(tmp_path_factory.mktemp("contacts") / "tiny.zarr", with_embedding=False)


def test_contacts_writes_a_table(
    atlas: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "c.csv"
    asked = [
        *("contacts", str(atlas), "--sections", "alpha", "--radius", "100", "--shifts", "50"),
        *("--least-cells", "5", "-o", str(out)),
    ]
    assert main([*asked, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["pairs"]) == 10
    assert out.read_text().startswith("# contacts of label:type")
    assert main(asked) == 2
    assert "exists already" in capsys.readouterr().err


def test_contacts_says_what_is_wrong(
    atlas: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "c.csv"
    base = ["contacts", str(atlas), "-o", str(out)]
    assert main([*base, "--sections", "delta"]) == 2
    assert main([*base, "--shifts", "1"]) == 2
    said = capsys.readouterr().err
    assert "delta" in said
    assert "n_shifts is 1" in said
    assert not out.exists()
