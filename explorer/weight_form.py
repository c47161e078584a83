"""Before a weighing: choosing and checking the files of a section, and the options of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import dcc, html

from explorer import words
from explorer.components import Child, button, key_values, note
from explorer.runs import run_button
from explorer.sending import Files, before_check, drop_zone, faulty

#: Model and verb of the run.
MODEL = ("spatialglue", "integrate_modalities")
CLUSTERS, SEEDS, TRUTH, ALIGN, RUN = (
    f"weights-{part}" for part in ("clusters", "seeds", "truth", "align", "run")
)
#: What the scripts do to begin anew.
AGAIN = "weights-again"
WAY_WORDS = {
    "strict": "as they are",
    "name": "those that all modalities have",
    "union": "all; a modality may be missing in a spot",
}
KIND_WORDS = {"rna": "RNA", "protein": "Protein", "atac": "ATAC", "image": "Image"}
FACTS = (
    ("Files", "one .h5mu, one .h5ad per modality, or one .h5ad with var['feature_type']"),
    ("Needs", "raw counts, positions in obsm['spatial']"),
    ("Gives", "domains, weight of each modality per spot and domain, cross-checks"),
    ("Beside it", "each modality alone, joined components, one smoothing, nearest neighbours"),
)


def before(files: Files) -> list[Child]:
    """Return what comes before a run: choosing files, sending them, checking them."""
    if files.get("step") == "check":
        return check(files)
    return before_check(files, AGAIN) or choose()


def choose() -> list[Child]:
    """Return the first step."""
    drop = drop_zone(
        "weights-files", ".h5mu,.h5ad", "Choose the files of one section", "or drop them here"
    )
    demo = button("Try a simulated section", "weights-demo", glyph="target")
    facts = html.Div(key_values(FACTS), className="wrapkv")
    return [html.Div([drop, html.Div([facts, demo], className="stack2")], className="twocol")]


def check(files: Files) -> list[Child]:
    """Return what the files hold and the choices of a run."""
    card = files["card"]
    if not card["ok"]:
        return faulty("These files cannot be weighed", card, AGAIN)
    return [html.Div([_contents(files, card), _choices(card)], className="twocol")]


def _contents(files: Files, card: Mapping[str, Any]) -> html.Div:
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
    other = button("Other files", AGAIN)
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


def offer_run(clusters: int | None, seeds: int | None, truth: str, align: str, files: Files) -> Any:
    """Return the button that starts the run as chosen; none before there are files."""
    card = files.get("card")
    if not card or not card["ok"]:
        return None
    spots = dict(card["ways"]).get(align, card["n_spots"])
    params = {"clusters": clusters or 0, "seeds": seeds or 5, "truth": truth or "", "align": align}
    label = f"Weigh {words.plural(spots, 'spot')}"
    return run_button(label, *MODEL, params, {"uploads": files["uploads"]})
