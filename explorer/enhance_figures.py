"""Figures of an enhancement: gain over abundance, and the evidence for the image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from explorer import plots
from explorer.enhance_state import AS_GOOD, is_as_good

#: Blue for a gain and orange for a loss: apart in every kind of colour vision.
GAIN, LOSS, SAME = "#116aa0", "#d9822b", "#9aa4af"
#: Names written beside points.
NAMED = 6


def gain_figure(genes: Sequence[Mapping[str, Any]], chosen: str) -> go.Figure:
    """Return expected gain over abundance, one point per gene that was tried.

    Parameters
    ----------
    genes : sequence of mapping
        ``gene``, ``mean`` (counts per spot), ``gain`` (change of deviance, a share) or None.
    chosen : str
        The gene on screen; it is ringed.
    """
    tried = [g for g in genes if g["gain"] is not None and g["mean"] > 0]
    best = {g["gene"] for g in sorted(tried, key=lambda g: g["gain"])[:NAMED]} | {chosen}
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=[math.log10(g["mean"]) for g in tried],
            y=[-100 * g["gain"] for g in tried],
            mode="markers+text",
            text=[g["gene"] if g["gene"] in best else "" for g in tried],
            textposition="top center",
            textfont={"size": 11},
            customdata=[g["gene"] for g in tried],
            marker={
                "size": [9 if g["gene"] == chosen else 6 for g in tried],
                "color": [_colour(g) for g in tried],
                "line": {
                    "width": [2 if g["gene"] == chosen else 0 for g in tried],
                    "color": plots.INK,
                },
            },
            hovertemplate="%{customdata}: %{y:.1f} %<extra></extra>",
            showlegend=False,
        )
    )
    figure.add_hline(0, line={"width": 1, "color": plots.INK})
    figure.add_hline(-100 * AS_GOOD, line={"width": 1, "dash": "dot", "color": plots.INK})
    plots.styled(figure, "counts per spot", "deviance saved, %")
    ticks = range(-3, 5)
    figure.update_xaxes(tickvals=list(ticks), ticktext=[f"{10.0**t:g}" for t in ticks])
    return figure


def gate_figure(gate: Mapping[str, Any]) -> go.Figure:
    """Return the evidence for the image beside its controls, and the threshold."""
    names = ["Image as sent", "Shuffled between spots", "Turned by 180°"]
    values = [gate["image"], gate["shuffled"], gate["rotated"]]
    colours = [GAIN if gate["used"] else LOSS, SAME, SAME]
    figure = go.Figure(
        go.Bar(
            y=names[::-1],
            x=values[::-1],
            orientation="h",
            marker={"color": colours[::-1]},
            text=[f"{v:.2f}" for v in values[::-1]],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x:.2f}<extra></extra>",
        )
    )
    figure.add_vline(
        gate["threshold"],
        line={"dash": "dot", "color": plots.INK},
    )
    plots.styled(figure, "evidence for the image, 0 to 1", "")
    figure.update_xaxes(range=[0, 1.08], tickvals=[0, 0.25, 0.5, 0.75, 1])
    figure.add_annotation(
        x=gate["threshold"], y=1.0, yref="paper", yanchor="bottom", xanchor="right",
        text=f"used from {gate['threshold']:g}", showarrow=False, font={"size": 11},
    )  # fmt: skip
    figure.update_layout(bargap=0.4, margin={"l": 8, "r": 16, "t": 24, "b": 8})
    return figure


def _colour(gene: Mapping[str, Any]) -> str:
    if gene["gain"] > 0:
        return LOSS
    return SAME if is_as_good(gene) else GAIN
