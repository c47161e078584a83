from __future__ import annotations

from typing import Any

from backend.core.errors import BadFile, Fault
from backend.core.layers import LayerInfo, LayerKey
from explorer.cards import cell_card, error_card, finding_row, job_progress, section_card, steps
from tests.explorer.said import having, text

CELL: dict[str, Any] = {
    "id": "well11_30417",
    "x": 5420.4,
    "y": 1245.2,
    "labels": {
        "region": {"name": "Piriform L2", "colour": "#688e3b", "parent": None},
        "class": {"name": "Neuron", "colour": "#111111", "parent": None, "confidence": 0.77},
    },
    "measured": [("Gad1", 3.1), ("Sst", 1.0)],
    "imputed": [("Vip", 0.4)],
}
REGION = LayerInfo(LayerKey("label", "region"), "Region")


def test_a_cell_is_headed_by_the_label_on_screen() -> None:
    said = text(cell_card(CELL, REGION, False))
    assert said.index("Piriform L2") < said.index("Neuron")
    assert "well11_30417" in said
    assert "5,420, 1,245 µm" in said


def test_only_a_pinned_cell_lists_genes() -> None:
    assert "Gad1" not in text(cell_card(CELL, REGION, False))
    assert "Gad1 3.1" in text(cell_card(CELL, REGION, True))


def test_genes_say_whether_they_were_measured() -> None:
    said = text(cell_card(CELL, REGION, True))
    assert said.index("Measured") < said.index("Gad1") < said.index("Imputed") < said.index("Vip")


def test_the_value_on_screen_says_its_kind() -> None:
    gene = LayerInfo(LayerKey("imputed", "Vip"), "Vip")
    assert "Vip , imputed 0.4" in text(cell_card({**CELL, "value": 0.4}, gene, False))
    assert "missing" in text(cell_card({**CELL, "value": None}, gene, False))


def _alike(likely: list[tuple[str, float]]) -> dict[str, Any]:
    region = {**CELL["labels"]["region"], "alternatives": likely}
    return {**CELL, "labels": {**CELL["labels"], "region": region}}


def test_a_close_runner_up_gets_a_sentence() -> None:
    close = _alike([("A", 0.5), ("B", 0.35)])
    clear = _alike([("A", 0.9), ("B", 0.05)])
    assert "The runner-up, B, is within 0.15" in text(cell_card(close, REGION, False))
    assert "runner-up" not in text(cell_card(clear, REGION, False))


def test_a_cell_without_a_label_is_unassigned() -> None:
    bare = {**CELL, "labels": {"class": {"name": None, "colour": None, "confidence": 0.3}}}
    said = text(cell_card(bare, None, False))
    assert said.startswith("Unassigned confidence 0.30")


def test_a_name_from_a_file_stays_text() -> None:
    named = {**CELL, "id": "<b>x</b>"}
    assert "<b>x</b>" in text(cell_card(named, REGION, False))


def test_a_section_card_names_its_commonest_class() -> None:
    entry = {
        "title": "Well 11",
        "dataset": "STARmap",
        "n_cells": 5151,
        "technology": "MERFISH",
        "extent": [0, 0, 1800, 1800],
        "xy_unit": "um",
        "noun": "cell",
    }
    assert "Inhibitory 35 %" in text(section_card(entry, ("Inhibitory", "35 %")))


def test_a_section_card_warns_of_few_shared_genes() -> None:
    entry = {
        "title": "VISp",
        "dataset": "smFISH",
        "n_cells": 900,
        "technology": "smFISH",
        "extent": [0, 0, 1800, 1800],
        "xy_unit": "um",
        "noun": "cell",
    }
    said = "smFISH shares only 22 genes"
    assert said in text(section_card({**entry, "few_bridges": said}, None))
    assert "shares only" not in text(section_card(entry, None))


def test_a_refused_file_shows_every_fault_with_its_remedy() -> None:
    faults = [
        Fault("11 of 312 genes", "var_names", "60 symbols", "Map to mouse."),
        Fault("no positions", "obsm", "two columns", "Add obsm['spatial']."),
    ]
    said = text(error_card("Refused", BadFile("a.h5ad", faults).as_json()))
    for part in ("11 of 312 genes", "Map to mouse.", "no positions", "Add obsm['spatial']."):
        assert part in said


def test_an_error_without_faults_shows_message_and_hint() -> None:
    said = text(error_card("Stopped", {"message": "It broke.", "hint": ["Try less."]}, (), "7f3a"))
    assert "What It broke. Remedy Try less." in said
    assert "7f3a" in said


def test_the_current_step_is_marked() -> None:
    (current,) = having(steps("Check"), "aria-current", "step")
    assert text(current) == "Check"


def test_a_finding_carries_a_word_beside_its_colour() -> None:
    row = finding_row(
        {"state": "blocked", "title": "Genes", "value": "11 of 312", "text": "60.", "fix": "Map."}
    )
    assert having(row, "aria-label", "Blocked")
    assert "11 of 312" in text(row)
    assert "Map." in text(row)


def test_a_running_job_tells_share_message_and_time_left() -> None:
    job = {
        "id": "j1",
        "verb": "annotate",
        "inputs": {"name": "q.h5ad"},
        "params": {},
        "state": "running",
        "fraction": 0.62,
        "message": "Mapping cells",
        "seconds_left": 40,
        "position": None,
    }
    said = text(job_progress(job))
    for part in ("Annotate q.h5ad", "62 %", "Mapping cells", "about 40 s left"):
        assert part in said
    (cancel,) = having(job_progress(job), "data-act", "cancel-job")
    assert getattr(cancel, "data-value") == "j1"


def test_a_waiting_job_tells_its_place() -> None:
    job = {
        "id": "j1",
        "verb": "annotate",
        "inputs": {},
        "params": {},
        "state": "queued",
        "fraction": 0,
        "message": "",
        "seconds_left": None,
        "position": 1,
    }
    assert "Position 2 in the queue" in text(job_progress(job))
