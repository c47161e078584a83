"""Cell contacts: which types touch more or less than chance, and what they may say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from backend.core.errors import AtlasError
from explorer import ids, words
from explorer.choices import (
    SCOPES,
    choice,
    label_options,
    labelled,
    number_field,
    said_of,
    sections_of,
)
from explorer.components import Child, button, key_values, note, segments
from explorer.contact_figures import (
    MEASURES,
    PICTURES,
    ContactsAt,
    greatest,
    ligand_table,
    matrix_figure,
    network_figure,
    pair_table,
    pairs_of,
    parse_at,
    region_of,
    takes,
    write_at,
)
from explorer.plots import config
from explorer.runs import job_of, run_button, unfinished
from explorer.state import MONTAGE, PLACES

if TYPE_CHECKING:
    from backend.service import Backend

NAME = "contacts"
TITLE = "Cell contacts"
HINT = "Types that touch, ligands and receptors"
GLYPH = "net"
JOBS: tuple[tuple[str, str], ...] = (("fusemap", "contacts"), ("fusemap", "ligands"))

FORM, RUN, MESSAGE = "contacts-form", "contacts-run", "contacts-message"
FRAME, HEAD, ABOUT = "contacts-frame", "contacts-head", "contacts-about"
SCOPE, LABEL, REGION, NULL = (
    "contacts-scope",
    "contacts-label",
    "contacts-region",
    "contacts-null",
)
RADIUS, REACH, SHIFTS, LEAST = (
    "contacts-radius",
    "contacts-reach",
    "contacts-shifts",
    "contacts-least",
)
FIGURE, RANGE, PAIR, TABLE = "contacts-figure", "contacts-limit", "contacts-pair", "contacts-table"
WHERE, LIGANDS, VALUES, RUN_LIGANDS = (
    "contacts-where",
    "contacts-ligands",
    "contacts-values",
    "contacts-run-ligands",
)
SHOWN, STEERED, BAR = "contacts-shown", "contacts-steered", "contacts-bar"
TROUBLE = {
    "contacts": "Contacts could not be counted",
    "ligands": "Ligands and receptors could not be tested",
}
NULLS = (("places", "Places of other cells"), ("free", "Anywhere, as published"))
WHAT = (
    "Pairs of cells nearer than the radius are counted by type and held against shifts of the "
    "cells within the reach. Shifts go to places that cells occupy: free shifts also undo that "
    "cells do not overlap and that tissue ends, and call most pairs even of random types."
)


def layout(backend: Backend) -> Component:
    """Return the body: options of a run, or a result."""
    labels = label_options(backend)
    places = [(v, w) for v, w in labels if v.removeprefix("label:") in PLACES]
    form = [
        labelled("Cells of", choice(SCOPE, SCOPES, SCOPES[0][0])),
        labelled("Types", choice(LABEL, labels, labels[0][0] if labels else "")),
        labelled("Regions", choice(REGION, [("", "Not told apart"), *places], "")),
        labelled("Contact, µm", number_field(RADIUS, 30, 1, 1000)),
        labelled("Shift up to, µm", number_field(REACH, 100, 1, 10_000)),
        labelled("Shifts", number_field(SHIFTS, 1000, 20, 100_000)),
        labelled("Least contacts", number_field(LEAST, 50, 0, 1_000_000)),
        labelled("Shifts go to", choice(NULL, NULLS, NULLS[0][0])),
    ]
    return html.Div(
        [
            dcc.Store(id=SHOWN),
            dcc.Store(id=STEERED),
            html.Div(
                [
                    html.Div(form, className="toolform"),
                    html.Div(id=RUN, className="row wrap"),
                    html.P(WHAT, className="s t3"),
                ],
                id=FORM,
                className="sec formbox",
            ),
            html.Div(id=MESSAGE, hidden=True),
            html.Div(_frame(), id=FRAME, hidden=True),
        ],
        className="analysis",
    )


def _frame() -> list[Child]:
    """Return the places of a result, which ``show`` fills."""
    figure = dcc.Graph(id=FIGURE, config=config("contacts"), className="analysis-graph")
    limit = dcc.Slider(
        0.1, 10, value=1, step=0.1, marks=None, id=RANGE, updatemode="mouseup", included=True
    )
    bar = html.Div(
        [html.Span("Colour range ±", className="s t3"), html.Div(limit, className="grow")],
        className="row rangerow",
        id=BAR,
    )
    return [
        html.Div(
            [html.Div(id=HEAD, className="row wrap"), html.Div(id=WHERE, className="row wrap gap")],
            className="sec",
        ),
        html.Div(
            [
                html.Div([figure, bar], className="analysis-left"),
                html.Div(id=PAIR, className="analysis-side"),
            ],
            className="analysis-two",
        ),
        html.Div(id=TABLE, className="sec analysis-table"),
        html.Div(id=ABOUT, className="sec"),
    ]


def register(app: Dash, backend: Backend) -> None:
    """Draw the options, the run and the result of the job that the link names."""

    @app.callback(
        Output(RUN, "children"),
        Input(ids.TOOL, "data"),
        *[Input(name, "value") for name in (SCOPE, LABEL, REGION)],
        *[Input(name, "value") for name in (RADIUS, REACH, SHIFTS, LEAST, NULL)],
    )
    def offer(tool: Any, scope: Any, label: Any, region: Any, *rest: Any) -> Any:
        if not _is_open(tool) or not label:
            return no_update
        return run_row(backend, str(tool["section"]), str(scope), str(label), region or "", rest)

    @app.callback(
        Output(FORM, "hidden"),
        Output(MESSAGE, "hidden"),
        Output(FRAME, "hidden"),
        Output(MESSAGE, "children"),
        Output(SHOWN, "data"),
        Input(ids.TOOL, "data"),
        Input(ids.JOBS, "data"),
        prevent_initial_call=True,
    )
    def draw(tool: Any, jobs: Any) -> tuple[Any, ...]:
        if not _is_open(tool):
            return (no_update,) * 5
        job = job_of(jobs, str(tool["using"]))
        if job is None:
            return False, True, True, None, None
        message = unfinished(job, TROUBLE[str(job["verb"])]) or _other(backend, job)
        if message is not None:
            return True, False, True, message, None
        return True, True, False, None, job["id"]

    @app.callback(
        Output(FIGURE, "figure"),
        Output(RANGE, "max"),
        Output(RANGE, "value"),
        Output(WHERE, "children"),
        Output(PAIR, "children"),
        Output(TABLE, "children"),
        Output(HEAD, "children"),
        Output(ABOUT, "children"),
        Output(BAR, "hidden"),
        Input(ids.TOOL, "data"),
        Input(SHOWN, "data"),
        prevent_initial_call=True,
    )
    def show(tool: Any, shown: Any) -> tuple[Any, ...]:
        at = parse_at(str(tool["using"])) if _is_open(tool) else ContactsAt()
        found = _contacts(backend, at.job) if at.job and at.job == shown else None
        if found is None:
            return (no_update,) * 9
        pairs = pairs_of(found, at)
        most = max(abs(p["z"] if at.measure == "z" else p["log2_fold"]) for p in pairs)
        picture = (
            matrix_figure(pairs, at)
            if at.picture == "matrix"
            else network_figure(region_of(found, at), pairs, found["types"], at)
        )
        limit = at.limit or greatest(pairs, at.measure)
        chosen = pair_part(backend, found, pairs, at)
        return (
            picture,
            max(most, limit),
            limit,
            where_row(found, at),
            chosen,
            pair_table(pairs, at),
            [button("New count", "using", "", kind="sm"), takes(at.job, FIGURE), summary(found)],
            [html.P(line, className="s t3") for line in about(found)],
            at.picture != "matrix",
        )

    @app.callback(
        Output(ids.STEER, "data", allow_duplicate=True),
        Input(FIGURE, "clickData"),
        State(ids.TOOL, "data"),
        prevent_initial_call=True,
    )
    def click(clicked: Any, tool: Any) -> Any:
        pair = clicked_pair(clicked)
        if pair is None or not _is_open(tool):
            return no_update
        at = parse_at(str(tool["using"]))
        return {"using": write_at(replace(at, pair=None if at.pair == pair else pair))}

    @app.callback(
        Output(ids.STEER, "data", allow_duplicate=True),
        Input(RANGE, "value"),
        State(ids.TOOL, "data"),
        prevent_initial_call=True,
    )
    def narrow(limit: Any, tool: Any) -> Any:
        if not _is_open(tool) or limit is None:
            return no_update
        at = parse_at(str(tool["using"]))
        found = _contacts(backend, at.job) if at.job else None
        if found is None:
            return no_update
        now = at.limit or greatest(pairs_of(found, at), at.measure)
        if abs(float(limit) - now) < 1e-6:
            return no_update  # set from the link, nobody moved it
        return {"using": write_at(replace(at, limit=float(limit)))}

    @app.callback(
        Output(ids.STEER, "data", allow_duplicate=True),
        Output(STEERED, "data"),
        Input(ids.TOOL, "data"),
        State(STEERED, "data"),
        prevent_initial_call=True,
    )
    def follow(tool: Any, steered: Any) -> tuple[Any, Any]:
        at = parse_at(str(tool["using"])) if _is_open(tool) else ContactsAt()
        wanted = [at.job, *(at.pair or ())]
        if not at.job or wanted == steered or (at.pair is None and not (steered or [])[1:]):
            return no_update, no_update
        found = _contacts(backend, at.job)
        if found is None:
            return no_update, no_update
        return on_map(found, at, str(tool["section"])), wanted

    @app.callback(
        Output(RUN_LIGANDS, "children"),
        Input(LIGANDS, "value"),
        Input(VALUES, "value"),
        State(ids.TOOL, "data"),
    )
    def offer_ligands(table: Any, values: Any, tool: Any) -> Any:
        at = parse_at(str((tool or {}).get("using", "")))
        found = _contacts(backend, at.job) if at.job and at.pair else None
        if found is None:
            return no_update
        return ligand_button(found, at, str(table), str(values))


def _is_open(tool: Any) -> bool:
    return bool(tool) and tool["tool"] == NAME


def _contacts(backend: Backend, job: str) -> Mapping[str, Any] | None:
    """Return the result of a job that counted contacts; None of any other."""
    try:
        found = backend.result(job)
    except AtlasError:
        return None
    return found if found.get("pairs") and "regions" in found else None


def run_row(
    backend: Backend, section: str, scope: str, label: str, region: str, rest: Sequence[Any]
) -> list[Child]:
    """Return the button that starts a count, and what it is on."""
    radius, reach, shifts, least, null = rest
    entries = sections_of(backend, section, scope, label, needs_expression=False)
    params: dict[str, Any] = {"label": label, "region": region, "null": null or "places"}
    numbers = {
        "radius_um": radius,
        "reach_um": reach,
        "n_shifts": shifts,
        "least_contacts": least,
    }
    params |= {name: value for name, value in numbers.items() if value is not None}
    inputs = {"sections": [e["id"] for e in entries]}
    problem = _problem(entries, label, scope != "all" and section != MONTAGE, float(radius or 30))
    act = run_button(
        "Count contacts", "fusemap", "contacts", params, inputs, disabled=bool(problem)
    )
    said = said_of(entries, "All sections with single cells, the label and micrometres")
    return [act, html.Span(problem or said, className="s t2")]


def _problem(
    entries: Sequence[Mapping[str, Any]], label: str, is_named: bool, radius_um: float
) -> str:
    """Return why contacts cannot be counted here, or an empty text."""
    if is_named and not entries:
        return f"The section on the map has no {label}: open another, or take all."
    # A drawn cell's radius is half the median distance to the nearest neighbour.
    apart = max((2 * float(e["radius"]) for e in entries), default=0.0)
    if apart > radius_um:
        return (
            f"Neighbours are {apart:.0f} µm apart here: cells that touch were not recorded. A "
            "larger distance asks about neighbourhoods instead."
        )
    return ""


def _other(backend: Backend, job: Mapping[str, Any]) -> list[Child] | None:
    """Return the result of a test of ligands, or why a result cannot be read; None for contacts."""
    try:
        found = backend.result(str(job["id"]))
    except AtlasError as error:
        return [html.Div(note(str(error)), className="sec")]
    return ligand_result(found, str(job["id"])) if job["verb"] == "ligands" else None


def summary(found: Mapping[str, Any]) -> html.Span:
    """Return what was counted, in one line."""
    called = sum(1 for p in found["pairs"] if p["call"])
    text = (
        f"{words.plural(found['n_cells'], 'cell')} of "
        f"{words.plural(len(found['sections']), 'section')}; {called} of "
        f"{words.plural(len(found['pairs']), 'pair')} of types called"
    )
    return html.Span(text, className="s t2")


def about(found: Mapping[str, Any]) -> list[str]:
    """Return how it was counted, and what was left out."""
    p = found["params"]
    lines = [
        f"Contact: nearer than {p['radius_um']:g} µm. {words.count(p['n_shifts'])} shifts within "
        f"{p['reach_um']:g} µm: {found['test']}. Called: q below {p['rate']:g} "
        f"(Benjamini-Hochberg per region), more than {p['least_contacts']} contacts, and two "
        "thirds of the animals agree. With many cells even a small difference is called: look at "
        "the fold. Cells of one animal are no independent samples of others.",
    ]
    if found["left_out"]:
        first = found["left_out"][0]
        lines.append(
            f"{words.plural(len(found['left_out']), 'section')} left out; {first['id']}: "
            f"{first['why']}."
        )
    return lines


def where_row(found: Mapping[str, Any], at: ContactsAt) -> list[Child]:
    """Return the choices of picture, measure and region."""
    pictures = [(write_at(replace(at, picture=p)), p.capitalize()) for p in PICTURES]
    short = {"z": "z", "fold": "log₂ fold"}
    measures = [(write_at(replace(at, measure=m, limit=0.0)), short[m]) for m in MEASURES]
    parts: list[Child] = [
        segments("Picture", pictures, write_at(at), "using"),
        segments("Colour by", measures, write_at(replace(at, limit=0.0)), "using"),
    ]
    regions = found["regions"]
    if len(regions) > 1:
        options = [
            html.Button(
                r["name"],
                type="button",
                className="chipb on" if k == at.region else "chipb",
                **{
                    "data-act": "using",
                    "data-value": write_at(replace(at, region=k, pair=None, limit=0.0)),
                    "aria-pressed": str(k == at.region).lower(),
                },
            )
            for k, r in enumerate(regions)
        ]
        parts.append(html.Div(options, className="chips", role="group", **{"aria-label": "Region"}))
    return parts


def pair_part(
    backend: Backend, found: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]], at: ContactsAt
) -> list[Child]:
    """Return what is known of the chosen pair, and the test of ligands between its types."""
    pair = next((p for p in pairs if (p["a"], p["b"]) == at.pair), None)
    if pair is None:
        hint = "Click a square, a line or a pair: its two types are shown alone on the map."
        return [html.P(hint, className="t3 s")]
    facts = [
        ("Contacts", words.count(pair["contacts"])),
        ("Expected", f"{pair['expected']:,.1f} ± {pair['sd']:.1f}"),
        ("Fold", f"{pair['fold']:.2f}"),
        ("z", words.signed(pair["z"], 1)),
        ("q", f"{pair['q']:.2g}"),
        *dict.fromkeys(
            [
                (f"Cells, {pair['name_a']}", words.count(pair["n_a"])),
                (f"Cells, {pair['name_b']}", words.count(pair["n_b"])),
            ]
        ),
        ("Animals that agree", f"{pair['n_agree']} of {pair['n_animals']}"),
    ]
    if pair["p_animals"] is not None:
        facts.append(("p over animals", f"{pair['p_animals']:.2g}"))
    title = pair["name_a"] if pair["a"] == pair["b"] else f"{pair['name_a']} and {pair['name_b']}"
    word = {"attraction": "touch more than chance", "avoidance": "touch less than chance"}
    said = word.get(pair["call"], "no difference called")
    return [
        html.B(title),
        html.P(said, className="s t2"),
        key_values(facts),
        html.Div(_ligand_form(backend), className="gap ligandform"),
    ]


def _ligand_form(backend: Backend) -> list[Child]:
    tables = backend.pair_tables()
    if not tables:
        return [
            html.P(
                "For ligands and receptors put a table (CellChatDB, CellTalkDB, OmniPath, or any "
                "csv with the columns ligand and receptor) into the folder 'pairs' of the data "
                "folder of this server.",
                className="s t3",
            )
        ]
    can = backend.atlas_info()["has_imputation"]
    kinds = [("imputed", "Imputed genes")] * can + [("measured", "Measured genes")]
    return [
        html.B("Ligands and receptors", className="s"),
        labelled("Table", choice(LIGANDS, [(t, t) for t in tables], tables[0])),
        labelled("Values", choice(VALUES, kinds, kinds[0][0])),
        html.Div(id=RUN_LIGANDS, className="gap"),
    ]


def ligand_button(found: Mapping[str, Any], at: ContactsAt, table: str, values: str) -> html.Button:
    """Return the button that tests ligands between the types of the chosen pair."""
    names = {t["code"]: t["name"] for t in found["types"]}
    assert at.pair is not None
    region = region_of(found, at)["name"]
    label = str(found["region"]).partition("=")[0]
    params = {
        "table": table,
        "label": found["label"],
        "a": names[at.pair[0]],
        "b": names[at.pair[1]],
        "region": f"{label}={region}" if region else "",
        "values": values,
        "radius_um": found["params"]["radius_um"],
    }
    inputs = {"sections": [s["id"] for s in found["sections"]]}
    return run_button("Test ligands", "fusemap", "ligands", params, inputs)


def ligand_result(found: Mapping[str, Any], job: str) -> list[Child]:
    """Return the tests of ligands and receptors with their cautions."""
    called = [row for row in found["rows"] if row["significant"]]
    trusted = sum(1 for row in called if not row["weak"])
    head = (
        f"{found['a']} and {found['b']}: {found['n_tested']:,} of {found['n_pairs']:,} pairs of "
        f"{found['table']} have all genes {found['values']}; {len(called):,} differ between cells "
        f"that touch and cells that do not, {trusted:,} of them by trusted genes. Of random pairs "
        f"of genes {100 * found['random_called']:.0f} % differ as much."
    )
    loud = found["random_called"] > 0.1
    return [
        html.Div(
            [
                html.Div(
                    [button("New count", "using", "", kind="sm"), takes(job)],
                    className="row wrap acts2",
                ),
                html.P(head, className="s t2"),
                note(found["caution"]) if loud else html.P(found["caution"], className="s t3"),
            ],
            className="sec",
        ),
        html.Div(ligand_table(found), className="sec analysis-table"),
        html.P(f"Unit: {found['unit']}.", className="sec s t3"),
    ]


def clicked_pair(clicked: Any) -> tuple[int, int] | None:
    """Return the codes that a point of a figure carries; the lower first."""
    points = (clicked or {}).get("points") or [{}]
    held = points[0].get("customdata")
    parts = str(held[0] if isinstance(held, list) and held else "").split(".")
    if len(parts) != 2 or not all(p.isdecimal() for p in parts):
        return None
    a, b = sorted(int(p) for p in parts)
    return a, b


def on_map(found: Mapping[str, Any], at: ContactsAt, section: str) -> dict[str, Any]:
    """Return the change of the view that shows a pair alone, in a section that was counted."""
    order: dict[str, Any] = {
        "layer": found["label"],
        "only": list(dict.fromkeys(at.pair)) if at.pair else [],
    }
    counted = [s["id"] for s in found["sections"]]
    if section not in counted and section != MONTAGE and at.pair:
        order["section"] = counted[0]
    return order
