"""Enhance spots: choose a section or files with an image, run, and see before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update

from backend.core.errors import AtlasError
from backend.core.layers import LayerKey
from explorer import enhance_form as form
from explorer import ids
from explorer.cards import error_card
from explorer.components import Child
from explorer.enhance_pictures import GENE
from explorer.enhance_state import EnhanceAt, first_gene, parse_at, write_at
from explorer.enhance_tables import GRAPH
from explorer.enhanced import chosen_part, result_head
from explorer.runs import Job
from explorer.stages import finished_using, follow, staged, stages_of, using_of

if TYPE_CHECKING:
    from backend.service import Backend

NAME = "enhance"
TITLE = "Enhance spots"
HINT = "Finer than the spots: subspots from counts, places and the tissue image"
GLYPH = "enh"
JOBS: tuple[tuple[str, str], ...] = (form.MODEL,)

BEFORE, FILES, BODY = "enhance-before", "enhance-files", "enhance-body"
TROUBLE = {"enhance": "The spots could not be enhanced"}


def layout(backend: Backend) -> html.Div:
    """Return the body of the tool."""
    before = [dcc.Store(id=FILES), html.Div(id=BEFORE)]
    return staged(NAME, before, html.Div(id=BODY, **{"aria-live": "polite"}))


def register(app: Dash, backend: Backend) -> None:
    """Draw the form, the run or the result; steer the map to a result that was waited for."""

    @app.callback(
        Output(BEFORE, "children"),
        Input(FILES, "data"),
        Input(ids.TOOL, "data"),
        prevent_initial_call=True,
    )
    def prepare(files: Any, tool: Any) -> Any:
        if using_of(tool, NAME) is None:
            return no_update
        return form.before(backend.spot_sections(), str(tool["section"]), files or {})

    def opened(job: Job) -> dict[str, str]:
        layer = first_layer(backend, str(job["id"]))
        return {"section": str(job["result"]["section"]), "layer": layer}

    follow(app, backend, NAME, TROUBLE, opened=opened)

    @app.callback(
        Output(BODY, "children"),
        Input(ids.TOOL, "data"),
        Input(stages_of(NAME).run, "data"),
        prevent_initial_call=True,
    )
    def show(tool: Any, run: Any) -> Any:
        using = finished_using(tool, run, NAME)
        return no_update if using is None else finished(backend, parse_at(using))

    @app.callback(
        Output(form.RUN, "children"),
        Input(form.SECTION, "value"),
        Input(form.FACTOR, "value"),
        Input(form.GENES, "value"),
        Input(form.MODE, "value"),
    )
    def offer(section: Any, factor: Any, genes: Any, mode: Any) -> Any:
        return form.offer_atlas(backend.spot_sections(), str(section), str(factor), genes, mode)

    @app.callback(
        Output(form.SENT_RUN, "children"),
        Output(form.SENT_OVERLAY, "children"),
        Input(form.SENT_SECTION, "value"),
        Input(form.SENT_FACTOR, "value"),
        Input(form.SENT_GENES, "value"),
        Input(form.SENT_MODE, "value"),
        Input(form.SENT_IMAGE, "value"),
        State(FILES, "data"),
    )
    def offer_sent(
        section: Any, factor: Any, genes: Any, mode: Any, image: Any, files: Any
    ) -> tuple[Any, Any]:
        if (files or {}).get("step") != "check":
            return no_update, no_update
        name = str(section or "")
        button = form.offer_files(files, name, str(factor), genes, mode, str(image))
        return button, form.overlay(files, name)

    @app.callback(
        Output(form.FACTOR, "options"),
        Output(form.FACTOR, "value"),
        Input(form.SECTION, "value"),
        prevent_initial_call=True,
    )
    def refit(section: Any) -> tuple[Any, Any]:
        return form.factor_options(_shape(backend.spot_sections(), "id", section))

    @app.callback(
        Output(form.SENT_FACTOR, "options"),
        Output(form.SENT_FACTOR, "value"),
        Input(form.SENT_SECTION, "value"),
        State(FILES, "data"),
        prevent_initial_call=True,
    )
    def refit_sent(section: Any, files: Any) -> tuple[Any, Any]:
        listed = ((files or {}).get("card") or {}).get("sections", [])
        return form.factor_options(_shape(listed, "name", section))

    @app.callback(
        Output(ids.STEER, "data", allow_duplicate=True),
        Input(GENE, "value"),
        State(ids.TOOL, "data"),
        prevent_initial_call=True,
    )
    def choose(gene: Any, tool: Any) -> Any:
        # A list that was just drawn tells its gene, too: that is no choice of a person.
        at = parse_at(str(tool["using"])) if using_of(tool, NAME) is not None else EnhanceAt()
        if at.job and not at.gene and first_layer(backend, at.job) == f"measured:{gene}":
            return no_update
        return to_gene(gene, tool, part="")

    @app.callback(
        Output(ids.STEER, "data", allow_duplicate=True),
        Input(GRAPH, "clickData"),
        State(ids.TOOL, "data"),
        prevent_initial_call=True,
    )
    def click(clicked: Any, tool: Any) -> Any:
        points = (clicked or {}).get("points") or [{}]
        return to_gene(points[0].get("customdata"), tool, part="genes")

    app.clientside_callback(
        ClientsideFunction("enhance", "dress"),
        Output(BODY, "title"),
        Input(BODY, "children"),
        Input(ids.VIEW, "data"),
        prevent_initial_call=True,
    )


def finished(backend: Backend, at: EnhanceAt) -> list[Child]:
    """Return the part of a result that the link names."""
    try:
        found = backend.record(at.job)["result"]
        figures = found["figures"]
        ready = replace(at, gene=_known_gene(figures["genes"], at.gene))
        entries = (backend.section_entry(found["parent"]), backend.section_entry(found["section"]))
        span = _span(backend, found["parent"], found["section"], ready.gene)
    except AtlasError as error:
        return [html.Div(error_card("The result is gone", error.as_json(), []), className="runbox")]
    return [result_head(at.job, ready), *chosen_part(ready, figures, entries, span)]


def first_layer(backend: Backend, job: str) -> str:
    """Return the layer on which the section of subspots opens: the gene that gains most."""
    try:
        return f"measured:{first_gene(backend.record(job)['result']['figures']['genes'])}"
    except AtlasError:
        return ""


def _known_gene(genes: Sequence[Mapping[str, Any]], wanted: str) -> str:
    return wanted if any(g["gene"] == wanted for g in genes) else first_gene(genes)


def _span(backend: Backend, spots: str, fine: str, gene: str) -> tuple[float, float]:
    """Return one range for both sides: that of the spots, or of the subspots where it is wider."""
    key = LayerKey("measured", gene)
    spans = [backend.layer(section, key).span or (0.0, 1.0) for section in (spots, fine)]
    return 0.0, max(float(hi) for _, hi in spans) or 1.0


def to_gene(gene: Any, tool: Any, part: str) -> Any:
    """Return the order that shows a gene, or nothing where it is shown already."""
    if using_of(tool, NAME) is None or not gene:
        return no_update
    at = parse_at(str(tool["using"]))
    if not at.job or (at.gene == gene and not part):
        return no_update
    order = {"using": write_at(EnhanceAt(at.job, part or at.part, str(gene)))}
    # A map of this result follows; another is left as it is.
    follows = str(tool["section"]).startswith(f"query-{at.job}")
    return {**order, "layer": f"measured:{gene}"} if follows else order


def _shape(listed: Sequence[Mapping[str, Any]], name: str, section: Any) -> str:
    """Return the lattice of a section among those that are listed."""
    return next((str(s["shape"]) for s in listed if s[name] == section), "square")
