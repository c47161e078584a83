"""Gene panels drawn: held-out accuracy by size beside other ways, and the table of genes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from dash import html

from explorer import words
from explorer.components import Child, bar, tag
from explorer.plots import INK, styled

#: Colour and dash of each way: no two differ by colour alone.
STYLES = {
    "embedding": ("#c2571a", "solid", "circle"),
    "greedy": ("#2b6cb0", "dash", "square"),
    "markers": ("#0f7a63", "dashdot", "diamond"),
    "modules": ("#8a5aa8", "dot", "triangle-up"),
    "variable": ("#a07a1a", "longdash", "triangle-down"),
    "random": (INK, "dot", "x"),
}
#: A held-out r from which imputation of a gene is fair, and strong.
FAIR, STRONG = 0.2, 0.5


def curve_figure(found: Mapping[str, Any], label: str) -> go.Figure:
    """Return accuracy on held-out cells against the number of genes, one line per way."""
    figure = go.Figure()
    rows = [r for r in found["curve"] if r["label"] == label and r["accuracy"] is not None]
    for way, title in found["ways"].items():
        own = [r for r in rows if r["way"] == way]
        colour, dash, symbol = STYLES[way]
        chosen = way == found["params"]["way"]
        spread = [r["sd"] for r in own]
        figure.add_trace(
            go.Scatter(
                x=[r["n"] for r in own],
                y=[100 * r["accuracy"] for r in own],
                error_y={"type": "data", "array": [100 * s for s in spread], "thickness": 1}
                if own and all(s is not None for s in spread)
                else None,
                mode="lines+markers",
                name=title + (" (this panel)" if chosen else ""),
                line={"color": colour, "dash": dash, "width": 3 if chosen else 1.5},
                marker={"symbol": symbol, "size": 8 if chosen else 6},
                hovertemplate="%{y:.1f} % with %{x} genes<extra>" + title + "</extra>",
            )
        )
    every = next((r for r in rows if r["way"] == "all"), None)
    if every is not None:
        text = f"all {found['n_candidates']} candidates"
        figure.add_hline(
            100 * every["accuracy"], line={"color": INK, "width": 1, "dash": "dot"},
            annotation={"text": text, "font": {"size": 11}}, annotation_position="top left",
        )  # fmt: skip
    styled(figure, "Genes in the panel", f"Held-out cells right, {label}, %")
    # Room for the words above the line of all candidates.
    figure.update_yaxes(title_font={"size": 12}, autorangeoptions={"include": 107})
    figure.update_xaxes(title_font={"size": 12})
    figure.update_xaxes(type="log", tickvals=found["sizes"], ticktext=found["sizes"])
    figure.update_layout(legend={"orientation": "v", "x": 1.02, "y": 1, "yanchor": "top"})
    return figure


def gene_table(found: Mapping[str, Any]) -> list[Child]:
    """Return the genes in the order in which they were chosen; a click shows one on the map."""
    heads = (
        ("Gene", "A click shows it on the map"),
        ("Module", "By its most central genes"),
        ("Highest in", "Class with the highest mean"),
        ("Says", "Part of the gene's variance that lies between classes"),
        ("Seen in", "Share of cells with a count"),
        ("Nearest chosen", "Cosine of gene embeddings, of those chosen before"),
        ("Imputation", "Held-out r where the gene was hidden"),
    )
    head = html.Tr([html.Th(word, title=title) for word, title in heads])
    hubs = {m["module"]: m["hubs"] for m in found["modules"]}
    body = [_gene_row(row, hubs) for row in found["genes"]]
    return [html.Table([html.Thead(head), html.Tbody(body)])]


def _gene_row(row: Mapping[str, Any], hubs: Mapping[int, Sequence[str]]) -> html.Tr:
    name = html.Button(
        html.I(row["gene"]),
        className="linkish",
        type="button",
        title=row["why"],
        **{"data-act": "layer", "data-value": f"measured:{row['gene']}"},
    )
    near = "" if row["nearest"] is None else f"{row['nearest']} {_cosine(row)}"
    cells: list[Child] = [
        html.Span(
            [html.Span(f"{row['rank']}", className="t3 num rank"), name]
            + ([tag("Asked for")] if row["forced"] else []),
            className="row tight",
        ),
        html.Span(f"{row['module']}: {', '.join(hubs[row['module']])}", className="cut"),
        row["highest_in"],
        html.Span([bar(row["share"], "var(--accent)"), f"{100 * row['share']:.0f} %"],
                  className="row tight barcell"),
        words.percent(row["detection"], 1),
        near,
        r_tag(row["held_out_r"]),
    ]  # fmt: skip
    return html.Tr([html.Td(c) for c in cells])


def _cosine(row: Mapping[str, Any]) -> str:
    return words.fixed(row["similarity"], 2)


def r_tag(r: float | None) -> html.Span:
    """Return the badge of a gene's held-out r."""
    if r is None:
        return tag("not tested")
    kind = "ok" if r >= STRONG else "" if r >= FAIR else "warn"
    return tag(f"r {words.number(round(r, 2))}", kind)


def module_line(found: Mapping[str, Any]) -> str:
    """Return over how many modules the panel spreads."""
    used = [m for m in found["modules"] if m["n_chosen"]]
    return (
        f"The panel takes genes of {len(used)} of {len(found['modules'])} modules of the gene "
        "embedding."
    )
