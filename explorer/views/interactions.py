"""Interactions: which cells lie beside which, and gene pairs of two types that touch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from dash import ClientsideFunction, Dash, Input, Output, State, html, no_update
from dash.development.base_component import Component

from backend.core.errors import AtlasError
from explorer import ids
from explorer.choices import choice, label_options, labelled, number_field
from explorer.components import Child, button, note
from explorer.gene_overlay import overlay_of
from explorer.interaction_figures import (
    height_of,
    matrix_figure,
    network_figure,
    volcano_figure,
)
from explorer.interaction_parts import (
    FORWARD,
    PARTNER_LAYER,
    RADIUS,
    WAYS,
    WHAT_GENES,
    WHAT_PARTNERS,
    empty_words,
    first_types,
    forward_notes,
    gene_summary,
    partner_summary,
    partners_part,
    parts_row,
    run_genes,
    run_partners,
    trust_part,
    trust_side,
    type_options,
    warning_notes,
)
from explorer.interaction_read import read_gene_pairs, read_partners
from explorer.interaction_state import InteractionsAt, parse_at, write_at
from explorer.interaction_tables import gene_pair_table
from explorer.interaction_uploads import (
    OF_THE_MAP,
    run_upload,
    types_part,
    types_summary,
    upload_options,
)
from explorer.plots import place
from explorer.runs import Job, job_of
from explorer.stages import finished_using, follow, staged, stages_of, using_of
from explorer.takes import takes

if TYPE_CHECKING:
    from backend.service import Backend

NAME = "interactions"
TITLE = "Interactions"
HINT = "Predicted neighbours, and gene pairs of two types"
GLYPH = "net"
JOBS: tuple[tuple[str, str], ...] = (
    ("spatialformer", "colocalise"),
    ("spatialformer", "perturb"),
    ("spatialformer", "annotate"),
)

LABEL, FIRST, SECOND, TABLE = (f"interactions-{n}" for n in ("label", "first", "second", "table"))
RUN_PARTNERS, RUN_GENES = "interactions-run-partners", "interactions-run-genes"
HEAD, NOTES, BODY, SIDE = (f"interactions-{n}" for n in ("head", "notes", "body", "side"))
FIGURE, LEFT = "interactions-figure", "interactions-left"
REACH, HOW, WHOSE = (f"interactions-{n}" for n in ("radius", "how", "whose"))
TROUBLE = {
    "colocalise": "Partners could not be found",
    "perturb": "Gene pairs could not be tested",
    "annotate": "Types could not be named",
}


def layout(backend: Backend) -> Component:
    """Return the body: options of both runs, or a result."""
    labels = label_options(backend)
    none: list[tuple[str, str]] = []
    tables = [("", "No table"), *((t, t) for t in backend.pair_tables())]
    partners = [
        html.B("Who lies beside whom"),
        html.P(WHAT_PARTNERS, className="s t3"),
        html.Div(
            [
                labelled("Types", choice(LABEL, labels, labels[0][0] if labels else "")),
                labelled("Neighbours within, µm", number_field(REACH, RADIUS, 1, 79)),
                labelled("Whose partners", choice(WHOSE, [], OF_THE_MAP)),
            ],
            className="toolform",
        ),
        html.Div(id=RUN_PARTNERS, className="row wrap", **{"aria-live": "polite"}),
    ]
    genes = [
        html.B("Which genes go together where two types touch"),
        html.P(WHAT_GENES, className="s t3"),
        html.Div(
            [
                labelled("First type", choice(FIRST, none, "")),
                labelled("Second type", choice(SECOND, none, "")),
                labelled("Ligands and receptors", choice(TABLE, tables, tables[-1][0])),
                labelled("Test by", choice(HOW, list(WAYS), "")),
            ],
            className="toolform",
        ),
        html.Div(id=RUN_GENES, className="row wrap"),
    ]
    form = html.Div(
        [html.Div(partners, className="stack2"), html.Div(genes, className="stack2")],
        className="twocol",
    )
    return staged(NAME, form, _frame())


def _frame() -> list[Child]:
    """Return the places of a result, which ``show`` fills."""
    figure = place(FIGURE, "interactions")
    return [
        html.Div(id=HEAD, className="sec row wrap"),
        html.Div(id=NOTES, className="sec"),
        html.Div(
            [
                html.Div(figure, className="analysis-left", id=LEFT),
                html.Div(id=BODY, className="analysis-left analysis-table sec stack2"),
                html.Div(id=SIDE, className="analysis-side"),
            ],
            className="analysis-two",
        ),
    ]


def register(app: Dash, backend: Backend) -> None:
    """Draw the options, the run and the result of the job that the link names."""

    @app.callback(
        Output(FIRST, "options"),
        Output(SECOND, "options"),
        Output(FIRST, "value"),
        Output(SECOND, "value"),
        Input(ids.TOOL, "data"),
        Input(LABEL, "value"),
        State(FIRST, "value"),
        State(SECOND, "value"),
    )
    def types(tool: Any, label: Any, first: Any, second: Any) -> tuple[Any, ...]:
        if using_of(tool, NAME) is None or not label:
            return (no_update,) * 4
        options = type_options(backend, str(tool["section"]), str(label))
        names = [o["value"] for o in options]
        if {first, second} <= set(names):
            return options, options, first, second
        return options, options, *first_types(backend, str(tool["section"]), str(label), names)

    @app.callback(
        Output(RUN_PARTNERS, "children"),
        Input(ids.TOOL, "data"),
        Input(LABEL, "value"),
        Input(ids.LASSO, "data"),
        Input(ids.HOVER, "data"),
        Input(REACH, "value"),
        Input(WHOSE, "value"),
        State(RUN_PARTNERS, "children"),
    )
    def offer_partners(tool: Any, label: Any, *chosen: Any) -> Any:
        lasso, hover, radius, whose, shown = chosen
        if using_of(tool, NAME) is None or (shown and hover and not hover.get("pinned")):
            return no_update
        at = (backend, str(tool["section"]), str(label or ""))
        if whose:
            return run_upload(*at, float(radius or RADIUS), str(whose))
        return run_partners(*at, lasso, hover, float(radius or RADIUS))

    @app.callback(
        Output(WHOSE, "options"),
        Input(ids.TOOL, "data"),
        Input(ids.JOBS, "data"),
        State(WHOSE, "options"),
    )
    def whose(tool: Any, jobs: Any, shown: Any) -> Any:
        options = upload_options(jobs)
        return no_update if using_of(tool, NAME) is None or options == shown else options

    @app.callback(
        Output(RUN_GENES, "children"),
        Input(ids.TOOL, "data"),
        Input(LABEL, "value"),
        Input(FIRST, "value"),
        Input(SECOND, "value"),
        Input(TABLE, "value"),
        Input(ids.LASSO, "data"),
        Input(REACH, "value"),
        Input(HOW, "value"),
    )
    def offer_genes(tool: Any, label: Any, *chosen: Any) -> Any:
        if using_of(tool, NAME) is None:
            return no_update
        first, second, table, lasso, radius, how = chosen
        pair = (str(first or ""), str(second or ""))
        return run_genes(
            backend, str(tool["section"]), str(label or ""), pair, str(table or ""), lasso,
            float(radius or RADIUS), how == FORWARD,
        )  # fmt: skip

    follow(app, backend, NAME, TROUBLE, opened=lambda job: _opened(backend, job))

    @app.callback(
        Output(HEAD, "children"),
        Output(NOTES, "children"),
        Output(FIGURE, "figure"),
        Output(LEFT, "hidden"),
        Output(LEFT, "style"),
        Output(BODY, "children"),
        Output(SIDE, "children"),
        Input(ids.TOOL, "data"),
        Input(stages_of(NAME).run, "data"),
        State(ids.JOBS, "data"),
        prevent_initial_call=True,
    )
    def show(tool: Any, run: Any, jobs: Any) -> tuple[Any, ...]:
        using = finished_using(tool, run, NAME)
        job = job_of(jobs, using) if using else None
        if using is None or job is None:
            return (no_update,) * 7
        return result_parts(backend, job, parse_at(using))

    @app.callback(
        Output(ids.STEER, "data", allow_duplicate=True),
        Input(FIGURE, "clickData"),
        State(ids.TOOL, "data"),
        prevent_initial_call=True,
    )
    def click(clicked: Any, tool: Any) -> Any:
        genes = clicked_genes(clicked)
        using = using_of(tool, NAME)
        if genes is None or using is None:
            return no_update
        at = parse_at(using)
        return {"using": write_at(replace(at, genes=None if at.genes == genes else genes))}

    app.clientside_callback(
        ClientsideFunction("maps", "dress"),
        Output(SIDE, "title"),
        Input(SIDE, "children"),
        Input(ids.VIEW, "data"),
        prevent_initial_call=True,
    )


def result_parts(backend: Backend, job: Job, at: InteractionsAt) -> tuple[Any, ...]:
    """Return head, notes, figure, whether it is hidden, its style, body and side of a result."""
    found = backend.result(str(job["id"]))
    if job["verb"] == "perturb":
        return _genes(backend, job, read_gene_pairs(found), at)
    if job["verb"] == "annotate":
        head = [takes(at.job, ""), _line(types_summary(found))]
        return head, [], go.Figure(), True, {}, types_part(found), None
    return _partners(job, read_partners(found), at)


def _partners(
    job: Mapping[str, Any], found: Mapping[str, Any] | None, at: InteractionsAt
) -> tuple[Any, ...]:
    if found is None:
        return _unreadable()
    part = at.part if at.part in ("matrix", "trust") else "partners"
    head = [
        parts_row(at, False),
        takes(at.job, FIGURE if part == "matrix" else ""),
        _line(partner_summary(found)),
    ]
    figure = matrix_figure(found) if part == "matrix" else go.Figure()
    style = {"minHeight": f"{height_of(found['types'])}px"} if part == "matrix" else {}
    body = {
        "partners": lambda: partners_part(found, f"query-{job['id']}"),
        "matrix": lambda: None,
        "trust": lambda: trust_part(found),
    }[part]()
    side = trust_side(found) if part != "trust" else None
    return head, [], figure, part != "matrix", style, body, side


def _genes(
    backend: Backend, job: Mapping[str, Any], found: Mapping[str, Any] | None, at: InteractionsAt
) -> tuple[Any, ...]:
    if found is None:
        return _unreadable()
    part = at.part if at.part in ("network", "table") else "volcano"
    head = [
        parts_row(at, True),
        takes(at.job, FIGURE if part != "table" else ""),
        _line(gene_summary(found)),
    ]
    notes = [*warning_notes(found["warnings"]), *empty_words(found), *forward_notes(found)]
    if part == "network":
        figure = network_figure(found["rows"], found["a"], found["b"], found["rate"])
    else:
        figure = volcano_figure(found["rows"], found["rate"], at.genes)
    body = gene_pair_table(found["rows"], at, found["rate"]) if part == "table" else None
    section = str((job["inputs"].get("sections") or [""])[0])
    hint = "Click a point, a line or a pair: its two genes are laid over one another here."
    side = overlay_of(backend, section, at.genes) if at.genes else [html.P(hint, className="t3 s")]
    return head, notes, figure, part == "table", {}, body, side


def _unreadable() -> tuple[Any, ...]:
    text = "This result was written by another version and cannot be shown."
    return [button("Start anew", "using", "", kind="sm")], [note(text)], go.Figure(), True, {}, \
        None, None  # fmt: skip


def _line(text: str) -> html.P:
    return html.P(text, className="s t2 whole")


def _opened(backend: Backend, job: Job) -> Any:
    """Return the order that opens the result of partners of cells that was waited for."""
    if job["verb"] != "colocalise" or not (job.get("result") or {}).get("n_chosen"):
        return no_update
    try:
        backend.section_entry(f"query-{job['id']}")
    except AtlasError:
        return no_update
    return {"section": f"query-{job['id']}", "layer": PARTNER_LAYER}


def clicked_genes(clicked: Any) -> tuple[str, str] | None:
    """Return the gene pair of a click on a figure, or None."""
    points = (clicked or {}).get("points") or [{}]
    data = points[0].get("customdata")
    key = data[0] if isinstance(data, list) and data else ""
    first, sign, second = str(key).partition("~")
    return (first, second) if sign else None
