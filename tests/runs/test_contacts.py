"""Contacts of an atlas: which cells enter, what is written, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from backend.analysis.contacts import ContactParams
from backend.core.errors import BadRequest, UnknownLayer
from backend.runs.contacts import contact_atlas, write_contacts
from backend.store.atlas import Atlas
from tests.tiny import tiny_atlas

QUICK = ContactParams(n_shifts=50, radius_um=100, least_cells=5, least_contacts=5)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_atlas(tmp_path_factory.mktemp("contacts") / "tiny.zarr", with_embedding=False)


def test_regions_are_told_apart_and_contacts_cross_no_border(atlas: Path) -> None:
    found = contact_atlas(atlas, ["alpha"], "label:type", "label:region", QUICK)
    whole = contact_atlas(atlas, ["alpha"], "type", "", QUICK)
    assert {r["name"] for r in found["regions"]} == {"L2/3", "L5", "CA1"}
    split = sum(p["contacts"] for p in found["pairs"])
    assert 0 < split < sum(p["contacts"] for p in whole["pairs"])
    one = contact_atlas(atlas, ["alpha"], "label:type", "label:region=L2/3", QUICK)
    assert one["pairs"] == [p for p in found["pairs"] if p["region"] == "L2/3"]


def test_contacts_are_those_of_the_cells_as_stored(atlas: Path) -> None:
    opened = Atlas.open(atlas)
    info = opened.section("alpha")
    xy = np.asarray(opened.xy[info.rows], np.float64)
    types = np.asarray(opened.label("type").codes[info.rows])
    near = np.linalg.norm(xy[:, None] - xy[None], axis=2) <= 100
    pairs = contact_atlas(atlas, ["alpha"], "label:type", "", QUICK)["pairs"]
    for p in pairs:
        both = near[np.ix_(types == p["a"], types == p["b"])].sum()
        own = (both - (types == p["a"]).sum()) // 2
        assert p["contacts"] == (own if p["a"] == p["b"] else both)


def test_all_sections_that_can_be_used_are_and_the_others_are_named(atlas: Path) -> None:
    narrow = ContactParams(n_shifts=20, radius_um=30, least_cells=5, least_contacts=5)
    found = contact_atlas(atlas, [], "label:type", "", narrow)
    assert found["left_out"]
    assert "spots, not cells" in found["left_out"][0]["why"]
    assert {s["id"] for s in found["sections"]} | {s["id"] for s in found["left_out"]} == {
        "alpha",
        "beta",
        "gamma",
    }


def test_what_cannot_be_used_is_refused_with_the_reason(atlas: Path) -> None:
    with pytest.raises(UnknownLayer, match="label:type, label:region|Labels are"):
        contact_atlas(atlas, ["alpha"], "label:nonsense", "", QUICK)
    with pytest.raises(BadRequest, match="no label:region"):
        contact_atlas(atlas, ["gamma"], "label:region", "", QUICK)
    with pytest.raises(BadRequest, match="Did you mean"):
        contact_atlas(atlas, ["alpha"], "label:type", "label:region=CA2", QUICK)


def test_the_table_and_its_json_hold_the_same_pairs(atlas: Path, tmp_path: Path) -> None:
    found = contact_atlas(atlas, ["alpha"], "label:type", "", QUICK)
    write_contacts(found, tmp_path / "c.csv", tmp_path / "c.json")
    lines = (tmp_path / "c.csv").read_text().splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert [int(r["contacts"]) for r in rows] == [p["contacts"] for p in found["pairs"]]
    assert rows[0]["type_a"] == found["pairs"][0]["name_a"]
    assert json.loads((tmp_path / "c.json").read_text()) == found
    assert {node["code"] for node in found["regions"][0]["network"]} == {0, 1, 2, 3}
