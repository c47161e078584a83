"""The tool of cell contacts: its link, what it asks for, its pictures and tables."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.analysis.contacts import ContactParams
from backend.analysis.ligands import LigandParams
from backend.runs.contacts import contact_atlas
from backend.runs.ligands import Meant, ligands_atlas
from backend.service import Backend
from explorer import contact_parts
from explorer.contact_figures import height_of, matrix_figure, network_figure
from explorer.contact_state import ContactsAt, pairs_of, parse_at, region_of, write_at
from explorer.contact_tables import ligand_table, pair_table
from tests.explorer.said import having, text

JOB = "a" * 32


@pytest.fixture(scope="module")
def found(backend: Backend) -> dict[str, Any]:
    params = ContactParams(n_shifts=50, radius_um=100, least_cells=5, least_contacts=5)
    path = Path(str(backend.planes.main.atlas.path))
    result = contact_atlas(path, ["alpha"], "label:type", "label:region", params)
    # One pair is called, so that pictures have something to mark.
    first = next(p for p in result["pairs"] if p["a"] != p["b"])
    first["call"] = "avoidance"
    return result


def test_the_state_is_in_the_link() -> None:
    at = ContactsAt(JOB, 2, "network", "fold", 3.5, (4, 7))
    assert parse_at(write_at(at)) == at
    assert write_at(ContactsAt(JOB)) == JOB
    assert parse_at(f"{JOB},region=x,show=cube,by=q,limit=-,pair=1.2.3") == ContactsAt(JOB)


def test_the_matrix_is_symmetric_and_marks_what_is_called(found: dict[str, Any]) -> None:
    at = ContactsAt(JOB)
    heat = matrix_figure(pairs_of(found, at), at).data[0]
    z = np.asarray(heat.z)
    assert np.array_equal(z, z.T)
    assert (heat.zmin, heat.zmax) == (-heat.zmax, heat.zmax)
    dots = np.asarray(heat.text)
    assert (dots == "●").sum() == 2 * sum(1 for p in pairs_of(found, at) if p["call"])
    first = pairs_of(found, at)[0]
    assert heat.customdata[0][0][0] == f"{first['a']}.{first['b']}"
    assert height_of(pairs_of(found, at)) == 190 + 13 * len(z)
    other = replace(at, measure="fold", limit=2.0)
    assert matrix_figure(pairs_of(found, other), other).data[0].zmax == 2.0


def test_the_network_draws_a_line_per_called_pair(found: dict[str, Any]) -> None:
    at = ContactsAt(JOB)
    pairs = pairs_of(found, at)
    figure = network_figure(region_of(found, at), pairs, found["types"], at)
    called = [p for p in pairs if p["call"] and p["a"] != p["b"]]
    lines = [t for t in figure.data if t.mode == "lines" and t.x[0] is not None]
    assert [line.line.dash for line in lines] == ["dot"] * len(called)
    nodes = figure.data[-1]
    assert len(nodes.x) == len(region_of(found, at)["network"])


def test_a_row_leads_to_its_pair_and_the_chosen_one_is_marked(found: dict[str, Any]) -> None:
    at = ContactsAt(JOB)
    pairs = pairs_of(found, at)
    called = next(p for p in pairs if p["call"])
    table = pair_table(pairs, replace(at, pair=(called["a"], called["b"])))
    assert "Avoidance" in text(table)
    links = [getattr(b, "data-value") for b in having(table, "data-act", "using")]
    assert parse_at(links[0]).pair == (called["a"], called["b"])
    assert having(table, "className", "sel")


def test_a_click_names_a_pair_and_the_map_shows_it_alone(found: dict[str, Any]) -> None:
    assert contact_parts.clicked_pair({"points": [{"customdata": ["7.4", "words"]}]}) == (4, 7)
    assert contact_parts.clicked_pair({"points": [{}]}) is None
    assert contact_parts.clicked_pair(None) is None
    at = ContactsAt(JOB, pair=(1, 1))
    here = contact_parts.on_map(found, at, "alpha")
    assert here == {"layer": "label:type", "only": [1]}
    assert contact_parts.on_map(found, at, "beta")["section"] == "alpha"
    assert contact_parts.on_map(found, ContactsAt(JOB), "beta") == {
        "layer": "label:type",
        "only": [],
    }


def test_the_run_is_on_what_the_map_shows(backend: Backend) -> None:
    rest = (100, 100, 1000, 50, "places")
    row = contact_parts.run_row(backend, "alpha", "section", "label:type", "label:region", rest)
    asked = json.loads(getattr(having(row, "data-act", "run")[0], "data-value"))
    assert asked["inputs"] == {"sections": ["alpha"]}
    assert asked["params"]["region"] == "label:region"
    assert "Alpha: 240 cells" in text(row)
    every = contact_parts.run_row(backend, "atlas", "section", "label:type", "", rest)
    assert json.loads(getattr(having(every, "data-act", "run")[0], "data-value"))["inputs"] == {
        "sections": []
    }
    none = contact_parts.run_row(backend, "gamma", "section", "label:region", "", rest)
    assert having(none, "data-act", "run")[0].disabled
    near = (5, 100, 1000, 50, "places")
    spots = contact_parts.run_row(backend, "alpha", "section", "label:type", "", near)
    assert having(spots, "data-act", "run")[0].disabled
    assert "cells that touch were not recorded" in text(spots)


def test_a_pair_offers_ligands_only_with_a_table(backend: Backend, found: dict[str, Any]) -> None:
    pairs = pairs_of(found, ContactsAt(JOB))
    at = ContactsAt(JOB, pair=(pairs[0]["a"], pairs[0]["b"]))
    assert "Click a square" in text(contact_parts.pair_part(backend, found, pairs, ContactsAt(JOB)))
    assert "put a table" in text(contact_parts.pair_part(backend, found, pairs, at))
    backend.settings.pairs.mkdir(parents=True)
    table = backend.settings.pairs / "own.csv"
    table.write_text("ligand,receptor\nSst,Vip\n")
    assert "own.csv" in str(contact_parts.pair_part(backend, found, pairs, at))
    table.unlink()
    act = contact_parts.ligand_button(found, at, "own.csv", "measured")
    asked = json.loads(getattr(act, "data-value"))
    assert asked["params"]["region"] == f"label:region={region_of(found, at)['name']}"
    assert asked["verb"] == "ligands"


def test_tests_of_weak_genes_are_faint_and_say_so(backend: Backend, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("ligand,receptor\nSst,Vip\nFoxp2,Prox1\n")
    path = Path(str(backend.planes.main.atlas.path))
    meant = Meant(("alpha",), "label:type", "Excitatory", "Inhibitory")
    found = ligands_atlas(path, pairs, meant, LigandParams(radius_um=60, least_cells=5))
    table = ligand_table(found)
    weak = sum(1 for row in found["rows"] if row["weak"])
    assert len(having(table, "className", "faint")) == weak > 0
    assert having(table, "data-value", "imputed:Sst")
    shown = text(contact_parts.ligand_result(found, JOB))
    assert "spilled over" in shown
    assert "Of random pairs" in shown
