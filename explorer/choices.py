"""Which sections a tool's run is on: the one on the map, its data set, or all of the atlas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dash import dcc, html

from backend.core.layers import LayerKey
from explorer import words
from explorer.components import Child
from explorer.state import MONTAGE, PLACES, QUERY

if TYPE_CHECKING:
    from backend.service import Backend

#: Where cells come from: value and word.
SCOPES = (
    ("section", "Section on the map"),
    ("dataset", "Its whole data set"),
    ("all", "All that can be used"),
)


def labelled(name: str, control: Child, hint: str = "") -> html.Label:
    """Return a field of a form with its name above it."""
    return html.Label(
        [html.Span(name, className="s t2"), control], className="fieldbox", title=hint
    )


def choice(identity: str, options: Sequence[tuple[str, str]], value: str) -> dcc.Dropdown:
    """Return a list to choose one of; options are (value, word)."""
    return dcc.Dropdown(
        [{"value": v, "label": word} for v, word in options],
        value,
        id=identity,
        clearable=False,
        searchable=len(options) > 12,
        className="pick",
    )


def number_field(identity: str, value: float, least: float, most: float) -> dcc.Input:
    """Return a field for a number within bounds."""
    return dcc.Input(
        id=identity, type="number", value=value, min=least, max=most, className="field num"
    )


def text_field(identity: str, example: str) -> dcc.Input:
    """Return a field for names separated by commas."""
    return dcc.Input(
        id=identity, type="text", placeholder=example, debounce=0.4, className="field",
        autoComplete="off",
    )  # fmt: skip


def label_options(backend: Backend) -> list[tuple[str, str]]:
    """Return the labels of the atlas, cell types before places."""
    names = backend.atlas_info()["labels"]
    ordered = sorted(names, key=lambda n: (n in PLACES, n != "type", n))
    return [(f"label:{n}", n.capitalize()) for n in ordered]


def sections_of(
    backend: Backend, section: str, scope: str, label: str, needs_expression: bool
) -> list[Mapping[str, Any]]:
    """Return the sections of a scope that have a label; none for all that the run can use."""
    if scope == "all" or section == MONTAGE or section.startswith("layout:"):
        return []
    key = LayerKey.parse(label)
    if section.startswith(QUERY):
        return _of_result(backend, section, scope, key, needs_expression)
    entries = {s["id"]: s for s in backend.sections()}
    here = entries.get(section)
    if here is None:
        return []
    near = [here]
    if scope == "dataset":
        near = [s for s in entries.values() if s["dataset"] == here["dataset"]]
    return [
        s
        for s in near
        if (s["n_genes"] or not needs_expression)
        and any(info.key == key for info in backend.layers(s["id"]))
    ]


def _of_result(
    backend: Backend, section: str, scope: str, key: LayerKey, needs_expression: bool
) -> list[Mapping[str, Any]]:
    """Return an annotated upload, or all sections of it, where they have a label."""
    whole = scope == "dataset"
    near = backend.result_sections(section) if whole else [backend.section_entry(section)]
    return [
        s
        for s in near
        if (s["n_genes"] or not needs_expression)
        and any(info.key == key for info in backend.layers(s["id"]))
    ]


def said_of(entries: Sequence[Mapping[str, Any]], everything: str) -> str:
    """Return in words what a run is on."""
    if not entries:
        return everything
    n = sum(int(e["n_cells"]) for e in entries)
    if len(entries) == 1:
        return f"{entries[0]['title']}: {words.plural(n, 'cell')}"
    return f"{words.plural(len(entries), 'section')}: {words.plural(n, 'cell')}"


def section_problem(
    backend: Backend, section: str, label: str
) -> tuple[str, Mapping[str, Any] | None]:
    """Return why nothing can be run on the section on the map, or the section."""
    if section == MONTAGE or section.startswith((QUERY, "layout:")):
        return "Open a section of the atlas first.", None
    if not label:
        return "The atlas has no label of cells.", None
    entries = sections_of(backend, section, "section", label, needs_expression=True)
    if not entries:
        return "This section lacks expression or the label: open another.", None
    return "", entries[0]
