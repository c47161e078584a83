"""The tool "Ask the atlas": where a gene is highest, what marks a class, what sections hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dash import Dash, Input, Output, State, ctx, dcc, html, no_update

from backend.core.errors import AtlasError, BadRequest
from backend.core.layers import LayerInfo, LayerKey
from explorer import answers, ids, plots
from explorer.cards import error_card
from explorer.components import Child, button, segments
from explorer.icons import icon
from explorer.questions import ABOUT, Question
from explorer.state import MONTAGE

if TYPE_CHECKING:
    from backend.service import Backend

NAME = "ask"
TITLE = "Ask the atlas"
HINT = "Means of a gene, genes of a class, composition: over all sections"
GLYPH = "table"
JOBS: tuple[tuple[str, str], ...] = ()

GENE, CLASS, GENES = "ask-gene", "ask-class", "ask-genes"
CHOICES, ANSWER, FIGURE, TAKE = "ask-choices", "ask-answer", "ask-figure", "ask-take"
GENE_BOX, CLASS_BOX = "ask-gene-box", "ask-class-box"


def layout(backend: Backend) -> html.Div:
    """Return the body: choices on the left, the answer beside them."""
    gene = html.Label(
        [
            "Gene",
            dcc.Input(
                id=GENE,
                type="text",
                debounce=0.25,
                list=GENES,
                className="field",
                autoComplete="off",
                spellCheck="false",
            ),
            html.Datalist(id=GENES),
        ],
        id=GENE_BOX,
        className="askfield",
        htmlFor=GENE,
    )
    one = html.Label(
        ["Class", dcc.Dropdown(id=CLASS, clearable=True, searchable=True)],
        id=CLASS_BOX,
        className="askfield",
        htmlFor=CLASS,
    )
    left = [html.Div(id=CHOICES), gene, one, html.Div(id=TAKE, className="asktake")]
    result = dcc.Loading(
        html.Div([html.Div(id=ANSWER), html.Div(id=FIGURE)], className="askresult"),
        delay_show=400,
        type="dot",
        parent_className="askloading",
    )
    return html.Div([html.Div(left, className="askleft"), result], className="ask")


def register(app: Dash, backend: Backend) -> None:
    """Answer the question in the link; put what is chosen into the link."""

    @app.callback(
        *[Output(part, "children") for part in (CHOICES, TAKE, ANSWER, FIGURE)],
        Output(GENE, "value"),
        Output(CLASS, "options"),
        Output(CLASS, "value"),
        Output(GENE_BOX, "hidden"),
        Output(CLASS_BOX, "hidden"),
        Input(ids.TOOL, "data"),
        State(ids.SCENE, "data"),
    )
    def answer(tool: Mapping[str, Any] | None, scene: Mapping[str, Any] | None) -> Any:
        if not tool or tool["tool"] != NAME:
            return (no_update,) * 9
        asked = resolved(backend, Question.parse(tool["using"]), (scene or {}).get("layer", ""))
        options = class_options(backend, asked)
        said, figure = answered(backend, asked)
        gene, chosen = asked.gene, asked.code if asked.code >= 0 else None
        hidden = (asked.about != "gene", asked.about == "gene")
        take = take_away(backend, asked) if figure is not None else None
        return choices(backend, asked), take, said, figure, gene, options, chosen, *hidden

    @app.callback(Output(GENES, "children"), Input(GENE, "value"), prevent_initial_call=True)
    def suggest(typed: str | None) -> list[html.Option]:
        return [html.Option(value=hit["symbol"]) for hit in backend.genes(typed or "", 20)]

    @app.callback(
        Output(ids.STEER, "data", allow_duplicate=True),
        Input(GENE, "value"),
        Input(GENE, "n_submit"),
        Input(CLASS, "value"),
        State(ids.TOOL, "data"),
        State(ids.SCENE, "data"),
        prevent_initial_call=True,
    )
    def choose(
        gene: str | None,
        _: int | None,
        code: int | None,
        tool: Mapping[str, Any] | None,
        scene: Mapping[str, Any] | None,
    ) -> Any:
        if not tool or tool["tool"] != NAME:
            return no_update
        shown = resolved(backend, Question.parse(tool["using"]), (scene or {}).get("layer", ""))
        if shown.about == "gene":
            typed = (gene or "").strip()
            # While a name is being typed there is nothing to answer yet; Enter asks anyway.
            if ctx.triggered_id != GENE or not (is_gene(backend, typed) or entered()):
                return no_update
            wanted = shown._replace(gene=typed or shown.gene)
        else:
            wanted = shown._replace(code=-1 if code is None else int(code))
        return no_update if wanted == shown else {"using": str(wanted)}


def resolved(backend: Backend, asked: Question, layer: str) -> Question:
    """Return the question with what it leaves open filled in from the view and the atlas."""
    labels = [str(i.key) for i in labels_of(backend)]
    kind, _, name = layer.partition(":")
    on_screen = name if kind in ("measured", "imputed") else ""
    gene = asked.gene or on_screen or first_gene(backend)
    label = asked.label if asked.label in labels else ""
    label = label or (layer if layer in labels else next(iter(labels), ""))
    code = asked.code
    if asked.about == "class" and code < 0:
        code = first_class(backend, label)
    by = asked.by if asked.by in (*labels, "section") else next(iter(labels), "section")
    return asked._replace(gene=gene, by=by, label=label, code=code)


def is_gene(backend: Backend, typed: str) -> bool:
    """Return whether a text is a whole symbol of the atlas."""
    return any(hit["symbol"].lower() == typed.lower() for hit in backend.genes(typed, 1))


def entered() -> bool:
    """Return whether the callback that runs was called by the key Enter."""
    return f"{GENE}.n_submit" in ctx.triggered_prop_ids


def labels_of(backend: Backend) -> list[LayerInfo]:
    """Return the labels of the atlas."""
    return [info for info in backend.layers(MONTAGE) if info.key.kind == "label"]


def first_gene(backend: Backend) -> str:
    """Return a gene to begin with: one that many know, or the first of the atlas."""
    hits = [*backend.genes("Slc17a7", 1), *backend.genes("", 1)]
    return str(hits[0]["symbol"]) if hits else ""


def first_class(backend: Backend, label: str) -> int:
    """Return the class with most cells of those that have an answer, -1 where there is none."""
    if not label:
        return -1
    key = LayerKey.parse(label)
    rows = backend.composition(MONTAGE, key)
    for row in rows:
        try:
            backend.top_genes(key, int(row["code"]), 1)
        except BadRequest:
            continue  # none of its cells is embedded
        except AtlasError:
            break
        return int(row["code"])
    return int(rows[0]["code"]) if rows else -1


def choices(backend: Backend, asked: Question) -> list[Child]:
    """Return the question and what it is told by, as rows of exclusive choices."""

    def row(word: str, options: Sequence[tuple[Question, str]]) -> html.Div:
        shown = [(str(question), text) for question, text in options]
        return html.Div(
            [html.Span(word, className="s t3"), segments(word, shown, str(asked), "using")]
        )

    titles = [(str(i.key), i.title or i.key.name) for i in labels_of(backend)]
    about = [(resolved_about(asked, name), text) for name, text in ABOUT]
    parts: list[Child] = [html.Div(row("Question", about), className="askquestions")]
    if asked.about == "gene":
        kinds = (("", "Measured first"), ("measured", "Measured"), ("imputed", "Imputed"))
        parts.append(row("Values", [(asked._replace(kind=k), word) for k, word in kinds]))
        ways = [*titles, ("section", "Section")]
        parts.append(row("By", [(asked._replace(by=way), word) for way, word in ways]))
    else:
        open_code = -1
        options = [
            (asked if key == asked.label else asked._replace(label=key, code=open_code), word)
            for key, word in titles
        ]
        parts.append(row("Label", options))
    return parts


def resolved_about(asked: Question, about: str) -> Question:
    """Return another question of the same gene, label and class."""
    return asked if about == asked.about else asked._replace(about=about, code=-1)


def class_options(backend: Backend, asked: Question) -> list[dict[str, Any]]:
    """Return the classes of the chosen label by name."""
    info = next((i for i in labels_of(backend) if str(i.key) == asked.label), None)
    found = enumerate(info.categories) if info is not None and asked.about != "gene" else ()
    rows = [{"value": code, "label": category.name} for code, category in found]
    return sorted(rows, key=lambda row: str(row["label"]).lower())


def answered(backend: Backend, asked: Question) -> tuple[Child, Child]:
    """Return the answer and its figure; what went wrong and no figure otherwise."""
    try:
        if asked.about == "gene":
            found = backend.gene_means(asked.gene, asked.kind, asked.by)
            said, figure = answers.gene_answer(found), answers.bars_figure(found)
        elif asked.about == "class":
            found = backend.top_genes(LayerKey.parse(asked.label), asked.code, answers.ROWS)
            said, figure = answers.class_answer(found), answers.bars_figure(found)
        else:
            found = backend.compositions(LayerKey.parse(asked.label))
            said = answers.sections_answer(found, asked.code)
            figure = answers.parts_figure(found, asked.code)
    except AtlasError as error:
        return error_card("This cannot be answered", error.as_json()), None
    name = f"{asked.about}_{asked.gene if asked.about == 'gene' else asked.label[6:]}"
    return said, plots.graph("ask-graph", figure, name, int(figure.layout.height))


def take_away(backend: Backend, asked: Question) -> list[Child]:
    """Return what the answer can be taken away as: table, link, command."""
    options = {row["value"]: row["label"] for row in class_options(backend, asked)}
    command = asked.command(str(options.get(asked.code, "")))
    return [
        html.A([icon("down"), "CSV"], href=asked.address(), download="", className="btn asklink"),
        button("Copy link", "copy-link", glyph="copy"),
        button("Copy as command", "copy-command", command, glyph="copy", title=command),
    ]
