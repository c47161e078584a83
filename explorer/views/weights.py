"""Modality weights: choose the files of a multi-omics section, run, and read the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update

from explorer import ids, weight_form
from explorer.components import Child
from explorer.runs import Job, id_of
from explorer.stages import finished_using, follow, staged, stages_of
from explorer.weight_parts import PARTS, result_head, result_part

if TYPE_CHECKING:
    from backend.service import Backend

NAME = "weights"
TITLE = "Modality weights"
HINT = "Domains of a multi-omics section, and how much each modality has to say"
GLYPH = "weight"
JOBS: tuple[tuple[str, str], ...] = (weight_form.MODEL,)

BEFORE, FILES, BODY = "weights-before", "weights-files", "weights-body"
TROUBLE = {"integrate_modalities": "The section could not be weighed"}


def layout(backend: Backend) -> html.Div:
    """Return the body of the tool."""
    form = [dcc.Store(id=FILES), html.Div(weight_form.before({}), id=BEFORE)]
    return staged(NAME, form, html.Div(id=BODY, **{"aria-live": "polite"}))


def register(app: Dash, backend: Backend) -> None:
    """Draw files, run or result; open the section when a run that was waited for is done."""

    @app.callback(Output(BEFORE, "children"), Input(FILES, "data"), prevent_initial_call=True)
    def prepare(files: Any) -> list[Child]:
        return weight_form.before(files or {})

    @app.callback(
        Output(weight_form.RUN, "children"),
        Input(weight_form.CLUSTERS, "value"),
        Input(weight_form.SEEDS, "value"),
        Input(weight_form.TRUTH, "value"),
        Input(weight_form.ALIGN, "value"),
        State(FILES, "data"),
    )
    def offer(clusters: Any, seeds: Any, truth: Any, align: Any, files: Any) -> Any:
        return weight_form.offer_run(clusters, seeds, truth, align, files or {})

    follow(app, backend, NAME, TROUBLE, opened=_opened)

    @app.callback(
        Output(BODY, "children"),
        Input(ids.TOOL, "data"),
        Input(stages_of(NAME).run, "data"),
        prevent_initial_call=True,
    )
    def show(tool: Any, run: Any) -> Any:
        using = finished_using(tool, run, NAME)
        return no_update if using is None else finished(backend, using)

    app.clientside_callback(
        ClientsideFunction("maps", "dress"),
        Output(BODY, "title"),
        Input(BODY, "children"),
        Input(ids.VIEW, "data"),
        prevent_initial_call=True,
    )


def _opened(job: Job) -> dict[str, str]:
    """Return the order that opens the section of a run that was waited for."""
    return {"section": f"query-{job['id']}", "layer": "label:domain"}


def finished(backend: Backend, using: str) -> list[Child]:
    """Return the part of a result that ``using`` names after the job."""
    job, part = id_of(using), using.partition(",")[2] or PARTS[0][0]
    figures = backend.result(job)["result"]["figures"]
    entry = backend.section_entry(f"query-{job}")
    return [result_head(job, part), *result_part(entry, figures, job, part)]
