"""Vocabularies of two simulated data sets brought together."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from backend.cli.main import main
from backend.core.data import Label, SectionData
from backend.core.errors import BadRequest, UnknownLayer
from backend.models.fusemap.train import TrainParams
from backend.runs.harmonise import comparable, harmonise_atlas, write_harmonised
from backend.runs.train import train_fusemap
from backend.store.write import write_atlas
from tests.models.simulated import simulate


def renamed(section: SectionData, prefix: str) -> SectionData:
    own = section.labels["type"]
    names = tuple(c._replace(name=f"{prefix} {c.name}") for c in own.categories)
    return replace(section, dataset=prefix, labels={"type": Label(own.codes, names)})


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("harmonise")
    first, second, _ = simulate(n_cells=400).sections
    atlas = write_atlas(folder / "a.zarr", "Two", [renamed(first, "A"), renamed(second, "B")])
    train_fusemap(atlas, folder / "c", TrainParams(k=6, refine=False, trust=False, iterations=30))
    return atlas, folder / "c"


def test_planted_counterparts_are_found_in_both_directions(two: tuple[Path, Path]) -> None:
    found = harmonise_atlas(*two)["labels"]["type"]
    right = [m for m in found["matches"] if m["counterpart"][2:] == m["name"][2:]]
    assert len(right) >= 0.8 * len(found["matches"])
    assert {(o["of"], o["by"]) for o in found["overlaps"]} == {("A", "B"), ("B", "A")}
    for o in found["overlaps"]:
        assert all(abs(sum(row) - 1) < 0.01 for row in o["share"])


def test_command_writes_a_table_and_refuses_unknown_labels(
    two: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    given = ["harmonise", str(two[0]), "--checkpoint", str(two[1]), "-o", str(out)]
    assert main(given) == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert {"label", "dataset", "class", "cells", "harmonised", "relation", "score"} == set(rows[0])
    assert len(rows) == 16
    assert main(given) == 2
    with pytest.raises(UnknownLayer, match="no label 'tpye'"):
        harmonise_atlas(*two, labels=("tpye",))


def test_all_of_it_is_written_as_json(two: tuple[Path, Path], tmp_path: Path) -> None:
    found = harmonise_atlas(*two, labels=("type",))
    write_harmonised(found, tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_text()) == found


def test_labels_that_all_data_sets_name_alike_are_left_out_or_refused() -> None:
    own, shared = {"A": "A", "B": "B"}, {"A": "A + B", "B": "A + B"}
    assert comparable({"type": own, "region": shared}, ["type", "region"]) == ["type"]
    with pytest.raises(BadRequest, match="use the same names of region: nothing to harmonise"):
        comparable({"region": shared}, ["region"])
    with pytest.raises(BadRequest, match="vocabularies of two data sets"):
        comparable({"type": {"A": "A"}}, ["type"])
