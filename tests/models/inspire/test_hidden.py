from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.models.inspire.em import Settings, fit
from backend.models.inspire.hidden import hidden_genes
from backend.models.inspire.inputs import join
from backend.models.inspire.start import start
from tests.models.inspire.planted import plant


def _scores(sections: list[SectionData]) -> dict[str, Any]:
    data, settings = join(sections), Settings(iterations=20)
    begin = start(sections, data, 5, 0, RunContext())
    state = fit(data, begin, settings, RunContext())
    return hidden_genes(sections, data, state, settings, 0)


def test_genes_are_hidden_in_all_sections_of_a_data_set_and_told_by_the_other() -> None:
    planted = plant(3)
    names = ("one", "one", "other")
    sections = [replace(s, dataset=n) for s, n in zip(planted.sections, names, strict=True)]
    found = _scores(sections)
    assert found["across"] == "data sets"
    assert found["by_group"].keys() == {"one", "other"}
    # A factor model of the truth's own kind, and its linear kin, both beat 50 neighbours.
    assert found["r"] > found["knn_r"] > 0.05
    assert found["fusemap_r"] > 0.05
    assert len(found["by_gene"]) == found["genes"]
    assert sum(own["genes"] for own in found["by_group"].values()) == found["genes"]
    assert all(len(v) == 3 for v in found["by_gene"].values())


def test_sections_of_one_data_set_hide_genes_one_by_one() -> None:
    sections = [replace(s, dataset="one") for s in plant(4).sections]
    found = _scores(sections)
    assert found["across"] == "sections"
    assert found["by_group"].keys() == {"s0", "s1", "s2"}


@pytest.mark.parametrize("keep", [4, 8])
def test_panels_too_small_to_hide_anything_are_left(keep: int) -> None:
    sections = [
        replace(s, counts=s.counts[:, :keep], genes=tuple(f"G{i}" for i in range(keep)))
        for s in plant(5).sections
    ]
    data, settings = join(sections), Settings(iterations=5)
    state = fit(data, start(sections, data, 2, 0, RunContext()), settings, RunContext())
    assert hidden_genes(sections, data, state, settings, 0) == {}
    assert np.isfinite(state.likelihood)
