"""The tool of interactions: its link, what it asks for, its pictures, tables and overlay."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from backend.core.layers import LayerKey
from backend.service import Backend
from explorer.gene_overlay import overlay_of
from explorer.interaction_figures import (
    height_of,
    matrix_figure,
    network_figure,
    volcano_figure,
)
from explorer.interaction_parts import (
    PARTNER_LAYER,
    empty_words,
    first_types,
    forward_notes,
    gene_summary,
    partner_summary,
    partners_part,
    run_genes,
    run_partners,
    type_options,
)
from explorer.interaction_read import SAME, SPILL, read_gene_pairs, read_partners
from explorer.interaction_state import InteractionsAt, parse_at, write_at
from explorer.interaction_tables import as_good, gene_pair_table, niche_rows, trust_table
from explorer.interaction_uploads import run_upload, types_part, types_summary, upload_options
from explorer.views.interactions import clicked_genes
from tests.explorer.said import having, text

JOB = "b" * 32


@pytest.fixture
def partners() -> dict[str, Any]:
    return {
        "n_cells": 1000,
        "radius_um": 30.0,
        "types": [{"name": "A"}, {"name": "B"}],
        "matrix": [[0.5, -1.0], [-1.0, None]],
        "observed": [[0.6, None], [None, None]],
        "niche": [{"name": "A", "predicted": 0.25, "observed": 0.5},
                  {"name": "B", "predicted": 0.75, "observed": None}],
        "jsd": 0.031,
        "query": {"said": "12 cells of the lasso"},
        "auc": {"Pair model": {"hard": 0.62, "easy": 0.77},
                "Type pairs": {"hard": 0.56, "easy": 0.775}},
        "tested_on": "The right half, unseen in training.",
        "warnings": ["One."],
    }  # fmt: skip


def row(a: str, b: str, effect: float, q: float, **other: bool) -> dict[str, Any]:
    return {"gene_a": a, "gene_b": b, "effect": effect, "z": effect * 4, "q": q, **other}


@pytest.fixture
def genes() -> dict[str, Any]:
    return {
        "a": "Astro", "b": "Endo", "n_contacts": 321, "n_tested": 4, "rate": 0.05,
        "rows": [
            row("G1", "H1", 1.5, 1e-6, is_ligand_receptor=True),
            row("G2", "H2", -1.2, 0.01),
            row("G3", "G3", 1.0, 0.0, is_same=True, is_spill=True),
            row("G4", "H4", 0.1, 0.9),
        ],
        "spill": {"warns": True, "said": "Transcripts may have spilled."},
        "warnings": [],
    }  # fmt: skip


def test_the_state_is_in_the_link() -> None:
    at = InteractionsAt(JOB, "network", ("Gad1", "H2-K1"))
    assert parse_at(write_at(at)) == at
    assert write_at(InteractionsAt(JOB)) == JOB
    assert parse_at(f"{JOB},show=cube,genes=~x") == InteractionsAt(JOB)


def test_what_is_no_result_of_the_tool_is_not_read() -> None:
    assert read_partners({"rows": []}) is None
    assert read_gene_pairs({"matrix": []}) is None


def test_the_matrix_colours_types_by_types_about_zero(partners: dict[str, Any]) -> None:
    found = read_partners(partners)
    assert found is not None
    heat = matrix_figure(found).data[0]
    z = np.asarray(heat.z)
    assert z[0].tolist() == [0.5, -1.0]
    assert np.isnan(z[1, 1])
    assert heat.zmin == -heat.zmax
    assert heat.customdata[0][0] == "<b>A, A</b><br>predicted +0.50<br>observed +0.60"
    assert "no pair" in heat.customdata[1][1]
    assert height_of(found["types"]) == 200


def test_figures_stand_beside_plain_methods_and_say_where_those_are_as_good(
    partners: dict[str, Any],
) -> None:
    found = read_partners(partners)
    assert found is not None
    assert as_good(found) == ["AUC, over 150 µm apart: Type pairs is as good (0.78 against 0.77)."]
    said = text(trust_table(found))
    assert "Type pairs 0.56" in said
    assert "Pair model" in said
    assert "within pairs" not in said
    assert "The right half" in said


def test_partners_are_shown_on_the_plane_of_the_result(partners: dict[str, Any]) -> None:
    found = read_partners(partners)
    assert found is not None
    show = having(partners_part(found, f"query-{JOB}"), "data-act", "steer")[0]
    order = json.loads(getattr(show, "data-value"))
    assert order == {"section": f"query-{JOB}", "layer": PARTNER_LAYER, "only": []}
    assert "12 cells of the lasso" in partner_summary(found)
    assert text(niche_rows(found["niche"])).index("B") < text(niche_rows(found["niche"])).index("A")
    none = read_partners({**partners, "niche": []})
    assert none is not None
    assert "No cell was chosen" in text(partners_part(none, "query-x"))


def test_the_volcano_separates_called_flagged_and_other_pairs(genes: dict[str, Any]) -> None:
    found = read_gene_pairs(genes)
    assert found is not None
    figure = volcano_figure(found["rows"], found["rate"], ("G2", "H2"))
    names = [t.name for t in figure.data if t.name]
    assert names == ["Not called (1)", "More than chance (1)", "Less than chance (1)",
                     "Called, with a warning (1)"]  # fmt: skip
    assert figure.data[3].y[0] == 12.0
    assert figure.data[1].customdata[0][0] == "G1~H1"
    assert "ligand and receptor" in figure.data[1].customdata[0][1]
    assert figure.data[4].x[0] == -1.2
    assert {a.text for a in figure.layout.annotations} >= {"G1·H1", "G2·H2"}


def test_the_network_joins_called_genes_and_breaks_the_line_of_a_warned_pair(
    genes: dict[str, Any],
) -> None:
    found = read_gene_pairs(genes)
    assert found is not None
    figure = network_figure(found["rows"], "Astro", "Endo", 0.05)
    lines = [t for t in figure.data if t.mode == "lines"]
    assert [t.line.dash for t in lines] == ["dot", "solid", "solid"]
    nodes = [t for t in figure.data if t.mode == "markers+text"]
    assert list(nodes[0].text) == ["<i>G3</i>", "<i>G1</i>", "<i>G2</i>"]
    assert len(network_figure([], "A", "B", 0.05).data) == 2


def test_the_table_flags_spill_same_gene_and_ligands(genes: dict[str, Any]) -> None:
    found = read_gene_pairs(genes)
    assert found is not None
    table = gene_pair_table(found["rows"], InteractionsAt(JOB), 0.05)
    said = text(table)
    assert SPILL in said
    assert SAME in said
    assert "Ligand, receptor" in said
    click = having(table, "data-act", "using")[1]
    assert getattr(click, "data-value") == f"{JOB},genes=G1~H1"
    assert found["warnings"] == ["Transcripts may have spilled."]
    assert gene_summary(found) == "Astro and Endo: 321 contacts, 4 gene pairs tested, 3 called"


def test_a_test_without_a_call_says_what_could_be_found(genes: dict[str, Any]) -> None:
    found = read_gene_pairs({**genes, "rows": genes["rows"][3:]})
    assert found is not None
    assert "risk ratios above about 3" in text(empty_words(found))


def test_a_click_names_a_gene_pair() -> None:
    assert clicked_genes({"points": [{"customdata": ["A~B", "words"]}]}) == ("A", "B")
    assert clicked_genes({"points": [{"customdata": "A, B"}]}) is None
    assert clicked_genes(None) is None


def test_two_genes_lie_over_one_another_in_colours_of_their_own(backend: Backend) -> None:
    genes = [g["symbol"] for g in backend.genes("", 5, "alpha")][:2]
    shown = overlay_of(backend, "alpha", (genes[0], genes[1]))
    tiles = having(shown, "data-tile")
    assert [getattr(t, "data-tile") for t in tiles] == [
        f"/tiles/alpha/measured:{g}/0/0/0.png" for g in genes
    ]
    assert [json.loads(getattr(t, "data-ramp"))[0] for t in tiles] == ["first", "second"]
    assert tiles[0].style == tiles[1].style
    assert "NoSuchGene" in text(overlay_of(backend, "alpha", ("NoSuchGene", genes[0])))


def test_a_run_asks_about_the_lasso_the_pinned_cell_or_the_section(backend: Backend) -> None:
    entry = backend.section_entry("alpha")
    left, top, right, bottom = entry["extent"]
    polygon = [[left, top], [right, top], [right, bottom], [left, bottom]]
    lasso = {"section": "alpha", "polygon": polygon}
    asked = run_of(run_partners(backend, "alpha", "label:type", lasso, None))
    assert json.loads(asked["params"]["polygon"]) == polygon
    assert (asked["model"], asked["verb"]) == ("spatialformer", "colocalise")
    x, y = entry["bounds"][:2]
    pinned = {"pinned": True, "plane": "atlas", "x": x + 5, "y": y + 6}
    asked = run_of(run_partners(backend, "alpha", "label:type", None, pinned))
    assert json.loads(asked["params"]["cell"]) == pytest.approx([left + 5, top + 6], abs=0.01)
    assert (
        "polygon" not in run_of(run_partners(backend, "alpha", "label:type", None, None))["params"]
    )
    nothing = run_partners(backend, "atlas", "label:type", None, None)
    assert "Open a section" in text(nothing)


def test_a_test_of_gene_pairs_names_two_types(backend: Backend) -> None:
    names = [o["value"] for o in type_options(backend, "alpha", "label:type")]
    asked = run_of(run_genes(backend, "alpha", "label:type", (names[0], names[1]), "t", None))
    assert asked["params"] == {
        "label": "label:type", "a": names[0], "b": names[1], "table": "t", "radius_um": 30.0,
    }  # fmt: skip
    assert asked["inputs"] == {"sections": ["alpha"]}
    assert "two types" in text(run_genes(backend, "alpha", "label:type", ("", ""), "", None))


def test_types_that_touch_stand_first(backend: Backend) -> None:
    names = [o["value"] for o in type_options(backend, "alpha", "label:type")]
    categories = backend.layer("alpha", LayerKey("label", "type")).categories
    codes = backend.most_touching("alpha", LayerKey("label", "type"), 30.0)
    assert first_types(backend, "alpha", "label:type", names) == [categories[c].name for c in codes]
    assert first_types(backend, "alpha", "label:type", ["only"]) == ["only", ""]


def run_of(parts: Any) -> dict[str, Any]:
    return json.loads(getattr(having(parts, "data-act", "run")[0], "data-value"))


def test_removal_from_the_transformer_stands_beside_the_closed_form(genes: dict[str, Any]) -> None:
    assert forward_notes(read_gene_pairs(genes)) == []
    rows = [dict(row, forward_z=2.5, forward_q=0.04) for row in genes["rows"][:1]]
    rows += [dict(row, forward_z=None, forward_q=None) for row in genes["rows"][1:]]
    forward = {"n_tested": 7, "n_called": 1, "said": "Weak: AUC 0.51.", "trusted": False}
    found = read_gene_pairs({**genes, "rows": rows, "forward": forward})
    assert found is not None
    said = text(forward_notes(found))
    assert "7 gene pairs tested, 1 called. Weak: AUC 0.51." in said
    table = text(gene_pair_table(found["rows"], InteractionsAt("j"), 0.05))
    assert "z by removal" in table
    assert "+2.5 (q 0.04)" in table


def test_a_run_says_whether_genes_are_removed_too(backend: Backend) -> None:
    names = [o["value"] for o in type_options(backend, "alpha", "label:type")]
    pair = (names[0], names[1])
    asked = run_of(run_genes(backend, "alpha", "label:type", pair, "", None, 30.0, True))
    assert asked["params"]["forward"] is True


def test_uploads_of_the_session_can_be_asked_about(backend: Backend) -> None:
    jobs = [
        {"inputs": {"upload": "u1", "name": "loose.h5ad"}},
        {"inputs": {"upload": "u1", "name": "loose.h5ad"}},
        {"inputs": {"sections": ["alpha"]}},
    ]
    assert [o["value"] for o in upload_options(jobs)] == ["", "u1"]
    assert upload_options(None)[0]["label"] == "Cells chosen on the map"
    asked = run_of(run_upload(backend, "alpha", "label:type", 30.0, "u1"))
    assert asked["params"] == {"label": "label:type", "radius_um": 30.0, "section": "alpha"}
    assert asked["inputs"] == {"upload": "u1"}
    assert "Open a section" in text(run_upload(backend, "atlas", "label:type", 30.0, "u1"))


def test_types_of_the_probe_are_shown_with_what_they_rest_on() -> None:
    found = {"n_cells": 4, "n_types": 2, "counts": {"A": 1, "B": 3, "C": 0},
             "held_out_macro_f1": {"genes": 0.81}}  # fmt: skip
    assert "4 cells, 2 types" in types_summary(found)
    assert "genes 0.81" in types_summary(found)
    said = text(types_part(found))
    assert said.index("B") < said.index("A")
    assert "cannot be named" in said
