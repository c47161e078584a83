"""Interactions drawn: types by types, a volcano of gene pairs, and their network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from explorer.plots import INK, styled

Rows = Sequence[Mapping[str, Any]]
#: Blue, clear, orange, as for contacts: told apart by colour-blind eyes.
LESS, MORE = "#2b6cb0", "#c2571a"
DIVERGING = [[0, LESS], [0.5, "rgba(140,150,160,0.10)"], [1, MORE]]
#: Smallest q that is drawn; smaller ones lie on this line.
LEAST_Q = 1e-12
#: Gene pairs of the network, and of those that are named in the volcano.
MOST_EDGES, NAMED = 40, 8
#: Points of a group that are drawn, the farthest from no effect; the legend counts all.
MOST_POINTS = 1500


def height_of(types: Sequence[Any]) -> int:
    """Return the height at which each type of a matrix has a line for its name, pixels."""
    return 170 + 15 * len(types)


def matrix_figure(found: Mapping[str, Any]) -> go.Figure:
    """Return predicted co-localisation of types by types; rows are the query's side.

    Parameters
    ----------
    found : mapping
        ``types`` (list of names), ``matrix`` (k x k, mean predicted log-odds, None where there
        is no pair) and ``observed`` (k x k log-odds of real neighbours, or absent).
    """
    names = list(found["types"])
    z = np.array([[np.nan if v is None else v for v in row] for row in found["matrix"]], float)
    limit = max(float(np.nanpercentile(np.abs(z), 98)) if np.isfinite(z).any() else 1.0, 0.1)
    said = [[_cell_said(found, i, j) for j in range(len(names))] for i in range(len(names))]
    figure = go.Figure(
        go.Heatmap(
            z=z,
            x=names,
            y=names,
            customdata=said,
            hovertemplate="%{customdata}<extra></extra>",
            colorscale=DIVERGING,
            zmin=-limit,
            zmax=limit,
            xgap=1,
            ygap=1,
            colorbar={
                "title": {"text": "Predicted log-odds", "side": "right", "font": {"size": 12}},
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


def _cell_said(found: Mapping[str, Any], i: int, j: int) -> str:
    names, value = found["types"], found["matrix"][i][j]
    lines = [f"<b>{names[i]}, {names[j]}</b>"]
    lines.append("no pair of cells" if value is None else f"predicted {value:+.2f}")
    observed = found.get("observed")
    if observed and observed[i][j] is not None:
        lines.append(f"observed {observed[i][j]:+.2f}")
    return "<br>".join(lines)


def volcano_figure(rows: Rows, rate: float, chosen: tuple[str, str] | None = None) -> go.Figure:
    """Return effect against -log10 q of every gene pair; flagged pairs are hollow.

    Parameters
    ----------
    rows : sequence of mapping
        ``gene_a``, ``gene_b``, ``effect``, ``q``, ``flags`` (list of words).
    rate : float
        False discovery rate, drawn as a line.
    chosen : (gene, gene), optional
        Carries a ring.
    """
    figure = go.Figure()
    for name, colour, symbol, own in _groups(rows, rate):
        drawn = sorted(own, key=lambda r: -abs(r["z"]))[:MOST_POINTS]
        figure.add_trace(
            go.Scatter(
                x=[r["effect"] for r in drawn],
                y=[height(r["q"]) for r in drawn],
                mode="markers",
                name=f"{name} ({len(own):,})",
                marker={"color": colour, "symbol": symbol, "size": 7, "opacity": 0.85},
                customdata=[[f"{r['gene_a']}~{r['gene_b']}", pair_words(r)] for r in drawn],
                hovertemplate="%{customdata[1]}<extra></extra>",
            )
        )
    called = sorted((r for r in rows if r["q"] < rate), key=lambda r: r["q"])[:NAMED]
    for r in called:
        figure.add_annotation(
            x=r["effect"], y=height(r["q"]), text=f"{r['gene_a']}·{r['gene_b']}",
            showarrow=False, yshift=10, font={"size": 10, "color": INK},
        )  # fmt: skip
    ring = next((r for r in rows if (r["gene_a"], r["gene_b"]) == chosen), None)
    if ring is not None:
        figure.add_trace(
            go.Scatter(
                x=[ring["effect"]], y=[height(ring["q"])], mode="markers", showlegend=False,
                hoverinfo="skip",
                marker={"size": 15, "color": "rgba(0,0,0,0)", "line": {"width": 2, "color": INK}},
            )
        )  # fmt: skip
    figure.add_hline(y=height(rate), line={"color": INK, "dash": "dot", "width": 1})
    return styled(figure, "Pair effect (standardised)", "−log₁₀ q")


def height(q: float) -> float:
    """Return -log10 q; q of 0 lies at the top."""
    return float(-np.log10(max(q, LEAST_Q)))


def _groups(rows: Rows, rate: float) -> list[tuple[str, str, str, list[Mapping[str, Any]]]]:
    """Return name, colour, symbol and rows of each group that has any."""
    called = [r for r in rows if r["q"] < rate]
    clean = [r for r in called if not r["flags"]]
    groups = [
        ("Not called", "rgba(123,135,148,0.45)", "circle", [r for r in rows if r["q"] >= rate]),
        ("More than chance", MORE, "circle", [r for r in clean if r["effect"] > 0]),
        ("Less than chance", LESS, "circle", [r for r in clean if r["effect"] <= 0]),
        ("Called, with a warning", "#c98a1a", "diamond-open", [r for r in called if r["flags"]]),
    ]
    return [g for g in groups if g[3]]


def pair_words(row: Mapping[str, Any]) -> str:
    """Return what is known of a gene pair in lines for a hover."""
    lines = [f"<b>{row['gene_a']}, {row['gene_b']}</b>"]
    lines.append(f"effect {row['effect']:+.3g}, z {row['z']:+.2f}, q {row['q']:.2g}")
    if row["is_ligand_receptor"]:
        lines.append("ligand and receptor in the table")
    return "<br>".join(lines + list(row["flags"]))


def network_figure(rows: Rows, a: str, b: str, rate: float) -> go.Figure:
    """Return the called gene pairs as lines between genes of two types, strongest first."""
    called = sorted((r for r in rows if r["q"] < rate), key=lambda r: r["q"])[:MOST_EDGES]
    left = list(dict.fromkeys(r["gene_a"] for r in called))
    right = list(dict.fromkeys(r["gene_b"] for r in called))
    at_a = {g: _spread(i, len(left)) for i, g in enumerate(left)}
    at_b = {g: _spread(i, len(right)) for i, g in enumerate(right)}
    figure = go.Figure()
    for r in called:
        figure.add_trace(_edge(r, at_a[r["gene_a"]], at_b[r["gene_b"]]))
    for x, names, at, side, title in (
        (0.0, left, at_a, "middle left", a),
        (1.0, right, at_b, "middle right", b),
    ):
        figure.add_trace(
            go.Scatter(
                x=[x] * len(names),
                y=[at[n] for n in names],
                mode="markers+text",
                text=[f"<i>{n}</i>" for n in names],
                textposition=side,
                textfont={"size": 11},
                marker={"size": 9, "color": INK},
                hovertemplate=f"%{{text}} in {title}<extra></extra>",
                showlegend=False,
            )
        )
        figure.add_annotation(x=x, y=1.08, text=f"<b>{title}</b>", showarrow=False)
    styled(figure)
    figure.update_xaxes(visible=False, range=[-0.45, 1.45])
    figure.update_yaxes(visible=False, range=[-0.06, 1.14])
    return figure


def _spread(i: int, n: int) -> float:
    return 1.0 - (i + 0.5) / max(n, 1)


def _edge(row: Mapping[str, Any], y0: float, y1: float) -> go.Scatter:
    """Return one line; broken where the pair carries a warning."""
    line = {
        "color": MORE if row["effect"] > 0 else LESS,
        "width": 1.0 + min(height(row["q"]) / 3, 4.0),
        "dash": "dot" if row["flags"] else "solid",
    }
    return go.Scatter(
        x=[0.0, 0.5, 1.0],
        y=[y0, (y0 + y1) / 2, y1],
        mode="lines",
        line=line,
        customdata=[[f"{row['gene_a']}~{row['gene_b']}", pair_words(row)]] * 3,
        hovertemplate="%{customdata[1]}<extra></extra>",
        showlegend=False,
    )
