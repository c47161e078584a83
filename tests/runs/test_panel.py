"""A panel for an atlas: which sections and genes enter, and what is written."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from backend.analysis.panel_curve import PanelParams
from backend.core.errors import BadRequest, UnknownGene, UnknownLayer
from backend.runs.panel import Source, panel_atlas, write_panel
from backend.store.atlas import Atlas
from tests.tiny import GENES, tiny_atlas

QUICK = PanelParams(genes=4, draws=2)
ALPHA = Source(sections=("alpha",))


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_atlas(tmp_path_factory.mktemp("panel") / "tiny.zarr")


def test_a_panel_is_chosen_and_each_gene_accounted_for(atlas: Path, tmp_path: Path) -> None:
    found = panel_atlas(atlas, ALPHA, QUICK)
    assert found["n_candidates"] == len(GENES)
    assert len({GENES.index(row["gene"]) % 4 for row in found["genes"]}) == 4
    assert found["also"] == ["label:region"]
    assert "Highest in" in found["genes"][0]["why"]
    table = Atlas.open(atlas).genes
    assert table.trust is not None
    for row in found["genes"]:
        r = table.trust[table.index(row["gene"]), 0]
        assert row["held_out_r"] == (pytest.approx(r) if np.isfinite(r) else None)

    write_panel(found, tmp_path / "p.csv", tmp_path / "p.json")
    lines = (tmp_path / "p.csv").read_text().splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert [row["gene"] for row in rows] == [row["gene"] for row in found["genes"]]
    assert json.loads((tmp_path / "p.json").read_text())["curve"] == found["curve"]


def test_candidates_can_be_narrowed(atlas: Path) -> None:
    of_beta = panel_atlas(atlas, Source(sections=("alpha",), panel_of="beta"), QUICK)
    assert of_beta["n_candidates"] == 8
    listed = Source(sections=("alpha",), candidates=("sst", "Vip", "Mbp", "Aqp4", "Cldn5"))
    without = PanelParams(genes=4, draws=2, exclude=("Mbp",), include=("Vip",))
    found = panel_atlas(atlas, listed, without)
    assert {row["gene"] for row in found["genes"]} == {"Sst", "Vip", "Aqp4", "Cldn5"}


def test_shared_genes_of_several_sections_are_the_candidates(atlas: Path) -> None:
    found = panel_atlas(atlas, Source(sections=("alpha", "beta")), QUICK)
    assert found["n_candidates"] == 8
    assert found["held_out"] == "2 sections, each held out in turn"


def test_what_cannot_be_used_is_refused(atlas: Path, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="gamma: no expression"):
        panel_atlas(atlas, Source(sections=("gamma",)), QUICK)
    with pytest.raises(BadRequest, match="species is mouse, not human"):
        panel_atlas(atlas, Source(sections=("alpha",), species="human"), QUICK)
    with pytest.raises(BadRequest, match="500 cells"):
        panel_atlas(atlas, Source(), QUICK)
    with pytest.raises(UnknownGene):
        panel_atlas(atlas, ALPHA, PanelParams(genes=4, exclude=("Nope",)))
    bare = tiny_atlas(tmp_path / "bare.zarr", with_embedding=False)
    with pytest.raises(UnknownLayer, match="no gene embedding"):
        panel_atlas(bare, ALPHA, QUICK)
