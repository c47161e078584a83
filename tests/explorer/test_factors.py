from __future__ import annotations

import json
from typing import Any

import pytest

from backend.service import Backend
from explorer.factor_figures import compared, stack_figure, strip_figure
from explorer.factor_parts import result_head, result_part, within
from explorer.factor_state import FactorsAt, parse_at, write_at
from explorer.views.factors import first_choice, offer_run, usable
from tests.explorer.said import having, text

JOB = "7f3a"


def _factor(name: str, gene: str, present: list[bool], stability: float) -> dict[str, Any]:
    genes = [{"gene": gene, "loading": 0.2, "log2_specificity": 2.0}]
    return {
        "name": name, "colour": "#3377be", "share": 0.5, "usage": [0.6, 0.4], "present": present,
        "is_shared": all(present), "stability": stability, "is_stable": stability > 0.8,
        "by_domain": [0.7, 0.3], "most": 0.9, "specific": genes, "large": genes,
    }  # fmt: skip


@pytest.fixture
def figures() -> dict[str, Any]:
    step = {
        "id": "b", "title": "Beta", "degrees": 30.0, "anchors": 40, "kept": 20, "residual": 12.0,
        "expression_score": 0.5, "unmoved_expression_score": 0.4, "domain_score": 0.9,
        "unmoved_domain_score": 0.2,
    }  # fmt: skip
    points = {"x": [0, 1], "y": [0, 1], "domain": [0, 1], "row": [0, 1]}
    return {
        "cells": 400, "genes": 12,
        "factors": [_factor("1", "Gad1", [True, True], 0.95),
                    _factor("2", "Sst", [True, False], 0.5)],
        "sections": [{"id": "a", "title": "Alpha"}, {"id": "b", "title": "Beta"}],
        "domains": [{"name": f"Domain {i}", "colour": f"#{i}{i}{i}"} for i in (1, 2)],
        "range": [0.0, 0.8], "r_between": [[1.0, -0.3], [-0.3, 1.0]], "gene_sets": {},
        "count": {"factors": 2, "tried": [
            {"factors": 2, "gain": 0.1, "weakest_r": 0.9, "stable": 2}]},
        "noise": {"overdispersed": True, "shape": 2.0},
        "model": {"cells": {"mixing": 0.8}, "places": {"mixing": 0.7}, "domains": {"ari": 0.5}},
        "baselines": {"NMF of pooled counts": {"mixing": 0.2}},
        "held_out": {"factors": 0.1, "NMF of pooled counts": 0.05},
        "transfer": {"label": "type", "space": "cells", "accuracy": {"cells": 0.9},
                     "held_out": "each section", "transferred": [0, 40]},
        "hidden_genes": {"genes": 3, "across": "data sets", "r": 0.3, "knn_r": 0.4,
                         "fusemap_r": 0.35, "by_gene": {}, "by_group": {
                             "alpha": {"genes": 3, "r": 0.3, "knn_r": 0.4, "fusemap_r": 0.35}}},
        "found_domains": {"of": "cells", "ties": 7.5, "tried": [{}] * 7, "chosen": {
            "rounds": 2, "tied": True, "trust": 0.2, "foretold": 0.1}},
        "warnings": ["Nearest neighbours impute hidden genes better."],
        "how_to_read": {"factor": "Factor: a share."},
        "stack": {"steps": [{"id": "a", "title": "Alpha"}, step], "apart": 100.0, "unit": "um",
                  "points": [points, points]},
    }  # fmt: skip


@pytest.fixture
def entries(backend: Backend) -> list[dict[str, Any]]:
    return [backend.section_entry(name) for name in ("alpha", "beta")]


def test_the_link_goes_there_and_back() -> None:
    at = FactorsAt(JOB, "compare", -1, 2, 3, 50, "large")
    assert parse_at(write_at(at)) == at


@pytest.mark.parametrize("using", ["7f3a", "7f3a,nowhere,x,y,z,w,v", "7f3a,gallery,999999999"])
def test_what_a_link_says_wrongly_is_left_at_its_default(using: str) -> None:
    assert parse_at(using) == FactorsAt(JOB)


def test_numbers_that_a_result_lacks_are_brought_within(figures: dict[str, Any]) -> None:
    at = within(figures, FactorsAt(JOB, section=9, a=7, b=-3))
    assert (at.section, at.a, at.b) == (0, 1, 0)


def test_all_maps_of_the_gallery_share_one_range(
    figures: dict[str, Any], entries: list[dict[str, Any]]
) -> None:
    part = result_part(entries, figures, FactorsAt(JOB, section=-1))
    ramps = {getattr(i, "data-ramp") for i in having(part, "data-ramp", None)}
    assert ramps == {json.dumps(["ink", 0.0, 0.8])}
    wider = result_part(entries, figures, FactorsAt(JOB, most=100))
    assert {getattr(i, "data-ramp") for i in having(wider, "data-ramp", None)} == {
        json.dumps(["ink", 0.0, 1.0])
    }


def test_a_factor_that_is_not_found_again_or_absent_says_so(
    figures: dict[str, Any], entries: list[dict[str, Any]]
) -> None:
    said = text(result_part(entries, figures, FactorsAt(JOB)))
    assert said.count("Not found again") == 1
    assert said.count("Absent in 1") == 1
    assert "chosen by held-out counts: 1 in all sections, 1 in some" in said
    assert "Nearest neighbours impute hidden genes better" in said


def test_trust_says_how_domains_were_found_and_who_imputes_best(
    figures: dict[str, Any], entries: list[dict[str, Any]]
) -> None:
    said = text(result_part(entries, figures, FactorsAt(JOB, "trust")))
    assert "Domains of cells: 2 rounds of smoothing at the start, neighbours weigh 7.5" in said
    assert "The best of 7 ways by how well they foretell the counts of neighbours" in said
    assert "hidden in all sections of a data set" in said
    assert "FuseMap's factors" in said
    # A result of before says less, and is still shown.
    del figures["found_domains"], figures["hidden_genes"]["by_group"]
    del figures["hidden_genes"]["fusemap_r"], figures["model"]["domains"]
    said = text(result_part(entries, figures, FactorsAt(JOB, "trust")))
    assert "Nearest neighbours" in said
    assert "FuseMap" not in said


def test_a_click_on_a_gene_shows_it_denoised(
    figures: dict[str, Any], entries: list[dict[str, Any]]
) -> None:
    part = result_part(entries, figures, FactorsAt(JOB, "factor", 1, 1))
    orders = [json.loads(getattr(b, "data-value")) for b in having(part, "data-act", "steer")]
    assert {"section": "beta", "layer": "imputed:Sst", "only": []} in orders


def test_two_programs_are_parted_by_their_genes(figures: dict[str, Any]) -> None:
    bars = compared(figures, 0, 1).data[0]
    assert list(bars.y) == ["Sst", "Gad1"]
    assert bars.x[0] < 0 < bars.x[1]


def test_the_stack_holds_every_point_at_the_height_of_its_section(figures: dict[str, Any]) -> None:
    traces = stack_figure(figures).data
    assert sorted(z for t in traces for z in t.z) == [0, 0, 100, 100]
    assert len(strip_figure(figures).data) == 2


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("compare", "r −0.30"),
        ("stack", "30°"),
        ("trust", "Nats per count"),
        ("trust", "Right on held-out cells"),
        ("reading", "a share."),
    ],
)
def test_every_part_says_its_figures(
    figures: dict[str, Any], entries: list[dict[str, Any]], part: str, said: str
) -> None:
    assert said in text(result_part(entries, figures, FactorsAt(JOB, part)))


def test_a_result_can_be_taken_away() -> None:
    head = result_head(FactorsAt(JOB))
    takes = {getattr(b, "data-value") for b in having(head, "data-act", "take-result")}
    assert takes == {f"{JOB}|h5ad", f"{JOB}|csv", f"{JOB}|json"}


def test_a_run_needs_two_sections_and_says_what_else_to_use(backend: Backend) -> None:
    start, said = offer_run(backend, ["alpha"], 0, 0, "5", "")
    assert start.disabled
    assert "Modality weights" in text(said)


def test_a_run_names_its_sections_and_parameters(backend: Backend) -> None:
    start, _ = offer_run(backend, ["beta", "alpha"], 4, None, "50", "region")
    asked = json.loads(getattr(start, "data-value"))
    assert (asked["model"], asked["verb"]) == ("inspire", "integrate_sections")
    assert asked["params"] == {"factors": 4, "domains": 0, "hold": 50.0, "truth": "region"}
    assert sorted(asked["inputs"]["sections"]) == ["alpha", "beta"]


def test_the_first_choice_is_of_one_data_set_with_counts(backend: Backend) -> None:
    assert sorted(first_choice(backend, "gamma")) == ["alpha", "beta"]
    assert {s["id"] for s in usable(backend)} == {"alpha", "beta"}
