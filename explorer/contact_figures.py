"""Contacts drawn: the state of the tool, a matrix and a network of types, tables of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from dash import html

from explorer import words
from explorer.components import Child, button, tag
from explorer.plots import INK, styled

PICTURES = ("matrix", "network")
MEASURES = {"z": "z (SD of shifts)", "fold": "log₂ fold (observed / expected)"}
#: Blue, clear, orange: told apart by colour-blind eyes, and the middle is the ground of the theme.
AVOIDS, ATTRACTS = "#2b6cb0", "#c2571a"
DIVERGING = [[0, AVOIDS], [0.5, "rgba(140,150,160,0.10)"], [1, ATTRACTS]]
#: Rows of a table that are drawn; the file holds all.
MOST_ROWS = 60
#: Networks of at most so many types name all of them, larger ones those that are joined.
FEW = 14
TAGS = {"attraction": "warn", "avoidance": "", "": ""}


@dataclass(frozen=True, slots=True)
class ContactsAt:
    """State of the tool in a link: a job, and what of its result is shown."""

    job: str = ""
    region: int = 0
    picture: str = PICTURES[0]
    measure: str = "z"
    limit: float = 0.0
    pair: tuple[int, int] | None = None


def parse_at(using: str) -> ContactsAt:
    """Return the state of a link; what cannot be read is left at its default."""
    job, *parts = using.split(",")
    given = dict(part.partition("=")[::2] for part in parts)
    pair = [int(n) for n in given.get("pair", "").split(".") if n.isdecimal()]
    limit = given.get("limit", "")
    return ContactsAt(
        job,
        int(given["region"]) if given.get("region", "").isdecimal() else 0,
        given.get("show", "") if given.get("show") in PICTURES else PICTURES[0],
        given.get("by", "") if given.get("by") in MEASURES else "z",
        float(limit) if limit.replace(".", "", 1).isdecimal() else 0.0,
        (pair[0], pair[1]) if len(pair) == 2 else None,
    )


def write_at(at: ContactsAt) -> str:
    """Return the state as a link holds it; undoes ``parse_at``."""
    plain = ContactsAt()
    parts = [
        at.job,
        f"region={at.region}" if at.region != plain.region else "",
        f"show={at.picture}" if at.picture != plain.picture else "",
        f"by={at.measure}" if at.measure != plain.measure else "",
        f"limit={at.limit:g}" if at.limit else "",
        f"pair={at.pair[0]}.{at.pair[1]}" if at.pair else "",
    ]
    return ",".join(part for k, part in enumerate(parts) if part or not k)


def region_of(found: Mapping[str, Any], at: ContactsAt) -> Mapping[str, Any]:
    """Return the region that is shown: the first where the link names none there is."""
    regions: Sequence[Mapping[str, Any]] = found["regions"]
    return regions[at.region] if at.region < len(regions) else regions[0]


def pairs_of(found: Mapping[str, Any], at: ContactsAt) -> list[Mapping[str, Any]]:
    """Return the pairs of the region that is shown."""
    name = region_of(found, at)["name"]
    return [p for p in found["pairs"] if p["region"] == name]


def value_of(pair: Mapping[str, Any], measure: str) -> float:
    """Return what a pair is coloured by."""
    return float(pair["z"] if measure == "z" else pair["log2_fold"])


def greatest(pairs: Sequence[Mapping[str, Any]], measure: str) -> float:
    """Return the end of the colour range: the 95th percentile of the absolute values."""
    sizes = [abs(value_of(p, measure)) for p in pairs]
    return max(round(float(np.percentile(sizes, 95)), 1), 0.5) if sizes else 1.0


def matrix_figure(pairs: Sequence[Mapping[str, Any]], at: ContactsAt) -> go.Figure:
    """Return types by types, coloured by z or fold; called pairs carry a dot."""
    names = {p["a"]: p["name_a"] for p in pairs} | {p["b"]: p["name_b"] for p in pairs}
    codes = sorted(names)
    place = {code: i for i, code in enumerate(codes)}
    k = len(codes)
    colour, said = np.full((k, k), np.nan), np.full((k, k), "", object)
    dots, about = said.copy(), np.full((k, k), "", object)
    for p in pairs:
        for i, j in ((place[p["a"]], place[p["b"]]), (place[p["b"]], place[p["a"]])):
            colour[i, j], dots[i, j] = value_of(p, at.measure), "●" if p["call"] else ""
            about[i, j] = f"{p['a']}.{p['b']}"
            said[i, j] = pair_words(p)
    limit = at.limit or greatest(pairs, at.measure)
    titles = [names[c] for c in codes]
    figure = go.Figure(
        go.Heatmap(
            z=colour,
            x=titles,
            y=titles,
            text=dots,
            texttemplate="%{text}",
            textfont={"size": 9},
            customdata=np.dstack([about, said]),
            hovertemplate="%{customdata[1]}<extra></extra>",
            colorscale=DIVERGING,
            zmin=-limit,
            zmax=limit,
            xgap=1,
            ygap=1,
            colorbar={
                "title": {"text": MEASURES[at.measure], "side": "right", "font": {"size": 12}},
                "thickness": 10,
                "outlinewidth": 0,
            },
        )
    )
    styled(figure)
    small = {"tickfont": {"size": 10}, "dtick": 1, "showgrid": False}
    figure.update_yaxes(**small, autorange="reversed")
    figure.update_xaxes(**small, tickangle=-50)
    return figure


def pair_words(pair: Mapping[str, Any]) -> str:
    """Return what is known of a pair in lines for a hover."""
    call = pair["call"] or "no difference called"
    return (
        f"<b>{pair['name_a']}, {pair['name_b']}</b><br>{call}<br>"
        f"{pair['contacts']:,} contacts, {pair['expected']:,.1f} expected<br>"
        f"{pair['fold']:.2f} fold, z {pair['z']:.1f}, q {pair['q']:.2g}"
    )


def network_figure(
    region: Mapping[str, Any],
    pairs: Sequence[Mapping[str, Any]],
    types: Sequence[Mapping[str, Any]],
    at: ContactsAt,
) -> go.Figure:
    """Return types as nodes, called attraction as full lines, avoidance as broken ones."""
    where = {n["code"]: (n["x"], n["y"]) for n in region["network"]}
    named = {t["code"]: t for t in types}
    cells = {p["a"]: p["n_a"] for p in pairs} | {p["b"]: p["n_b"] for p in pairs}
    figure = go.Figure()
    for p in pairs:
        if p["call"] and p["a"] != p["b"]:
            figure.add_trace(_edge(p, where))
    for call, colour, dash in (("attraction", ATTRACTS, "solid"), ("avoidance", AVOIDS, "dot")):
        line = {"color": colour, "width": 3, "dash": dash}
        figure.add_trace(go.Scatter(x=[None], y=[None], mode="lines", name=call, line=line))
    called = [p for p in pairs if p["call"] and p["a"] != p["b"]]
    middle = [np.mean([where[p["a"]], where[p["b"]]], axis=0) for p in called]
    figure.add_trace(
        go.Scatter(
            x=[m[0] for m in middle],
            y=[m[1] for m in middle],
            mode="markers",
            marker={"size": 12, "color": "rgba(0,0,0,0)"},
            customdata=[[f"{p['a']}.{p['b']}", pair_words(p)] for p in called],
            hovertemplate="%{customdata[1]}<extra></extra>",
            showlegend=False,
        )
    )
    own = {p["a"]: p for p in pairs if p["a"] == p["b"] and p["call"]}
    joined = {code for p in called for code in (p["a"], p["b"])}
    codes = [c for c in where if c in cells]
    largest = max((cells[c] for c in codes), default=1)
    figure.add_trace(
        go.Scatter(
            x=[where[c][0] for c in codes],
            y=[where[c][1] for c in codes],
            mode="markers+text",
            text=[named[c]["name"] if c in joined or len(codes) <= FEW else "" for c in codes],
            textfont={"size": 11},
            textposition="top center",
            marker={
                "size": [10 + 22 * float(np.sqrt(cells[c] / largest)) for c in codes],
                "color": [named[c]["colour"] for c in codes],
                "line": {
                    "width": [3 if c in own else 1 for c in codes],
                    "color": [_ring(own.get(c)) for c in codes],
                },
            },
            customdata=[[f"{c}.{c}", _node_words(named[c], cells[c], own.get(c))] for c in codes],
            hovertemplate="%{customdata[1]}<extra></extra>",
            showlegend=False,
        )
    )
    styled(figure)
    figure.update_xaxes(visible=False, range=[-0.12, 1.12])
    figure.update_yaxes(visible=False, range=[-0.1, 1.15])
    return figure


def _node_words(kind: Mapping[str, Any], n: int, own: Mapping[str, Any] | None) -> str:
    among = f"<br>among themselves: {own['call']}, {own['fold']:.2f} fold" if own else ""
    return f"<b>{kind['name']}</b><br>{n:,} cells{among}"


def _ring(own: Mapping[str, Any] | None) -> str:
    if own is None:
        return INK
    return ATTRACTS if own["call"] == "attraction" else AVOIDS


def _edge(pair: Mapping[str, Any], where: Mapping[int, tuple[float, float]]) -> go.Scatter:
    (x0, y0), (x1, y1) = where[pair["a"]], where[pair["b"]]
    attracts = pair["call"] == "attraction"
    return go.Scatter(
        x=[x0, x1],
        y=[y0, y1],
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        line={
            "color": ATTRACTS if attracts else AVOIDS,
            "width": 1 + min(5.0, 3 * abs(pair["log2_fold"])),
            "dash": "solid" if attracts else "dot",
        },
    )


def pair_table(pairs: Sequence[Mapping[str, Any]], at: ContactsAt) -> list[Child]:
    """Return the pairs by falling size of z, the called ones first; a click isolates a pair."""
    ranked = sorted(pairs, key=lambda p: (not p["call"], -abs(p["z"])))[:MOST_ROWS]
    heads = (
        ("Types", "A click shows the two alone on the map"),
        ("Call", "q below the rate, enough contacts, and animals agree"),
        ("Contacts", "Pairs of cells nearer than the radius"),
        ("Expected", "Mean over the shifts"),
        ("Fold", "Observed over expected"),
        ("z", "Observed minus expected, in standard deviations of the shifts"),
        ("q", "Benjamini-Hochberg over the pairs of the region"),
        ("Animals", "Animals on the side of the sum, of those with enough contacts"),
    )
    head = html.Tr([html.Th(word, title=title) for word, title in heads])
    parts: list[Child] = [
        html.Table([html.Thead(head), html.Tbody([_pair_row(p, at) for p in ranked])])
    ]
    if len(pairs) > len(ranked):
        parts.append(
            html.P(f"{len(pairs) - len(ranked)} more pairs are in the table.", className="t3 s")
        )
    return parts


def _pair_row(pair: Mapping[str, Any], at: ContactsAt) -> html.Tr:
    codes = (pair["a"], pair["b"])
    to = write_at(ContactsAt(at.job, at.region, at.picture, at.measure, at.limit, codes))
    name = html.Button(
        f"{pair['name_a']} · {pair['name_b']}",
        className="linkish",
        type="button",
        **{"data-act": "using", "data-value": to},
    )
    cells: list[Child] = [
        name,
        tag(pair["call"].capitalize(), TAGS[pair["call"]]) if pair["call"] else "",
        words.count(pair["contacts"]),
        words.number(pair["expected"]),
        f"{pair['fold']:.2f}",
        words.signed(pair["z"], 1),
        q_words(pair["q"]),
        f"{pair['n_agree']} of {pair['n_animals']}",
    ]
    return html.Tr([html.Td(c) for c in cells], className="sel" if at.pair == codes else "")


def q_words(q: float) -> str:
    """Return an adjusted p as it fits into a column."""
    return "<0.001" if q < 0.001 else f"{q:.3f}"


def ligand_table(found: Mapping[str, Any]) -> list[Child]:
    """Return the tests of ligands and receptors; those of weak genes are grey and say so."""
    rows = found["rows"][:MOST_ROWS]
    heads = (
        ("Ligand to receptor", "A click on a gene shows it on the map"),
        ("From, to", ""),
        ("Effect", "Cohen's d of cells that touch against cells that do not"),
        ("q", "Benjamini-Hochberg over both directions; bold where the two groups differ"),
        ("Cells", "Senders that touch, and that do not"),
        ("Random", "Share of random pairs of genes with as high a t"),
        ("Held-out r", "Of the least trusted gene on each side; measured genes need none"),
        ("Remarks", ""),
    )
    head = html.Tr([html.Th(word, title=title) for word, title in heads])
    body = [_ligand_row(row, found["values"]) for row in rows]
    parts: list[Child] = [html.Table([html.Thead(head), html.Tbody(body)])]
    if len(found["rows"]) > len(rows):
        left = len(found["rows"]) - len(rows)
        parts.append(html.P(f"{left:,} more tests are in the table.", className="t3 s"))
    return parts


def _ligand_row(row: Mapping[str, Any], kind: str) -> html.Tr:
    trust = [row["r_ligand"], row["r_receptor"]]
    known = "untested" if trust == [None, None] else ", ".join(_r_words(r) for r in trust)
    said = "measured" if kind == "measured" else known
    marks = [
        tag("Weak genes", "imp") if row["weak"] else None,
        tag("Spill-over?", "warn") if row["spill"] else None,
    ]
    cells: list[Child] = [
        [*_genes(row["ligand"], kind), " → ", *_genes(row["receptor"], kind)],
        f"{row['sender']}, {row['receiver']}",
        words.signed(row["effect"]),
        html.B(q_words(row["q"])) if row["significant"] else q_words(row["q"]),
        f"{row['n_touching']:,} / {row['n_apart']:,}",
        f"{100 * row['background']:.0f} %",
        said,
        html.Span([m for m in marks if m is not None], className="row tight"),
    ]
    return html.Tr([html.Td(c) for c in cells], className="faint" if row["weak"] else "")


def _r_words(r: float | None) -> str:
    return "untested" if r is None else words.number(round(r, 2))


def _genes(genes: Sequence[str], kind: str) -> list[Child]:
    parts: list[Child] = []
    for k, gene in enumerate(genes):
        parts += ["+"] if k else []
        parts.append(
            html.Button(
                html.I(gene),
                className="linkish",
                type="button",
                title=f"Show {gene} on the map, {kind}",
                **{"data-act": "layer", "data-value": f"{kind}:{gene}"},
            )
        )
    return parts


def takes(job: str, figure: str = "") -> html.Div:
    """Return what can be taken away: the table, all for programs, and the picture."""
    parts: list[Child] = [
        button("CSV", "take-result", f"{job}|csv", glyph="down", kind="sm"),
        button("JSON", "take-result", f"{job}|json", glyph="down", kind="sm"),
    ]
    if figure:
        parts += [
            button(word, "take-plot", f"{figure}|{word.lower()}", glyph="img", kind="sm")
            for word in ("PNG", "SVG")
        ]
    return html.Div(parts, className="row tight")
