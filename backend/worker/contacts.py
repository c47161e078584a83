"""Verbs on cells in contact: which types touch, and what they may say to one another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from backend.worker.asked import params_of, text_of
from backend.worker.work import Work

#: Label whose classes are paired unless another is asked for.
MAIN_LABEL = "label:type"


def contacts(work: Work) -> Mapping[str, Any]:
    """Count contacts of types in sections of the atlas or of an annotated upload."""
    # numba is loaded here, in the process of the job.
    from backend.analysis.contacts import ContactParams
    from backend.runs.contacts import contact_atlas, write_contacts

    asked = work.job.params
    placed = work.placed()
    found = contact_atlas(
        placed.atlas,
        placed.sections,
        text_of(asked, "label", MAIN_LABEL),
        text_of(asked, "region"),
        params_of(ContactParams, asked),
        work.context,
    )
    found = placed.named(found)
    write_contacts(found, work.folder / "contacts.csv", work.folder / "contacts.json")
    calls = Counter(pair["call"] for pair in found["pairs"])
    return {
        "n_cells": found["n_cells"],
        "n_sections": len(found["sections"]),
        "n_pairs": len(found["pairs"]),
        "n_attraction": calls["attraction"],
        "n_avoidance": calls["avoidance"],
    }


def ligands(work: Work) -> Mapping[str, Any]:
    """Test ligands and receptors between two types that touch, with a table of this server."""
    from backend.analysis.ligands import LigandParams
    from backend.analysis.ligands_table import table_in
    from backend.runs.ligands import Meant, ligands_atlas
    from backend.runs.ligands_files import write_ligands

    asked = work.job.params
    table = table_in(work.settings.pairs, text_of(asked, "table"))
    placed = work.placed()
    meant = replace(params_of(Meant, asked), sections=placed.sections)
    found = ligands_atlas(placed.atlas, table, meant, params_of(LigandParams, asked), work.context)
    found = placed.named(found)
    write_ligands(found, work.folder / "ligands.csv", work.folder / "ligands.json")
    called = [row for row in found["rows"] if row["significant"]]
    return {
        "n_cells": found["n_cells"],
        "n_tested": found["n_tested"],
        "n_called": len(called),
        "n_trusted": sum(1 for row in called if not row["weak"]),
    }
