from __future__ import annotations

from typing import Any

from backend.service import Backend
from explorer.everywhere import section_means
from tests.explorer.said import having, text


def entry(name: str, mean: float, comparable: bool = True) -> dict[str, Any]:
    return {"id": name.lower(), "name": name, "mean": mean, "n": 9, "comparable": comparable}


FOUND = {
    "entries": [entry("High", 2.0), entry("Low", 0.5), entry("Other", 9.0, False)],
    "mean": 1.25,
    "n": 18,
    "left_out": [{"why": "not measured", "n_sections": 3}],
}


def test_sections_are_listed_by_mean_and_open_on_a_click() -> None:
    block = section_means(FOUND)
    assert [getattr(b, "data-value") for b in having(block, "data-act", "open")] == ["high", "low"]
    assert "first 2 of 2" in text(block)


def test_sections_without_a_say_are_counted() -> None:
    assert "Not included: 3 sections not measured." in text(section_means(FOUND))
    assert "Not included" not in text(section_means({**FOUND, "left_out": []}))


def test_another_unit_has_no_bar_beside_the_others() -> None:
    assert "Other" not in text(section_means(FOUND))
    assert section_means({**FOUND, "entries": [entry("Other", 9.0, False)]}) is None


def test_the_answer_of_the_service_fits(backend: Backend) -> None:
    block = section_means(backend.gene_means("Slc17a7", "imputed"))
    assert "Over all" in text(block)
