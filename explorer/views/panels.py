"""Gene panels: options of a choice, the held-out curve beside other ways, the table of genes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dash import Dash, Input, Output, html, no_update
from dash.development.base_component import Component

from explorer import ids, words
from explorer.choices import (
    SCOPES,
    choice,
    label_options,
    labelled,
    number_field,
    said_of,
    sections_of,
    text_field,
)
from explorer.components import Child, note, segments
from explorer.panel_figures import curve_figure, gene_table, module_line
from explorer.plots import place
from explorer.runs import run_button
from explorer.stages import finished_using, follow, form_of, staged, stages_of, using_of
from explorer.state import MONTAGE
from explorer.takes import takes

if TYPE_CHECKING:
    from backend.service import Backend

NAME = "panels"
TITLE = "Gene panel"
HINT = "Few genes that tell types apart"
GLYPH = "gene"
JOBS: tuple[tuple[str, str], ...] = (("fusemap", "panel"),)

RUN, HEAD, TEXT, FIGURE, TABLE = (
    "panels-run",
    "panels-head",
    "panels-text",
    "panels-figure",
    "panels-table",
)
SCOPE, LABEL, GENES, WAY, INCLUDE, EXCLUDE = (
    "panels-scope",
    "panels-label",
    "panels-genes",
    "panels-way",
    "panels-include",
    "panels-exclude",
)
ALSO, SPECIES, CANDIDATES, PANEL_OF = (
    "panels-also",
    "panels-species",
    "panels-candidates",
    "panels-panel-of",
)
#: Options whose change draws the run's button anew, after scope and label.
FIELDS = (GENES, WAY, INCLUDE, EXCLUDE, ALSO, SPECIES, CANDIDATES, PANEL_OF)
TROUBLE = {"panel": "No panel could be chosen"}
WAYS = (
    ("embedding", "Gene embedding and labels"),
    ("greedy", "Greedy, labels only"),
    ("markers", "Markers, type by type"),
    ("modules", "Most variable per module, as published"),
    ("variable", "Most variable"),
)
WHAT = (
    "Candidates are the genes that all these sections measured. The panel is scored on cells of "
    "sections (of one section: quarters) that it was not chosen on, with nothing but its own "
    "genes, beside every other way of choosing and random panels."
)


def layout(backend: Backend) -> Component:
    """Return the body: options of a choice, or its result."""
    labels = label_options(backend)
    form = [
        labelled("Cells of", choice(SCOPE, SCOPES, SCOPES[1][0])),
        labelled("To tell apart", choice(LABEL, labels, labels[0][0] if labels else "")),
        labelled("Genes", number_field(GENES, 60, 2, 1000)),
        labelled("Chosen by", choice(WAY, WAYS, WAYS[0][0])),
        labelled("Must be in", text_field(INCLUDE, "Slc17a7, Gad1")),
        labelled("Must not be in", text_field(EXCLUDE, "Malat1")),
        labelled("Also scored on", choice(ALSO, [("", "Regions, if any"), *labels], "")),
        labelled("Species", choice(SPECIES, _species(backend), "")),
        labelled(
            "Only from these genes",
            text_field(CANDIDATES, "all measured"),
            "Candidates: symbols separated by commas; all genes that were measured if empty",
        ),
        labelled(
            "Only from the panel of",
            choice(PANEL_OF, _panels(backend), ""),
            "Candidates: what this section measured, such as the panel of your own instrument",
        ),
    ]
    head_parts = [html.Div(id=HEAD, className="row wrap"), html.Div(id=TEXT, className="notes")]
    result = [
        html.Div(head_parts, className="sec stack2"),
        place(FIGURE, "panel"),
        html.Div(id=TABLE, className="sec analysis-table"),
    ]
    return staged(NAME, form_of(form, RUN, WHAT), result)


def register(app: Dash, backend: Backend) -> None:
    """Draw the options, the run and the result of the job that the link names."""

    @app.callback(
        Output(RUN, "children"),
        Input(ids.TOOL, "data"),
        *[Input(name, "value") for name in (SCOPE, LABEL, *FIELDS)],
    )
    def offer(tool: Any, scope: Any, label: Any, *rest: Any) -> Any:
        if using_of(tool, NAME) is None or not label:
            return no_update
        return run_row(backend, str(tool["section"]), str(scope), str(label), rest)

    follow(app, backend, NAME, TROUBLE)

    @app.callback(
        Output(HEAD, "children"),
        Output(TEXT, "children"),
        Output(FIGURE, "figure"),
        Output(TABLE, "children"),
        Input(ids.TOOL, "data"),
        Input(stages_of(NAME).run, "data"),
        prevent_initial_call=True,
    )
    def show(tool: Any, run: Any) -> tuple[Any, ...]:
        using = finished_using(tool, run, NAME)
        if using is None:
            return (no_update,) * 4
        job, _, label = using.partition(",")
        found = backend.result(job)
        shown = label if label in _labels(found) else _labels(found)[0]
        text, figure = verdicts(found), curve_figure(found, shown)
        return head(found, job, shown), text, figure, gene_table(found)


def _labels(found: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["label"] for row in found["curve"]))


def run_row(
    backend: Backend, section: str, scope: str, label: str, rest: Sequence[Any]
) -> list[Child]:
    """Return the button that starts a choice, and what it is on."""
    genes, way, include, exclude, also, species, candidates, panel_of = rest
    entries = sections_of(backend, section, scope, label, needs_expression=True)
    n = int(genes or 60)
    params = {
        "genes": n,
        "label": label,
        "way": way or WAYS[0][0],
        "include": names(include),
        "exclude": names(exclude),
    }
    more = {
        "also": also or "",
        "species": species or "",
        "candidates": names(candidates),
        "panel_of": panel_of or "",
    }
    params |= {name: value for name, value in more.items() if value}
    inputs = {"sections": [e["id"] for e in entries]}
    nowhere = scope != "all" and section != MONTAGE and not entries
    act = run_button(
        f"Choose {words.plural(n, 'gene')}", "fusemap", "panel", params, inputs, disabled=nowhere
    )
    said = said_of(entries, "The data set with most genes, measured in labelled cells")
    if nowhere:
        said = f"The section on the map has no expression with {label}: open another, or take all."
    return [act, html.Span(said, className="s t2")]


def _species(backend: Backend) -> list[tuple[str, str]]:
    """Return the species to choose among."""
    return [("", "Any"), *((s, s.capitalize()) for s in backend.atlas_info()["species"] if s)]


def _panels(backend: Backend) -> list[tuple[str, str]]:
    """Return sections that measured genes, one of every data set and panel size."""
    found: dict[tuple[str, int], tuple[str, str]] = {}
    for s in backend.sections():
        if s["n_genes"]:
            word = f"{s['dataset']}: {words.plural(s['n_genes'], 'gene')}"
            found.setdefault((s["dataset"], s["n_genes"]), (s["id"], word))
    return [("", "Any section"), *found.values()]


def names(text: Any) -> list[str]:
    """Return names separated by commas or blanks."""
    return str(text or "").replace(",", " ").split()


def head(found: Mapping[str, Any], job: str, label: str) -> list[Child]:
    """Return what can be done with a panel, and what it was chosen on."""
    labels = _labels(found)
    chosen = ", ".join(s["title"] for s in found["sections"][:3])
    more = len(found["sections"]) - 3
    text = (
        f"{len(found['genes'])} of {words.plural(found['n_candidates'], 'candidate gene')}, chosen "
        f"on {chosen}{f' and {more} more' if more > 0 else ''}"
    )
    parts: list[Child] = []
    if len(labels) > 1:
        options = [(f"{job},{name}", name.capitalize()) for name in labels]
        parts.append(segments("Scored on", options, f"{job},{label}", "using"))
    line = html.P(text, className="s t2 whole")
    return [*parts, takes(job, FIGURE, again="New panel"), line]


def verdicts(found: Mapping[str, Any]) -> list[Child]:
    """Return how the panel compares, said plainly where another way is better."""
    lines: list[Child] = []
    for verdict in found["verdicts"]:
        if verdict.get("ahead"):
            lines.append(note(_sentence(verdict["text"])))
        else:
            lines.append(html.P(_sentence(verdict["text"]), className="s"))
    rest = (
        f"Held out: {found['held_out']}. The gene embedding saw the expression of all cells, "
        f"labels of none. {module_line(found)}"
    )
    return [*lines, html.P(rest, className="s t3")]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
