"""The shell: top bar, three columns, help; it places the views and knows nothing of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dash import html

from explorer import ids, tools, words
from explorer.components import button, icon_button, tag
from explorer.icons import icon
from explorer.views import colour, jobs, link, map, query, search, sections, selection

if TYPE_CHECKING:
    from backend.service import Backend

KEYS = (
    ("/", "search"),
    ("+  \u2212  0", "zoom in, out, fit"),
    (",  .", "previous, next section"),
    ("I", "measured or imputed"),
    ("F", "fade uncertain imputed values"),
    ("L", "lasso"),
    ("U", "annotate my section"),
    ("S", "copy link"),
    ("[  ]  D", "fold left, right, dock"),
    ("T", "light or dark"),
    ("Ctrl Z", "undo a change of view"),
    ("?", "this help"),
    ("Esc", "back one level"),
)


def page(backend: Backend) -> html.Div:
    """Return the whole page."""
    info = backend.atlas_info()
    opener, card = jobs.layout(backend)
    head, dock = sections.layout(backend)
    centre = html.Main(
        [head, map.layout(backend), dock, tools.panel(tools.TOOLS, backend)],
        className="centre",
        **{"aria-label": "Map"},
    )
    right = html.Aside(
        [selection.layout(backend), query.layout(backend)],
        className="right",
        id=ids.RIGHT,
        **{"aria-label": "What you see"},
    )
    return html.Div(
        [
            html.A("Skip to the map", href="#map-atlas", className="skip"),
            link.layout(backend),
            html.Div(
                [_top(backend, info, opener), colour.layout(backend), centre, right, card],
                className="app",
                id="app",
            ),
            _help(),
            html.Div(id=ids.STATUS, className="toast", role="status", **{"aria-live": "polite"}),
        ]
    )


def _top(backend: Backend, info: dict[str, Any], opener: html.Button) -> html.Header:
    brand = html.Div(
        [icon("mark", "mark"), html.H1(info["name"], className="nm cut", title=info["name"])],
        className="brand",
    )
    facts = ", ".join(
        [
            words.plural(info["n_cells"], "cell"),
            words.plural(info["n_sections"], "section"),
            f"version {info['version']}",
        ]
    )
    meta = html.Span(
        [
            html.Span(facts, className="facts", title=facts),
            tag("Simulated", "warn") if info["simulated"] else None,
        ],
        className="meta num row",
    )
    acts = html.Div(
        [
            opener,
            tools.menu(tools.TOOLS),
            button("Copy link", "copy-link", glyph="link", kind="ghost", title="Copy link (S)"),
            button("Copy as code", "take", "python", glyph="code", kind="ghost", title="Copy code"),
            html.Span(className="bar"),
            icon_button("moon", "Light or dark (T)", "theme", kind="themeb"),
            icon_button("help", "Help and keys (?)", "help"),
        ],
        className="acts",
    )
    return html.Header([brand, search.layout(backend), meta, acts], className="top")


def _help() -> html.Dialog:
    rows = [html.Tr([html.Td(html.Kbd(keys)), html.Td(act)]) for keys, act in KEYS]
    return html.Dialog(
        [
            html.Div(
                [html.H2("Keys and reading"), icon_button("x", "Close (Esc)", "help", kind="sm")],
                className="row between",
            ),
            html.Div(
                [
                    html.Table(html.Tbody(rows)),
                    html.Div(
                        [
                            html.P(
                                [
                                    tag("Measured", "mea"),
                                    " was observed. ",
                                    tag("Imputed", "imp"),
                                    " was computed: a dashed outline means "
                                    "\u201cnot observed\u201d, everywhere.",
                                ]
                            ),
                            html.P(
                                "Trust belongs to a layer: its held-out figure beside a plain "
                                "baseline. Confidence belongs to a cell."
                            ),
                            html.P(
                                "The address is the state: copy it, and whoever opens it sees the "
                                "same view. Single keys act only when no field has the focus."
                            ),
                        ],
                        className="helptext t2",
                    ),
                ],
                className="helpgrid",
            ),
        ],
        id="help",
        className="help card",
        **{"aria-label": "Help"},
    )
