"""Contacts drawn: a matrix and a network of types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from explorer.contact_state import MEASURES, ContactsAt, greatest, value_of
from explorer.plots import INK, styled

#: Blue, clear, orange: told apart by colour-blind eyes, and the middle is the ground of the theme.
AVOIDS, ATTRACTS = "#2b6cb0", "#c2571a"
DIVERGING = [[0, AVOIDS], [0.5, "rgba(140,150,160,0.10)"], [1, ATTRACTS]]

#: Networks of at most so many types name all of them, larger ones those that are joined.
FEW = 14


def height_of(pairs: Sequence[Mapping[str, Any]]) -> int:
    """Return the height at which each type of a matrix has a line for its name, pixels."""
    return 190 + 13 * len({p["a"] for p in pairs} | {p["b"] for p in pairs})


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
