"""The one search box: regions, cell types and genes, grouped and tagged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dash import Dash, Input, Output, State, dcc, html

from explorer import ids, words
from explorer.components import Child, kbd, swatch, tag
from explorer.icons import icon

if TYPE_CHECKING:
    from backend.service import Backend

#: Hits per group.
LIMIT = 6


def layout(backend: Backend) -> html.Div:
    """Return the search box with its list, which is hidden until something is typed.

    The field itself is put in its place by assets/search.js: a field of Dash sets its caret again
    a moment after every key, which mixes up the letters of those who type fast.
    """
    box = html.Label(
        [
            icon("search"),
            html.Span(id=ids.SEARCH_PLACE, className="searchplace"),
            html.Kbd("/", className="slash"),
            html.Kbd("Esc", className="esc"),
        ],
        className="box",
        htmlFor=ids.SEARCH,
        title="Search (/)",
    )
    results = html.Div(
        id=ids.RESULTS,
        className="results",
        role="listbox",
        hidden=True,
        **{"aria-label": "Search results"},
    )
    return html.Div([dcc.Store(id=ids.TYPED), box, results], className="search", role="search")


def register(app: Dash, backend: Backend) -> None:
    """Answer what is typed."""

    @app.callback(
        Output(ids.RESULTS, "children"),
        Input(ids.TYPED, "data"),
        State(ids.PLACE, "data"),
        prevent_initial_call=True,
    )
    def find(text: str | None, place: Mapping[str, Any] | None) -> list[Child]:
        query = (text or "").strip()
        if not query:
            return []
        section = (place or {}).get("section", "atlas")
        return results_list(query, backend.search(query, section, LIMIT))


def results_list(query: str, found: Mapping[str, Any]) -> list[Child]:
    """Return the groups of a search, or what is spelt like it where nothing fits."""
    rows: list[Child] = []
    for title, key in (("Regions", "regions"), ("Cell types", "types")):
        rows += _group(title, [_class_row(query, hit) for hit in found[key]])
    rows += _group("Genes", [_gene_row(query, hit) for hit in found["genes"]])
    # The scripts choose only from the answer to what is in the box now.
    mark = html.Span(hidden=True, **{"data-query": query})
    if not rows:
        return [mark, _nothing(query, found["nearest"])]
    foot = html.Div(
        [
            html.Span([kbd("Enter"), " colour by"]),
            html.Span([kbd("\u2191", "\u2193"), " move"]),
            html.Span([kbd("Esc"), " close"]),
        ],
        className="foot",
    )
    return [mark, *rows, foot]


def _group(title: str, rows: Sequence[Child]) -> list[Child]:
    if not rows:
        return []
    count = f"first {len(rows)}" if len(rows) == LIMIT else str(len(rows))
    return [html.H4([html.Span(title), html.Span(count)]), *rows]


def marked(name: str, query: str) -> list[Child]:
    """Return a name with the part that was typed set in bold."""
    at = name.lower().find(query.lower())
    if at < 0:
        return [name]
    end = at + len(query)
    return [name[:at], html.Mark(name[at:end]), name[end:]]


def _row(children: Sequence[Child], act: str, value: str, spoken: str) -> html.Button:
    return html.Button(
        list(children),
        type="button",
        role="option",
        className="hit",
        **{"data-act": act, "data-value": value, "aria-label": spoken, "aria-selected": "false"},
    )


def _class_row(query: str, hit: Mapping[str, Any]) -> html.Button:
    here = f"{words.plural(hit['count'], 'cell')} here" if hit["count"] else "not here"
    children = [
        swatch(hit["colour"]),
        html.Span(marked(hit["name"], query), className="cut"),
        html.Span(hit["parent"] or "", className="t3 s cut"),
        html.Span(here, className="t3 s num end nowrap"),
    ]
    return _row(children, "find", f"{hit['layer']}|{hit['code']}", f"{hit['name']}, {here}")


def _gene_row(query: str, hit: Mapping[str, Any]) -> html.Button:
    symbol = hit["symbol"]
    kind = "measured" if hit["measured"] else "imputed" if hit["imputed"] else ""
    tags = [tag(*words.KIND_TAGS[k]) for k in ("measured", "imputed") if hit[k]]
    trust = hit["trust"]
    note = f"r {trust:.2f}" if trust is not None and hit["imputed"] else ""
    if not kind:
        tags, note = [tag("Not here")], ""
    children = [
        icon("gene"),
        html.I(marked(symbol, query)),
        html.Span(hit.get("ensembl") or "", className="t3 xs cut"),
        html.Span(tags, className="row end tags"),
        html.Span(note.replace("-", "\u2212"), className="t3 s num rfig"),
    ]
    return _row(children, "find-gene", f"{kind or 'measured'}:{symbol}", f"{symbol}, {kind} {note}")


def _nothing(query: str, nearest: Sequence[str]) -> html.Div:
    text = f"Nothing is called \u201c{query}\u201d in this atlas."
    offers: list[Child] = [
        html.Button(
            name,
            type="button",
            className="btn sm hit",
            role="option",
            **{"data-act": "retype", "data-value": name},
        )
        for name in nearest
    ]
    lead = html.P("Nearest spellings", className="xs t3") if offers else None
    return html.Div([html.P(text), lead, html.Div(offers, className="row wrap")], className="none")
