"""Distributions of weights: how the spots of each domain spread, as violins."""

from __future__ import annotations

import plotly.graph_objects as go
from dash import html

from explorer import plots
from explorer.components import Child
from explorer.weight_domains import Figures, names_of


def spread_plots(figures: Figures) -> list[Child]:
    """Return violins of the weight of each modality over the spots of each domain."""
    plotted = [
        html.Div(
            [
                html.H3(f"Weight of {name}"),
                plots.graph(f"weights-violin-{k}", violin(figures, name), f"weights_{name}", 260),
            ],
            className="sec",
        )
        for k, name in enumerate(names_of(figures))
    ]
    return [html.Div(plotted, className="plotgrid")]


def violin(figures: Figures, name: str) -> go.Figure:
    """Return one violin per domain: width is the share of its spots at a weight."""
    view = figures["view"]
    step = 1.0 / view["bins"]
    height = [step * (k + 0.5) for k in range(view["bins"])]
    figure = go.Figure()
    for code, counts in enumerate(view["distributions"][name]):
        most = max(max(counts), 1)
        half = [0.42 * c / most for c in counts]
        figure.add_trace(
            go.Scatter(
                x=[code + h for h in half] + [code - h for h in reversed(half)],
                y=height + height[::-1],
                fill="toself",
                mode="lines",
                line={"width": 1, "color": view["colours"][code]},
                name=view["domain_names"][code],
                hoveron="fills",
                showlegend=False,
            )
        )
        mean = figures["domains"][code]["weight"][name]
        if mean is not None:
            figure.add_trace(
                go.Scatter(
                    x=[code],
                    y=[mean],
                    mode="markers",
                    marker={"symbol": "line-ew-open", "size": 18, "color": plots.INK},
                    hovertemplate=f"mean {mean:.2f}<extra></extra>",
                    showlegend=False,
                )
            )
    plots.styled(figure, "", "share of the evidence")
    figure.add_hline(1.0 / len(names_of(figures)), line={"dash": "dot", "color": plots.INK})
    ticks = list(range(len(view["domain_names"])))
    figure.update_xaxes(tickvals=ticks, ticktext=view["domain_names"])
    figure.update_yaxes(range=[0, 1])
    return figure
