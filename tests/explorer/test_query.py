from __future__ import annotations

import json
from typing import Any

import pytest

from backend.core.layers import Category, LayerInfo, LayerKey
from explorer import annotated
from explorer.annotated import yours_and_atlas
from explorer.views.jobs import job_button, job_list
from explorer.views.search import marked, results_list
from explorer.wizard import wizard_step
from tests.explorer.said import having, text

INFO = {"can_annotate": True, "demo_query": True, "keep_hours": 24}
LIMIT = 2_000_000_000


def step(wizard: dict[str, Any], **info: Any) -> str:
    return text(wizard_step(wizard, {**INFO, **info}, LIMIT))


def current(wizard: dict[str, Any]) -> str:
    (mark,) = having(wizard_step(wizard, INFO, LIMIT)[0], "aria-current", "step")
    return text(mark)


def job(state: str, **more: Any) -> dict[str, Any]:
    plain = {
        "id": "7f3a",
        "verb": "annotate",
        "inputs": {"name": "q.h5ad"},
        "params": {},
        "state": state,
        "fraction": 0.5,
        "message": "Mapping",
        "seconds_left": None,
        "position": None,
        "started": 10.0,
        "finished": 14.0,
        "error": None,
        "result": None,
    }
    return {**plain, **more}


def finding(state: str) -> dict[str, Any]:
    return {"state": state, "title": "Genes", "value": "11", "text": "Few.", "fix": ""}


def preflight(*states: str) -> dict[str, Any]:
    findings = [finding(s) for s in states]
    ok = "blocked" not in states
    return {"n_cells": 8012, "n_genes": 150, "ok": ok, "findings": findings, "seconds": 40}


def test_the_wizard_starts_with_a_file() -> None:
    assert current({}) == "File"
    said = step({})
    assert "Choose a file" in said
    assert "Try the demo section" in said
    assert "Try the demo section" not in step({}, demo_query=False)


def test_an_atlas_without_a_model_says_that_it_cannot_annotate() -> None:
    assert "no trained model" in step({}, can_annotate=False)


def test_a_stopped_upload_can_be_resumed() -> None:
    said = step(
        {
            "step": "sending",
            "name": "q.h5ad",
            "size": 4_000_000,
            "sent": 1_000_000,
            "paused": True,
            "problem": "The server cannot be reached.",
        }
    )
    assert "1.0 MB of 4.0 MB" in said
    assert "Resume" in said
    assert "cannot be reached" in said


def test_the_check_names_the_act_and_the_count() -> None:
    wizard = {"step": "check", "name": "q.h5ad", "preflight": preflight("ok", "warning")}
    assert current(wizard) == "Check"
    (act,) = having(wizard_step(wizard, INFO, LIMIT)[1], "data-act", "submit")
    assert text(act) == "Annotate 8,012 cells"
    assert not act.disabled


def test_a_blocked_file_cannot_be_submitted() -> None:
    wizard = {"step": "check", "name": "q", "preflight": preflight("blocked", "ok", "blocked")}
    (act,) = having(wizard_step(wizard, INFO, LIMIT)[1], "data-act", "submit")
    assert act.disabled
    assert "2 problems to solve first" in step(wizard)


def test_a_failed_run_shows_what_and_remedy() -> None:
    error = {"error": "BadFile", "message": "No genes.", "hint": ["Map them."]}
    said = step({"step": "failed", "job": job("failed", error=error)})
    assert "No genes." in said
    assert "Map them." in said


def test_a_cancelled_run_says_that_nothing_was_written() -> None:
    said = step({"step": "failed", "job": job("cancelled")})
    assert "cancelled" in said
    assert "Nothing was written" in said


def test_a_finished_run_leads_to_the_map_and_the_files() -> None:
    wizard = {"step": "done", "job": job("done", result={"n_cells": 8012, "n_unassigned": 5})}
    said = step(wizard)
    assert "8,012" in said
    (show,) = having(wizard_step(wizard, INFO, LIMIT)[1], "data-act", "open")
    assert getattr(show, "data-value") == "query-7f3a"


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        ([], "No jobs"),
        ([job("running")], "50 %"),
        ([job("failed"), job("done")], "1 failed"),
        ([job("done"), job("done")], "2 done"),
    ],
)
def test_the_top_bar_tells_the_state_of_jobs(jobs: list[dict[str, Any]], said: str) -> None:
    assert text(job_button(jobs)) == said


def test_a_running_job_survives_the_tab_and_says_so() -> None:
    assert "You can close this tab" in text(job_list([job("running")]))
    assert "done, 4 s" in text(job_list([job("done")]))
    assert "Nothing has been run" in text(job_list([]))


CLASSES = (Category("A", "#111111"), Category("B", "#222222"))
LABEL = LayerInfo(LayerKey("label", "class"), "Cell class", categories=CLASSES)


def test_an_upload_is_listed_beside_the_atlas_with_its_unassigned_cells() -> None:
    table = yours_and_atlas(LABEL, {0: 30, 1: 60, -1: 10}, ("s", {"A": 5, "B": 15}))
    (box,) = having(table, "data-yours")
    rows = json.loads(getattr(box, "data-yours"))
    assert rows[0] == [1, "B", "#222222", 60, "60 %", "75 %"]
    assert rows[-1] == [-1, "Unassigned", None, 10, "10 %", "none"]


def gene(symbol: str, measured: bool, imputed: bool, trust: float | None) -> dict[str, Any]:
    return {"symbol": symbol, "measured": measured, "imputed": imputed, "trust": trust}


REGION = {
    "name": "CA1 pyramidal",
    "parent": "Hippocampus",
    "colour": "#157a63",
    "layer": "label:region",
    "code": 3,
    "count": 892,
}


def found(**groups: Any) -> dict[str, Any]:
    return {"regions": [], "types": [], "genes": [], "nearest": [], **groups}


def test_hits_are_grouped_and_say_what_a_choice_does() -> None:
    rows = results_list("ca1", found(regions=[REGION], genes=[gene("Ca10", False, True, 0.58)]))
    assert "Regions 1" in text(rows)
    assert "892 cells here" in text(rows)
    assert [getattr(h, "data-value") for h in having(rows, "role", "option")] == [
        "label:region|3",
        "imputed:Ca10",
    ]


def test_a_gene_says_whether_it_is_measured_or_imputed_and_how_well() -> None:
    assert "Imputed r 0.58" in text(results_list("c", found(genes=[gene("C", False, True, 0.58)])))
    both = results_list("c", found(genes=[gene("C", True, True, None)]))
    assert "Measured Imputed" in text(both)
    (hit,) = having(both, "role", "option")
    assert getattr(hit, "data-value") == "measured:C"
    assert "Not here" in text(results_list("c", found(genes=[gene("C", False, False, None)])))


def test_nothing_found_offers_the_nearest_spellings() -> None:
    rows = results_list("neurodd", found(nearest=["Neurod6"]))
    assert "neurodd" in text(rows)
    (offer,) = having(rows, "data-act", "retype")
    assert getattr(offer, "data-value") == "Neurod6"


def test_the_answer_carries_the_question() -> None:
    (mark,) = having(results_list("ca1", found(regions=[REGION])), "data-query")
    assert getattr(mark, "data-query") == "ca1"


def test_what_was_typed_is_set_in_bold() -> None:
    assert [text(p) for p in marked("TEGLU CA1", "ca1")] == ["TEGLU ", "CA1", ""]


TEST: dict[str, Any] = {
    "method": "FuseMap", "why": "", "accuracy": 0.8, "macro_f1": 0.7, "ece": 0.03,
    "ece_by_chance": 0.02, "n_cells": 1000, "how": "held-out sections",
    "curve": [{"lo": 0.8, "hi": 0.9, "n": 9, "confidence": 0.85, "accuracy": 0.8}],
    "baselines": {"kNN in shared genes": {"accuracy": 0.805, "macro_f1": 0.6}},
}  # fmt: skip


def test_label_says_who_gave_it_and_what_others_reach() -> None:
    said = text(annotated.tested(TEST))
    assert "within 0.030 on average, of which 0.020 by chance (1,000 cells" in said
    assert "kNN in shared genes is better for this label here; take care." in said
    reason = "right more often on held-out cells; neighbours in osmFISH"
    by_neighbours = TEST | {
        "method": "kNN in shared genes",
        "why": reason,
        "baselines": {"FuseMap": {"accuracy": 0.7, "macro_f1": 0.7}},
    }
    said = text(annotated.tested(by_neighbours))
    assert f"These labels are by kNN in shared genes: {reason}." in said
    assert "FuseMap 0.70" in said
