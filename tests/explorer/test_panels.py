"""The tool of gene panels: what it asks for, the curve, the verdict, the table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backend.analysis.panel_curve import PanelParams
from backend.runs.panel import Source, panel_atlas
from backend.service import Backend
from explorer.panel_figures import curve_figure, gene_table, r_tag
from explorer.views import panels
from tests.explorer.said import having, text

JOB = "b" * 32


@pytest.fixture(scope="module")
def found(backend: Backend) -> dict[str, Any]:
    path = Path(str(backend.planes.main.atlas.path))
    return panel_atlas(path, Source(sections=("alpha",)), PanelParams(genes=4, draws=2))


def test_the_curve_has_a_line_per_way_and_spread_only_for_random(found: dict[str, Any]) -> None:
    figure = curve_figure(found, "type")
    by_name = {trace.name: trace for trace in figure.data}
    assert "Gene embedding and labels (this panel)" in by_name
    assert by_name["Random"].error_y.array is not None
    assert by_name["Greedy, labels only"].error_y.array is None
    dashes = [trace.line.dash for trace in figure.data if trace.name != "Random"]
    assert len(set(dashes)) == len(dashes)
    assert "all 12 candidates" in str(figure.layout.annotations)


def test_each_gene_leads_to_the_map_and_carries_its_trust(found: dict[str, Any]) -> None:
    table = gene_table(found)
    first = found["genes"][0]
    link = having(table, "data-value", f"measured:{first['gene']}")[0]
    assert link.title == first["why"]
    assert text(r_tag(None)) == "not tested"
    assert "ok" in r_tag(0.6).className
    assert "warn" in r_tag(0.1).className


def test_a_better_way_is_said_loudly(found: dict[str, Any]) -> None:
    calm = {**found, "verdicts": [{"text": "Ahead of every other way.", "ahead": []}]}
    assert not having(panels.verdicts(calm), "className", "note warn")
    loud = {**found, "verdicts": [{"text": "Better here: greedy.", "ahead": ["greedy"]}]}
    assert having(panels.verdicts(loud), "className", "note warn")
    assert "labels of none" in text(panels.verdicts(loud))


def test_the_head_leads_to_the_other_label_and_the_files(found: dict[str, Any]) -> None:
    shown = panels.head(found, JOB, "type")
    assert having(shown, "data-value", f"{JOB},region")
    assert having(shown, "data-value", f"{JOB}|csv")
    assert having(shown, "data-value", "panels-figure|svg")
    assert "4 of 12 candidate genes" in text(shown)


def test_the_run_carries_the_options(backend: Backend) -> None:
    row = panels.run_row(
        backend, "alpha", "dataset", "label:type", (40, "greedy", "Sst, Vip", "", *[""] * 4)
    )
    asked = json.loads(getattr(having(row, "data-act", "run")[0], "data-value"))
    assert asked["inputs"] == {"sections": ["alpha", "beta"]}
    assert asked["params"] == {
        "genes": 40,
        "label": "label:type",
        "way": "greedy",
        "include": ["Sst", "Vip"],
        "exclude": [],
    }
    assert "Choose 40 genes" in text(row)
    options = (40, "greedy", "", "", "label:region", "mouse", "Sst,Vip", "beta")
    more = panels.run_row(backend, "alpha", "section", "label:type", options)
    params = json.loads(getattr(having(more, "data-act", "run")[0], "data-value"))["params"]
    assert params["also"] == "label:region"
    assert (params["species"], params["panel_of"]) == ("mouse", "beta")
    assert params["candidates"] == ["Sst", "Vip"]
    none = panels.run_row(backend, "gamma", "section", "label:type", (40, "", "", "", *[""] * 4))
    assert having(none, "data-act", "run")[0].disabled
