"""Factors: choose sections, find what they share and what only some have, and read the programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from explorer import ids, words
from explorer.choices import choice, labelled, number_field
from explorer.components import Child, skeleton
from explorer.factor_parts import result_head, result_part, within
from explorer.factor_state import FactorsAt, parse_at
from explorer.runs import run_button
from explorer.stages import finished_using, follow, form_of, staged, stages_of, using_of

if TYPE_CHECKING:
    from backend.service import Backend

NAME = "factors"
TITLE = "Factors"
HINT = "Spatial factors and gene programs over several sections"
GLYPH = "grid"
JOBS: tuple[tuple[str, str], ...] = (("inspire", "integrate_sections"),)

RUN, BODY = "factors-run", "factors-body"
SECTIONS, COUNT, DOMAINS, HOLD, TRUTH = (
    f"factors-{part}" for part in ("sections", "count", "domains", "hold", "truth")
)
TROUBLE = {"integrate_sections": "Factors could not be found"}
HOLDS = (("5", "One animal, or replicates"), ("50", "Different donors"))
#: Sections that are chosen to begin with, at most.
FIRST = 6
WHAT = (
    "A factor is a gene program and its share in every cell. Programs are shared by all sections; "
    "a factor may be absent from some. Panels may differ: no gene is left out. Plain methods are "
    "run beside it."
)


def layout(backend: Backend) -> Component:
    """Return the body: options of a run, or a result."""
    options = [{"value": s["id"], "label": _word(s)} for s in usable(backend)]
    labels = [("", "Nothing"), *[(n, n.capitalize()) for n in backend.atlas_info()["labels"]]]
    pick = dcc.Dropdown(options, [], multi=True, id=SECTIONS, className="pick manypick",
                        placeholder="Two or more sections")  # fmt: skip
    form = [
        labelled("Factors (0: chosen)", number_field(COUNT, 0, 0, 40)),
        labelled("Domains (0: as factors)", number_field(DOMAINS, 0, 0, 40)),
        labelled("Sections come from", choice(HOLD, HOLDS, HOLDS[0][0])),
        labelled("Compare with", choice(TRUTH, labels, "")),
    ]
    waits = html.Div(skeleton(4), className="sec")
    result = html.Div(waits, id=BODY, **{"aria-live": "polite"})
    return staged(NAME, [labelled("Sections", pick), *form_of(form, RUN, WHAT)], result)


def usable(backend: Backend) -> list[Mapping[str, Any]]:
    """Return the sections of the atlas that hold raw counts."""
    return [s for s in backend.sections() if s["n_genes"] and "counts" in s["unit"]]


def _word(entry: Mapping[str, Any]) -> str:
    return f"{entry['title']} ({words.plural(entry['n_cells'], 'cell')}, {entry['dataset']})"


def first_choice(backend: Backend, section: str) -> list[str]:
    """Return the sections to begin with: of the data set of the one on the map, or the first."""
    entries = usable(backend)
    here = next((s for s in entries if s["id"] == section), None)
    groups: dict[str, list[str]] = {}
    for s in entries:
        groups.setdefault(s["dataset"], []).append(s["id"])
    if here is not None and len(groups[here["dataset"]]) > 1:
        own = groups[here["dataset"]]
        at = max(0, min(own.index(section) - FIRST // 2, len(own) - FIRST))
        return own[at : at + FIRST]
    return next((g[:FIRST] for g in groups.values() if len(g) > 1), [s["id"] for s in entries[:2]])


def register(app: Dash, backend: Backend) -> None:
    """Draw the options, the run and the result of the job that the link names."""

    @app.callback(
        Output(SECTIONS, "value"),
        Input(ids.TOOL, "data"),
        State(SECTIONS, "value"),
        prevent_initial_call=True,
    )
    def begin(tool: Any, chosen: Sequence[str] | None) -> Any:
        if using_of(tool, NAME) is None or chosen:
            return no_update
        return first_choice(backend, str(tool["section"]))

    @app.callback(
        Output(RUN, "children"),
        *[Input(name, "value") for name in (SECTIONS, COUNT, DOMAINS, HOLD, TRUTH)],
        prevent_initial_call=True,
    )
    def offer(sections: Any, count: Any, domains: Any, hold: Any, truth: Any) -> Any:
        return offer_run(backend, sections or [], count, domains, str(hold), truth or "")

    follow(app, backend, NAME, TROUBLE)

    @app.callback(
        Output(BODY, "children"),
        Input(ids.TOOL, "data"),
        Input(stages_of(NAME).run, "data"),
        prevent_initial_call=True,
    )
    def show(tool: Any, run: Any) -> Any:
        using = finished_using(tool, run, NAME)
        return no_update if using is None else finished(backend, parse_at(using))

    app.clientside_callback(
        ClientsideFunction("maps", "dress"),
        Output(BODY, "title"),
        Input(BODY, "children"),
        Input(ids.VIEW, "data"),
        prevent_initial_call=True,
    )


def offer_run(
    backend: Backend, sections: Sequence[str], count: Any, domains: Any, hold: str, truth: str
) -> list[Child]:
    """Return the button that starts a run, and what it will be on."""
    entries = [s for s in usable(backend) if s["id"] in set(sections)]
    n = sum(int(s["n_cells"]) for s in entries)
    params: dict[str, Any] = {
        "factors": int(count or 0), "domains": int(domains or 0), "hold": float(hold or 5),
        "truth": truth,
    }  # fmt: skip
    few = len(entries) < 2
    start = run_button(
        f"Find factors of {words.plural(len(entries), 'section')}", "inspire",
        "integrate_sections", params, {"sections": [s["id"] for s in entries]}, few,
    )  # fmt: skip
    species = {s["species"] for s in entries if s["species"]}
    if few:
        said = "Choose two or more. For domains of one section use Modality weights."
    elif len(species) > 1:
        said = f"These are of {len(species)} species; genes cannot be matched."
    else:
        said = f"{words.plural(n, 'cell')}; {'under a minute' if n < 20_000 else 'some minutes'}."
    return [start, html.Span(said, className="s t3")]


def finished(backend: Backend, at: FactorsAt) -> list[Child]:
    """Return the part of a result that the link names."""
    figures = backend.result(at.job)
    stored = backend.result_sections(f"query-{at.job}")
    entries = [stored[k] for k in figures["order"]]
    return [result_head(within(figures, at)), *result_part(entries, figures, at)]
