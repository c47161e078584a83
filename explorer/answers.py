"""Answers about a whole atlas on screen: one sentence, bars, a table. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from dash import html

from backend.core.layers import Trust
from explorer import figures, plots, words
from explorer.components import Child, bar, note, swatch, tag

#: Rows of a table on screen, bars of a figure, and classes with a colour of their own in it.
ROWS, BARS, PARTS = 40, 24, 10
#: Colour of what the figure lumps together.
REST = "#9aa3ad"

Found = Mapping[str, Any]


def gene_answer(found: Found) -> list[Child]:
    """Return where a gene is highest.

    Parameters
    ----------
    found : mapping
        As ``Backend.gene_means`` returns it.
    """
    entries = found["entries"]
    by = str(found["by"]).removeprefix("label:")
    if not entries:
        return [note(f"No {by} has cells with a value of {found['gene']}.")]
    whole = "" if found["mean"] is None else f" Over all the mean is {words.mean(found['mean'])}."
    said = (
        f"Highest in {entries[0]['name']}: {words.mean(entries[0]['mean'])} on average of "
        f"{words.plural(entries[0]['n'], 'cell')}.{whole}"
    )
    head = _head(html.I(found["gene"]), str(found["kind"]), said, str(found["unit"]))
    parts = [f"{words.plural(o['n_sections'], 'section')} {o['why']}" for o in found["left_out"]]
    rest = html.P(f"Not included: {', '.join(parts)}.", className="s t3") if parts else None
    most = max(max(e["mean"] for e in entries), 1e-9)
    rows = [
        _row(
            _place_button(e, found["by"]),
            bar(e["mean"] / most, e.get("colour") or "var(--bar)"),
            _num(words.mean(e["mean"]) + ("" if e.get("comparable", True) else f" ({e['unit']})")),
            _num(words.count(e["n"]) + (" (few)" if e["n"] < found["few"] else "")),
        )
        for e in entries[:ROWS]
    ]
    columns = (by.capitalize(), "", "Mean", "Cells")
    return [head, _trust(found["trust"], found["kind"]), rest, _table(columns, rows, len(entries))]


def class_answer(found: Found) -> list[Child]:
    """Return the genes that are highest in a class beside the atlas.

    Parameters
    ----------
    found : mapping
        As ``Backend.top_genes`` returns it.
    """
    genes = found["genes"]
    if not genes:
        return [note(f"No gene is imputed higher in {found['name']} than in the atlas.")]
    said = (
        f"{words.plural(found['n'], 'embedded cell')} in "
        f"{words.plural(found['n_sections'], 'section')}, against the {found['against']}; "
        f"{words.count(found['n_genes'])} genes compared."
    )
    title = html.Span([swatch(found["colour"]), html.Span(found["name"])], className="row tight")
    head = _head(title, "imputed", said, str(found["unit"]))
    most = max(g["difference"] for g in genes)
    rows = [
        _row(
            _link(
                html.I(g["gene"]),
                f"Show {g['gene']}, imputed, on the map",
                {"layer": f"imputed:{g['gene']}"},
            ),
            bar(g["difference"] / most, found["colour"]),
            _num(words.mean(g["mean"])),
            _num(words.mean(g["atlas_mean"])),
            _num(words.signed(g["difference"])),
            _num("not tested" if g["trust"] is None else f"{g['trust']:.2f}"),
        )
        for g in genes[:ROWS]
    ]
    columns = ("Gene", "", "Mean here", "Mean of atlas", "Difference", "Held-out r")
    return [head, _table(columns, rows, len(genes))]


def sections_answer(found: Found, code: int) -> list[Child]:
    """Return the composition of sections, sorted by a class where one is chosen.

    Parameters
    ----------
    found : mapping
        As ``Backend.compositions`` returns it.
    code : int
        Class to sort by; -1 leaves the sections in their order.
    """
    names, colours = ([c[k] for c in found["classes"]] for k in ("name", "colour"))
    sections = [s for s in found["sections"] if sum(s["counts"])]
    if code >= 0:
        sections = sorted(sections, key=lambda s: -_share(s, code))
    said = f"{words.plural(len(sections), 'section')} with this label, {len(names)} classes. "
    if code >= 0 and sections:
        share = words.percent(_share(sections[0], code), 1)
        said += f"Most {names[code]}: {share} of {sections[0]['name']}."
    head = _head(str(found["title"]), "label", said, "share of the cells that have the label")
    rows = [_section_row(s, names, colours, code) for s in sections[:ROWS]]
    columns = ("Section", "", *([names[code]] if code >= 0 else []), "Cells", "Commonest")
    return [head, _table(columns, rows, len(sections), text_at=len(columns) - 1)]


def _section_row(
    section: Found, names: Sequence[str], colours: Sequence[str], code: int
) -> html.Tr:
    total = sum(section["counts"])
    ranked = sorted(zip(section["counts"], section["codes"], strict=True), reverse=True)
    parts = [
        html.I(
            style={"width": f"{100 * n / total:.2f}%", "background": colours[c]},
            title=f"{names[c]}, {words.percent(n, total)}",
        )
        for n, c in ranked[:PARTS]
    ]
    first = ", ".join(f"{names[c]} {words.percent(n, total)}" for n, c in ranked[:2])
    return _row(
        _link(section["name"], f"Open {section['name']}", {"section": section["id"]}),
        html.Span(parts, className="stack"),
        *([_num(words.percent(_share(section, code), 1))] if code >= 0 else []),
        _num(words.count(section["n"])),
        html.Td(first, className="s t2 cut", title=first),
    )


def bars_figure(found: Found) -> go.Figure:
    """Return the highest entries of a gene or class answer as horizontal bars."""
    if "entries" in found:
        rows = found["entries"][:BARS]
        names, values = [e["name"] for e in rows], [e["mean"] for e in rows]
        colours = [e.get("colour") or "#3377be" for e in rows]
        unit = f"mean, {found['unit']}"
    else:
        rows = found["genes"][:BARS]
        names, values = [g["gene"] for g in rows], [g["difference"] for g in rows]
        colours, unit = [found["colour"]] * len(rows), "mean here less mean of the atlas"
        unit = f"{unit}, {found['unit']}"
    places = list(range(len(rows)))
    trace = go.Bar(x=values, y=places, orientation="h", marker_color=colours, customdata=names,
                   hovertemplate="%{customdata}: %{x:.3g}<extra></extra>")  # fmt: skip
    return _upright(go.Figure(trace), names, unit)


def parts_figure(found: Found, code: int) -> go.Figure:
    """Return the composition of the first sections as stacked bars: commonest classes, the rest."""
    sections = [s for s in found["sections"] if sum(s["counts"])]
    if code >= 0:
        sections = sorted(sections, key=lambda s: -_share(s, code))
    sections = sections[:BARS]
    ranked = sorted(found["classes"], key=lambda c: -c["count"])
    chosen = [c for c in ranked if c["code"] == code] + [c for c in ranked if c["code"] != code]
    figure = go.Figure(layout={"barmode": "stack", "showlegend": True})
    names, places = [s["name"] for s in sections], list(range(len(sections)))
    for c in chosen[:PARTS]:
        shares = [100 * _share(s, c["code"]) for s in sections]
        figure.add_bar(x=shares, y=places, orientation="h", name=c["name"], customdata=names,
                       marker_color=c["colour"],
                       hovertemplate="%{customdata}: %{x:.1f} %")  # fmt: skip
    kept = {c["code"] for c in chosen[:PARTS]}
    rest = [100 * (1 - sum(_share(s, k) for k in kept)) for s in sections]
    if max(rest, default=0) > 0.05:
        figure.add_bar(x=rest, y=places, orientation="h", name="All others", marker_color=REST,
                       customdata=names, hovertemplate="%{customdata}: %{x:.1f} %")  # fmt: skip
    return _upright(figure, names, "share of labelled cells, %")


def _upright(figure: go.Figure, names: Sequence[str], unit: str) -> go.Figure:
    """Return a figure of bars with their names on the left, the first one at the top."""
    styled = plots.styled(figure, unit)
    short = [f"{name[:27]}…" if len(name) > 28 else name for name in names]
    styled.update_yaxes(
        tickvals=list(range(len(names))), ticktext=short, autorange="reversed", showgrid=False
    )
    side = {"orientation": "v", "x": 1.02, "xanchor": "left", "y": 1, "yanchor": "top"}
    styled.update_layout(bargap=0.25, legend=side, height=72 + 22 * max(len(names), 5))
    return styled


def _share(section: Found, code: int) -> float:
    total = sum(section["counts"])
    counts = dict(zip(section["codes"], section["counts"], strict=True))
    return float(counts.get(code, 0) / total) if total else 0.0


def _head(title: Child, kind: str, said: str, unit: str) -> html.Div:
    first = html.Div([html.H3(title), tag(*words.KIND_TAGS[kind])], className="row")
    text = html.P(said, className="s", role="status")
    return html.Div(
        [first, text, html.P(f"Unit: {unit}.", className="s t3")], className="answerhead"
    )


def _trust(trust: Mapping[str, Any] | None, kind: str) -> Child:
    if kind != "imputed":
        return None
    fields = {name: trust[name] for name in Trust._fields} if trust else None
    return figures.trust_badge(Trust(**fields) if fields else None, kind)


def _place_button(entry: Found, by: str) -> html.Button:
    """Return the name of a section or class that leads there on the map."""
    if "id" in entry:
        return _link(entry["name"], f"Open {entry['name']}", {"section": entry["id"]})
    order = {"layer": by, "only": [entry["code"]]}
    name = [swatch(entry["colour"]), html.Span(entry["name"], className="cut")]
    return _link(
        html.Span(name, className="row tight"), f"Isolate {entry['name']} on the map", order
    )


def _link(children: Child, title: str, order: Mapping[str, Any]) -> html.Button:
    acts = {"data-act": "steer", "data-value": json.dumps(dict(order))}
    return html.Button(children, type="button", className="textlink cut", title=title, **acts)


def _row(first: Child, second: Child, *cells: html.Td) -> html.Tr:
    return html.Tr([html.Th(first, scope="row"), html.Td(second, className="barcell"), *cells])


def _num(text: str) -> html.Td:
    return html.Td(text, className="num")


def _table(
    columns: Sequence[str], rows: Sequence[html.Tr], total: int, text_at: int = 0
) -> html.Div:
    """Return a table; all but the first column and that of text hold numbers."""
    heads = [
        html.Th(c, scope="col", className="" if i in (0, text_at) else "r")
        for i, c in enumerate(columns)
    ]
    more = f"First {len(rows)} of {words.count(total)}; the CSV has all." if total > ROWS else ""
    return html.Div(
        [
            html.Table([html.Thead(html.Tr(heads)), html.Tbody(list(rows))], className="answers"),
            html.P(more, className="s t3") if more else None,
        ]
    )
