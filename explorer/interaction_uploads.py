"""Interactions of uploaded cells: whose partners are asked for, and types named by the probe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dash import html

from explorer import words
from explorer.choices import section_problem
from explorer.components import Child, note
from explorer.interaction_tables import shares_table
from explorer.runs import Job, run_button

if TYPE_CHECKING:
    from backend.service import Backend

#: The choice of cells of the map.
OF_THE_MAP = ""


def upload_options(jobs: Sequence[Job] | None) -> list[dict[str, str]]:
    """Return whose partners can be asked for: cells of the map, and the uploads of the session.

    An upload is known by a job on it, such as its annotation.
    """
    found: dict[str, str] = {}
    for job in jobs or ():
        inputs = job.get("inputs") or {}
        if inputs.get("upload") and not job.get("deleted"):
            found.setdefault(str(inputs["upload"]), str(inputs.get("name") or "upload"))
    mine = [{"value": upload, "label": f"Upload {name}"} for upload, name in found.items()]
    return [{"value": OF_THE_MAP, "label": "Cells chosen on the map"}, *mine]


def run_upload(
    backend: Backend, section: str, label: str, radius: float, upload: str
) -> list[Child]:
    """Return the buttons that find partners of an upload's cells here, and name their types."""
    problem, entry = section_problem(backend, section, label)
    if entry is None:
        return [html.Span(problem, className="s t2")]
    at = entry["id"]
    partners = run_button(
        "Find partners of the upload", "spatialformer", "colocalise",
        {"label": label, "radius_um": radius, "section": at}, {"upload": upload},
    )  # fmt: skip
    types = run_button(
        "Name its types", "spatialformer", "annotate", {"label": label, "sections": [at]},
        {"upload": upload},
    )  # fmt: skip
    said = f"Learnt from {entry['title']}; the cells of the upload need no places."
    return [partners, types, html.Span(said, className="s t2")]


def types_summary(found: Mapping[str, Any]) -> str:
    """Return what the probe named, in one line."""
    scores = ", ".join(f"{name} {v:.2f}" for name, v in found["held_out_macro_f1"].items())
    return (
        f"{words.plural(found['n_cells'], 'cell')}, {words.plural(found['n_types'], 'type')}; "
        f"macro-F1 on held-out cells of the section it learnt from: {scores}"
    )


def types_part(found: Mapping[str, Any]) -> list[Child]:
    """Return how many cells each type has, and what that rests on."""
    total = max(int(found["n_cells"]), 1)
    rows = [(name, n / total, words.count(n)) for name, n in found["counts"].items() if n]
    text = (
        "Every cell is given the likeliest of the types of that section, with a calibrated "
        "probability in the table (CSV): a type that the section lacks cannot be named."
    )
    return [shares_table(rows, "Cells"), note(text)]
