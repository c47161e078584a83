"""Verb that chooses a gene panel on sections of the atlas, or on an annotated upload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from backend.worker.asked import params_of
from backend.worker.work import Work


def panel(work: Work) -> Mapping[str, Any]:
    """Choose a panel, score it beside other ways, and write the table and its JSON."""
    # scikit-learn is loaded here, in the process of the job.
    from backend.analysis.panel_curve import PanelParams
    from backend.runs.panel import Source, panel_atlas, write_panel

    asked = work.job.params
    placed = work.placed()
    source = replace(params_of(Source, asked), sections=placed.sections)
    found = panel_atlas(placed.atlas, source, params_of(PanelParams, asked), work.context)
    found = placed.named(found)
    write_panel(found, work.folder / "panel.csv", work.folder / "panel.json")
    return {
        "n_genes": len(found["genes"]),
        "n_cells": found["n_cells"],
        "n_sections": len(found["sections"]),
        "verdict": found["verdicts"][0]["text"],
    }
