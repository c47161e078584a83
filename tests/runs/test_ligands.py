"""Ligands of an atlas: measured and imputed apart, trust beside each test, honest refusals."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from backend.analysis.ligands import LigandParams
from backend.cli.main import main
from backend.core.errors import BadRequest, UnknownLayer
from backend.runs.ligands import Meant, ligands_atlas
from backend.runs.ligands_files import write_ligands
from backend.store.atlas import Atlas
from tests.tiny import tiny_atlas

QUICK = LigandParams(radius_um=60, least_cells=5)
MEANT = Meant(("alpha",), "label:type", "excitatory", "Inhibitory")


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_atlas(tmp_path_factory.mktemp("ligands") / "tiny.zarr")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.csv"
    path.write_text("ligand,receptor\nSST,Vip\nGad1,Mbp_Aqp4\nSst,Nowhere\nFoxp2,Prox1\n")
    return path


def test_both_directions_are_tested_on_imputed_genes(atlas: Path, table: Path) -> None:
    found = ligands_atlas(atlas, table, MEANT, QUICK)
    assert (found["n_pairs"], found["n_tested"], len(found["rows"])) == (4, 3, 6)
    assert {(r["sender"], r["receiver"]) for r in found["rows"]} == {
        ("Excitatory", "Inhibitory"),
        ("Inhibitory", "Excitatory"),
    }
    trust = Atlas.open(atlas).genes
    assert trust.trust is not None
    for row in found["rows"]:
        known = all(
            np.isfinite(trust.trust[trust.index(g), 0]) for g in (*row["ligand"], *row["receptor"])
        )
        assert row["weak"] == (not known)
        assert 0 <= row["background"] <= 1
    assert "imputed" in found["unit"]


def test_measured_values_are_those_of_the_panel(atlas: Path, table: Path) -> None:
    found = ligands_atlas(atlas, table, Meant(*_fields(MEANT), values="measured"), QUICK)
    assert found["n_tested"] == 3
    assert not any(row["weak"] for row in found["rows"])
    both = Meant(("alpha", "beta"), *_fields(MEANT)[1:], values="measured")
    # Beta measured neither Gad1 nor Sst.
    assert ligands_atlas(atlas, table, both, QUICK)["n_tested"] == 1


def _fields(meant: Meant) -> tuple[tuple[str, ...], str, str, str]:
    return meant.sections, meant.label, meant.a, meant.b


def test_the_table_says_what_it_is_of(atlas: Path, table: Path, tmp_path: Path) -> None:
    found = ligands_atlas(atlas, table, MEANT, QUICK)
    write_ligands(found, tmp_path / "l.csv", tmp_path / "l.json")
    lines = (tmp_path / "l.csv").read_text().splitlines()
    assert any("spilled over" in line for line in lines if line.startswith("#"))
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert {row["receptor"] for row in rows} == {"Vip", "Mbp+Aqp4", "Prox1"}
    assert {row["values"] for row in rows} == {"imputed"}
    assert json.loads((tmp_path / "l.json").read_text()) == found


def test_what_cannot_be_tested_is_refused(atlas: Path, table: Path, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="has no class 'Neuron'"):
        ligands_atlas(atlas, table, Meant(("alpha",), "type", "Neuron", "Inhibitory"), QUICK)
    with pytest.raises(UnknownLayer, match="no imputed genes"):
        ligands_atlas(atlas, table, Meant(("gamma",), "type", "Excitatory", "Inhibitory"), QUICK)
    other = tmp_path / "other.csv"
    other.write_text("ligand,receptor\nA,B\n")
    with pytest.raises(BadRequest, match="No pair of the table"):
        ligands_atlas(atlas, other, MEANT, QUICK)


def test_the_command_writes_a_table(
    atlas: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "l.csv"
    asked = [
        *("ligands", str(atlas), "--sections", "alpha", "--types", "Excitatory,Inhibitory"),
        *("--pairs", str(table), "--radius", "60", "--least-cells", "5", "-o", str(out)),
    ]
    assert main(asked) == 0
    assert "3 of 4 pairs have all genes imputed" in capsys.readouterr().out
    assert main(asked) == 2
    assert "exists already" in capsys.readouterr().err
