"""Figures of factors: programs as bars, two programs compared, a stack of sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from explorer import plots

Figures = Mapping[str, Any]
#: Cells of a strip at most.
STRIP = 4_000
#: Genes of a comparison on either side.
COMPARED = 14


def compared(figures: Figures, a: int, b: int) -> go.Figure:
    """Return the genes that tell two programs apart, as log2 of their loadings' ratio."""
    one, two = figures["factors"][a], figures["factors"][b]
    rows: dict[str, list[float]] = {}
    for k, factor in enumerate((one, two)):
        for g in (*factor["specific"], *factor["large"]):
            rows.setdefault(g["gene"], [0.0, 0.0])[k] = g["loading"]
    floor = 1e-5
    ratio = {g: _log2(x + floor) - _log2(y + floor) for g, (x, y) in rows.items()}
    weight = {g: abs(ratio[g]) * max(x, y) for g, (x, y) in rows.items()}
    left = _strongest([g for g in rows if ratio[g] < 0], weight)
    right = _strongest([g for g in rows if ratio[g] > 0], weight)
    shown = sorted([*left, *right], key=lambda g: ratio[g])
    figure = go.Figure(
        go.Bar(
            x=[ratio[g] for g in shown],
            y=shown,
            orientation="h",
            marker={"color": [one["colour"] if ratio[g] > 0 else two["colour"] for g in shown]},
            hovertemplate="%{y}: log2 ratio %{x:.2f}<extra></extra>",
        )
    )
    plots.styled(figure, f"more in factor {two['name']}  |  more in factor {one['name']}, log2", "")
    figure.update_yaxes(tickfont={"size": 11}, dtick=1)
    _fixed(figure, shown)
    return figure


def _strongest(genes: Sequence[str], weight: Mapping[str, float]) -> list[str]:
    return sorted(genes, key=lambda g: -weight[g])[:COMPARED]


def _log2(value: float) -> float:
    import math

    return math.log2(value)


#: Letters of a name beside a bar, and pixels that a letter takes.
LETTERS, WIDE = 26, 6.6


def _named(figure: go.Figure, names: Sequence[str]) -> None:
    """Give bars their names in a margin of a fixed width: one that fits itself never settles."""
    short = [n if len(n) <= LETTERS else f"{n[: LETTERS - 1]}…" for n in names]
    figure.update_yaxes(tickvals=list(range(len(names))), ticktext=short)
    _fixed(figure, short)


def _fixed(figure: go.Figure, names: Sequence[str]) -> None:
    """Set margins that hold the names, instead of some that are measured again and again."""
    figure.update_xaxes(automargin=False)
    figure.update_yaxes(automargin=False, showgrid=False)
    left = 12 + WIDE * max((len(n) for n in names), default=0)
    figure.update_layout(margin={"l": left, "b": 44})


def usage_figure(figures: Figures, k: int) -> go.Figure:
    """Return the mean share of a factor in every section, hollow where it counts as absent."""
    factor = figures["factors"][k]
    titles = [s["title"] for s in figures["sections"]]
    fill = [factor["colour"] if p else "rgba(0,0,0,0)" for p in factor["present"]]
    figure = go.Figure(
        go.Bar(
            x=[100 * u for u in factor["usage"]],
            y=list(range(len(titles))),
            text=titles,
            textposition="none",
            orientation="h",
            marker={"color": fill, "line": {"color": factor["colour"], "width": 1.5}},
            customdata=["present" if p else "absent" for p in factor["present"]],
            hovertemplate="%{text}: %{x:.1f} % of counts, %{customdata}<extra></extra>",
        )
    )
    plots.styled(figure, "mean share of counts, %", "")
    _named(figure, titles)
    figure.update_yaxes(autorange="reversed")
    return figure


def domain_figure(figures: Figures, k: int) -> go.Figure:
    """Return the mean share of a factor in every domain."""
    factor, domains = figures["factors"][k], figures["domains"]
    figure = go.Figure(
        go.Bar(
            x=[100 * v for v in factor["by_domain"]],
            y=list(range(len(domains))),
            text=[d["name"] for d in domains],
            textposition="none",
            orientation="h",
            marker={"color": [d["colour"] for d in domains]},
            hovertemplate="%{text}: %{x:.1f} % of counts<extra></extra>",
        )
    )
    plots.styled(figure, "mean share of counts, %", "")
    _named(figure, [d["name"] for d in domains])
    figure.update_yaxes(autorange="reversed")
    return figure


def stack_figure(figures: Figures) -> go.Figure:
    """Return the sections over one another in common coordinates, coloured by domain."""
    stack, domains = figures["stack"], figures["domains"]
    figure = go.Figure()
    for code, domain in enumerate(domains):
        x, y, z, words = [], [], [], []
        for s, points in enumerate(stack["points"]):
            own = [i for i, d in enumerate(points["domain"]) if d == code]
            x += [points["x"][i] for i in own]
            y += [-points["y"][i] for i in own]
            z += [s * stack["apart"]] * len(own)
            words += [figures["sections"][s]["title"]] * len(own)
        if x:
            figure.add_trace(
                go.Scatter3d(
                    x=x, y=y, z=z, mode="markers", name=domain["name"], text=words,
                    marker={"size": 2.2, "color": domain["colour"], "opacity": 0.9},
                    hovertemplate="%{text}<extra>" + domain["name"] + "</extra>",
                )
            )  # fmt: skip
    plots.styled(figure)
    unit = "µm" if stack["unit"] == "um" else stack["unit"]
    axis = {"title": {"text": unit}, "gridcolor": plots.LINE, "showbackground": False}
    ticks = [s * stack["apart"] for s in range(len(figures["sections"]))]
    titles = [s["title"] for s in figures["sections"]]
    figure.update_layout(
        scene={
            "xaxis": axis, "yaxis": axis, "aspectmode": "data",
            "zaxis": {"title": {"text": ""}, "tickvals": ticks, "ticktext": titles,
                      "gridcolor": plots.LINE, "showbackground": False},
        },
        legend={"itemsizing": "constant"},
    )  # fmt: skip
    return figure


def strip_figure(figures: Figures) -> go.Figure:
    """Return the sections side by side in common coordinates, on one scale."""
    points, domains = figures["stack"]["points"], figures["domains"]
    titles = [s["title"] for s in figures["sections"]]
    columns = min(len(points), 8)
    rows = -(-len(points) // columns)
    figure = make_subplots(
        rows, columns, shared_xaxes="all", shared_yaxes="all", subplot_titles=titles,
        horizontal_spacing=0.01, vertical_spacing=0.12 / max(rows, 1),
    )  # fmt: skip
    # Thousands of marks as vectors would make the page slow.
    thin = max(1, sum(len(own["x"]) for own in points) // STRIP)
    for s, own in enumerate(points):
        figure.add_trace(
            go.Scatter(
                x=own["x"][::thin], y=[-v for v in own["y"][::thin]], mode="markers",
                marker={"size": 4, "color": [domains[d]["colour"] for d in own["domain"][::thin]]},
                text=[domains[d]["name"] for d in own["domain"][::thin]], showlegend=False,
                hovertemplate="%{text}<extra></extra>",
            ),
            s // columns + 1, s % columns + 1,
        )  # fmt: skip
    plots.styled(figure)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.update_yaxes(scaleanchor="x", scaleratio=1, row=1, col=1)
    figure.update_annotations(font={"size": 11, "color": plots.INK})
    figure.update_layout(margin={"t": 24})
    return figure
