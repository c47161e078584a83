"""The ask command: tables for people, JSON for programs, and readable refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.cli.main import main
from tests.tiny import tiny_atlas


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_atlas(tmp_path_factory.mktemp("ask") / "tiny.zarr"))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ATLAS_DATA", raising=False)


def test_a_gene_is_answered_as_json(atlas: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["ask", atlas, "gene", "slc17a7", "--by", "type", "--kind", "imputed", "--json"]
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["gene"], found["kind"], found["by"]) == ("Slc17a7", "imputed", "label:type")
    assert {e["name"] for e in found["entries"]} >= {"Excitatory", "Astrocyte"}


def test_a_gene_without_by_is_answered_every_way(
    atlas: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["ask", atlas, "gene", "Mbp"]) == 0
    text = capsys.readouterr().out
    for heading in ("Mbp, measured by type", "by region", "by section"):
        assert heading in text
    assert "log1p counts, measured" in text
    assert "Left out: 1 sections, not measured." in text
    assert list(tmp_path.iterdir()) == []


def test_a_region_is_answered_by_name_or_code(
    atlas: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", atlas, "region", "ca1", "--top", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["name"] == "CA1"
    assert 0 < len(found["genes"]) <= 3
    assert main(["ask", atlas, "label:region", str(found["code"])]) == 0
    text = capsys.readouterr().out
    assert text.startswith("CA1 (label:region)")
    assert "imputed" in text


def test_compositions_are_answered(atlas: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", atlas, "composition", "--label", "region"]) == 0
    text = capsys.readouterr().out
    assert "Alpha: 240 cells." in text
    assert "Gamma: 40 cells. None; 40 without one" in text


def test_a_folder_that_is_there_keeps_the_tables(atlas: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert main(["ask", atlas, "composition"]) == 0
    assert len(list((tmp_path / "data" / "cache" / "answers").iterdir())) == 1


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (["gene", "Slc17a8"], "Slc17a7"),
        (["gene"], "No gene is named"),
        (["region", "CA2"], "CA1"),
        (["regoin", "CA1"], "label:region"),
        (["composition", "--label", "nope"], "label:region"),
        (["composition", "--top", "0"], "--top is 0"),
    ],
    ids=["gene", "nothing", "class", "label", "composition", "top"],
)
def test_what_cannot_be_answered_is_refused(
    atlas: str, capsys: pytest.CaptureFixture[str], question: list[str], said: str
) -> None:
    assert main(["ask", atlas, *question]) == 2
    found = capsys.readouterr()
    assert said in found.err
    assert found.out == ""
