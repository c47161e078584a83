"""The weights tool: what it offers before a run, and how a result reads."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from explorer import weight_form, weight_parts
from explorer.weight_baselines import baseline_table
from explorer.weight_domains import domain_table
from explorer.weight_violins import violin
from tests.explorer.said import having, text

JOB = "a" * 32
ENTRY = {
    "id": f"query-{JOB}",
    "extent": [0, 0, 100, 50],
    "side": 128,
    "origin": [0, 0],
    "edition": "1-2",
}


def domain(name: str, rna: float, ablation: float) -> dict[str, Any]:
    both = {"rna": rna, "protein": 1 - rna}
    return {
        "name": name, "spots": 10, "agreement": 0.9, "moran": 0.5, "weight": both,
        "weight_spread": {"rna": 0.02, "protein": 0.02}, "bits": both, "attention": both,
        "within": both, "energy": both, "ablation": {"rna": ablation, "protein": 1 - ablation},
    }  # fmt: skip


MBP = {"feature": "Mbp", "mean": 2, "rest": 1, "effect": 1.5, "p": 0.01}
FIGURES: dict[str, Any] = {
    "count": 2,
    "modalities": [{"name": "rna"}, {"name": "protein"}],
    "domains": [domain("domain 1", 0.9, 0.8), domain("domain 2", 0.2, 0.9)],
    "stability": {"seeds": 5, "starts": 3, "pairwise_ari": 0.71},
    "model": {"median_moran": 0.9, "jaccard_sum": 0.1},
    "baselines": {"rna alone": {"median_moran": 0.5, "jaccard_sum": 1.0}},
    "better_baselines": [],
    "how_to_read": {"weight": "Weight: the share of the evidence."},
    "suggestion": {"silhouette_choice": 2, "knee": 3, "is_confirmed": True},
    "warnings": ["Two spots lack RNA."],
    "view": {
        "bins": 4,
        "distributions": {"rna": [[0, 0, 5, 5], [5, 5, 0, 0]], "protein": [[1] * 4, [1] * 4]},
        "features": {"rna": [[MBP], []]},
        "colours": ["#0072b2", "#e69f00"],
        "domain_names": ["domain 1", "domain 2"],
        "baseline_labels": ["baseline rna alone"],
    },
}  # fmt: skip


@pytest.mark.parametrize("part", [name for name, _ in weight_parts.PARTS])
def test_every_part_of_a_result_can_be_drawn(part: str) -> None:
    assert text(weight_parts.result_part(ENTRY, FIGURES, JOB, part))


def test_maps_show_each_weight_about_its_even_share() -> None:
    shown = weight_parts.maps(ENTRY, FIGURES)
    ramps = [json.loads(r) for c in having(shown, "data-ramp") if (r := getattr(c, "data-ramp"))]
    assert ["div", 0.0, 1.0] in ramps
    assert "Two spots lack RNA." in text(shown)


def test_a_domain_says_whether_the_cross_checks_agree() -> None:
    assert "Agree" in text(domain_table(FIGURES, ENTRY["id"]))
    assert "Measures differ" in text(domain_table(FIGURES, ENTRY["id"]))


def test_a_click_on_a_domain_shows_it_alone() -> None:
    rows = having(domain_table(FIGURES, ENTRY["id"]), "data-act", "steer")
    orders = [json.loads(getattr(r, "data-value")) for r in rows]
    assert orders[1] == {"section": ENTRY["id"], "layer": "label:domain", "only": [1]}


def test_where_a_baseline_is_better_the_result_says_so() -> None:
    figures = copy.deepcopy(FIGURES)
    figures["better_baselines"] = [
        {"baseline": "rna alone", "measure": "ari", "baseline_figure": 0.9, "model_figure": 0.5}
    ]
    assert "rna alone (ARI 0.900 against 0.500)" in text(baseline_table(ENTRY, figures))
    plain = text(baseline_table(ENTRY, FIGURES))
    assert "No baseline is better than the model by Moran's I" in plain
    assert "kept best by rna alone (1.000 against 0.100)" in plain


def test_a_violin_is_as_wide_as_its_spots() -> None:
    first = violin(FIGURES, "rna").data[0]
    assert max(first.x) == pytest.approx(0.42)
    assert first.x[0] == 0.0


CARD: dict[str, Any] = {
    "ok": True,
    "title": "t",
    "n_spots": 20,
    "modalities": [{"name": "rna", "kind": "rna", "features": 30, "spots": 20}],
    "labels": [["region", 2]],
    "align": "name",
    "ways": [["name", 10], ["union", 20]],
    "faults": [],
    "differ": "10 of its spots are not in rna",
    "seconds": 8.0,
}
FILES = {"step": "check", "name": "rna.h5ad", "uploads": ["b" * 32], "card": CARD}


def test_the_run_button_names_the_act_and_how_many_spots() -> None:
    made = weight_form.offer_run(None, 5, "region", "union", FILES)
    asked = json.loads(getattr(made, "data-value"))
    assert text(made) == "Weigh 20 spots"
    assert asked["params"] == {"clusters": 0, "seeds": 5, "truth": "region", "align": "union"}
    assert asked["inputs"] == {"uploads": ["b" * 32]}


def test_one_modality_and_spots_that_differ_are_said_before_the_run() -> None:
    shown = text(weight_form.before(FILES))
    assert "plain spatial domains" in shown
    assert "10 of its spots are not in rna" in shown


def test_all_faults_of_the_files_are_shown_at_once() -> None:
    faults = [
        {"what": w, "where": "x", "expected": "y", "remedy": "z"} for w in ("first", "second")
    ]
    refused = {**FILES, "card": {**CARD, "ok": False, "faults": faults}}
    shown = text(weight_form.before(refused))
    assert "first" in shown
    assert "second" in shown
    assert weight_form.offer_run(None, 5, "", "strict", refused) is None


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "Choose the files of one section"),
        ({"step": "sending", "name": "rna.h5ad", "size": 2000, "sent": 500}, "500 bytes of 2.0 kB"),
        ({"step": "checking", "name": "rna.h5ad"}, "Reading the files"),
        ({"step": "failed", "error": {"message": "This is no h5ad."}}, "no h5ad"),
    ],
)
def test_every_step_before_a_run_says_where_it_is(files: dict[str, Any], said: str) -> None:
    assert said in text(weight_form.before(files))
