"""Modality weights: choose the files of a multi-omics section, run, and read the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update

from backend.core.errors import AtlasError
from explorer import ids, words
from explorer.cards import error_card
from explorer.components import Child, button, key_values, note, skeleton
from explorer.runs import job_of, run_button, unfinished
from explorer.weighed import PARTS, result_head, result_part

if TYPE_CHECKING:
    from backend.service import Backend

NAME = "weights"
TITLE = "Modality weights"
HINT = "Domains of a multi-omics section, and how much each modality has to say"
GLYPH = "weight"
JOBS: tuple[tuple[str, str], ...] = (("spatialglue", "integrate_modalities"),)

BODY, FILES, CLUSTERS, SEEDS, TRUTH, RUN = (
    f"weights-{part}" for part in ("body", "files", "clusters", "seeds", "truth", "run")
)
ALIGN = "weights-align"
WATCHED = "weights-watched"
WAY_WORDS = {
    "strict": "as they are",
    "name": "those that all modalities have",
    "union": "all; a modality may be missing in a spot",
}
KIND_WORDS = {"rna": "RNA", "protein": "Protein", "atac": "ATAC", "image": "Image"}


def layout(backend: Backend) -> html.Div:
    """Return the body of the tool."""
    return html.Div(
        [dcc.Store(id=FILES), dcc.Store(id=WATCHED), html.Div(id=BODY, **{"aria-live": "polite"})]
    )


def register(app: Dash, backend: Backend) -> None:
    """Draw files, run or result; open the section when a run that was watched is done."""

    @app.callback(
        Output(BODY, "children"),
        Output(WATCHED, "data"),
        Output(ids.STEER, "data", allow_duplicate=True),
        Input(ids.TOOL, "data"),
        Input(ids.JOBS, "data"),
        Input(FILES, "data"),
        State(WATCHED, "data"),
        prevent_initial_call=True,
    )
    def draw(
        tool: Mapping[str, Any] | None,
        jobs: Sequence[Mapping[str, Any]] | None,
        files: Mapping[str, Any] | None,
        watched: str | None,
    ) -> tuple[Any, Any, Any]:
        if not tool or tool["tool"] != NAME:
            return no_update, no_update, no_update
        job = job_of(jobs, tool["using"])
        if job is None:
            return before(files or {}, bool(tool["using"])), "", no_update
        waiting = unfinished(job, "The section could not be weighed")
        if waiting is not None:
            return waiting, job["id"], no_update
        section = f"query-{job['id']}"
        order = {"section": section, "layer": "label:domain"} if watched == job["id"] else no_update
        return finished(backend, job, tool["using"]), "", order

    @app.callback(
        Output(RUN, "children"),
        Input(CLUSTERS, "value"),
        Input(SEEDS, "value"),
        Input(TRUTH, "value"),
        Input(ALIGN, "value"),
        State(FILES, "data"),
    )
    def offer(
        clusters: int | None, seeds: int | None, truth: str, align: str, files: Mapping[str, Any]
    ) -> Any:
        return offer_run(clusters, seeds, truth, align, files or {})

    app.clientside_callback(
        ClientsideFunction("weights", "dress"),
        Output(BODY, "title"),
        Input(BODY, "children"),
        Input(ids.VIEW, "data"),
        prevent_initial_call=True,
    )


def finished(backend: Backend, job: Mapping[str, Any], using: str) -> list[Child]:
    """Return the part of a result that ``using`` names after the job."""
    part = using.partition(",")[2] or PARTS[0][0]
    try:
        figures = backend.result(job["id"])["result"]["figures"]
        entry = backend.section_entry(f"query-{job['id']}")
    except AtlasError as error:
        return [html.Div(error_card("The result is gone", error.as_json(), []), className="runbox")]
    return [result_head(job["id"], part), *result_part(entry, figures, job["id"], part)]


def before(files: Mapping[str, Any], is_named: bool) -> list[Child]:
    """Return what comes before a run: choosing files, sending them, checking them."""
    step = files.get("step") or "choose"
    if step == "sending":
        return sending(files)
    if step == "checking":
        return [html.Div([html.P("Reading the files"), skeleton(4)], className="sec runbox")]
    if step == "failed":
        again = [button("Choose other files", "weights-again", kind="pri")]
        card = error_card("These files could not be used", files["error"], again)
        return [html.Div(card, className="sec runbox")]
    if step == "check":
        return check(files)
    return choose(is_named)


def choose(is_named: bool) -> list[Child]:
    """Return the first step."""
    drop = html.Label(
        [
            html.Span(className="i i-up big"),
            html.B("Choose the files of one section"),
            html.Span("or drop them here", className="t3 s"),
        ],
        className="drop-zone",
        tabIndex="0",
        role="button",
        **{"data-act": "weights-files", "data-value": ".h5mu,.h5ad"},
    )
    facts = [
        ("Files", "one .h5mu, one .h5ad per modality, or one .h5ad with var['feature_type']"),
        ("Needs", "raw counts, positions in obsm['spatial']"),
        ("Gives", "domains, weight of each modality per spot and domain, cross-checks"),
        ("Beside it", "each modality alone, joined components, one smoothing, nearest neighbours"),
    ]
    demo = button("Try a simulated section", "weights-demo", glyph="target")
    lost = note("This run is not on record any more. Choose the files again.") if is_named else None
    side = html.Div(
        [lost, html.Div(key_values(facts), className="wrapkv"), demo], className="stack2"
    )
    return [html.Div([drop, side], className="sec twocol")]


def sending(files: Mapping[str, Any]) -> list[Child]:
    """Return the progress of sending."""
    line = f"{words.size(int(files['sent']))} of {words.size(int(files['size']))}"
    share = 100 * int(files["sent"]) / max(int(files["size"]), 1)
    meter = html.Div(
        html.I(style={"width": f"{share:.1f}%"}),
        className="prog",
        role="progressbar",
        **{"aria-valuenow": f"{share:.0f}", "aria-label": "Upload"},
    )
    stop = button("Cancel", "weights-again", glyph="stop", kind="sm")
    text = html.Div([html.B(files["name"]), html.Span(line, className="num t3 s")])
    return [html.Div([text, meter, stop], className="sec runbox stack2")]


def check(files: Mapping[str, Any]) -> list[Child]:
    """Return what the files hold and the choices of a run."""
    card = files["card"]
    if not card["ok"]:
        again = [button("Choose other files", "weights-again", kind="pri")]
        error = {
            "message": f"{words.plural(len(card['faults']), 'problem')} to solve first.",
            "faults": card["faults"],
            "hint": ["Nothing was written."],
        }
        refused = error_card("These files cannot be weighed", error, again)
        return [html.Div(refused, className="sec runbox")]
    return [html.Div([_contents(files, card), _choices(card)], className="sec twocol")]


def _contents(files: Mapping[str, Any], card: Mapping[str, Any]) -> html.Div:
    rows = [
        html.Tr(
            [
                html.Td(m["name"]),
                html.Td(KIND_WORDS.get(m["kind"], m["kind"].capitalize())),
                html.Td(words.count(m["features"]), className="r num"),
                html.Td(words.count(m["spots"]), className="r num"),
            ]
        )
        for m in card["modalities"]
    ]
    heads = ("Modality", "Kind", "Features", "Spots with it")
    head = html.Tr([html.Th(h, className="r" if k > 1 else "") for k, h in enumerate(heads)])
    table = html.Table([html.Thead(head), html.Tbody(rows)], className="wide")
    remarks = []
    if len(card["modalities"]) == 1:
        remarks.append(note("There is one modality: these will be plain spatial domains."))
    if card["differ"]:
        remarks.append(note(f"{card['differ'][:1].upper()}{card['differ'][1:]}."))
    title = html.Div([html.B(files["name"]), html.Span(f"{words.count(card['n_spots'])} spots")])
    return html.Div([title, table, *remarks], className="stack2")


def _choices(card: Mapping[str, Any]) -> html.Div:
    truths = [{"label": "Nothing", "value": ""}]
    truths += [{"label": f"{n} ({k} classes)", "value": n} for n, k in card["labels"]]
    ways = [
        {"label": f"{WAY_WORDS[way]} ({words.count(n)})", "value": way}
        for way, n in (card["ways"] or [(card["align"], card["n_spots"])])
    ]
    fields = [
        ("Domains", _number(CLUSTERS, "suggested", 2, 40), "empty: a number is suggested"),
        ("Seeds", _number(SEEDS, "5", 1, 20, 5), "more give a better spread"),
        (
            "Compare with",
            dcc.Dropdown(truths, "", id=TRUTH, clearable=False, searchable=False),
            "label of the file",
        ),
        (
            "Spots",
            dcc.Dropdown(ways, card["align"], id=ALIGN, clearable=False, searchable=False),
            "",
        ),
    ]
    rows = [
        html.Div(
            [
                html.Label(word, className="t2 s", htmlFor=getattr(field, "id", "")),
                field,
                html.Span(hint, className="xs t3"),
            ],
            className="choice",
        )
        for word, field, hint in fields
    ]
    estimate = html.P(f"About {words.seconds(float(card['seconds']))}.", className="s t3")
    other = button("Other files", "weights-again")
    acts = html.Div([html.Div(id=RUN), other], className="row")
    return html.Div([*rows, estimate, acts], className="stack2")


def _number(identity: str, hint: str, least: int, most: int, value: int | None = None) -> dcc.Input:
    return dcc.Input(
        id=identity,
        type="number",
        min=least,
        max=most,
        step=1,
        value=value,
        placeholder=hint,
        className="numberfield num",
    )


def offer_run(
    clusters: int | None, seeds: int | None, truth: str, align: str, files: Mapping[str, Any]
) -> Any:
    """Return the button that starts the run as chosen; none before there are files."""
    card = files.get("card")
    if not card or not card["ok"]:
        return None
    spots = dict(card["ways"]).get(align, card["n_spots"])
    params = {"clusters": clusters or 0, "seeds": seeds or 5, "truth": truth or "", "align": align}
    label = f"Weigh {words.plural(spots, 'spot')}"
    return run_button(label, *JOBS[0], params, {"uploads": files["uploads"]})
