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
#: Rows of the figure of controls.
KINDS = {"turned": "Turned", "mirrored": "Mirrored", "moved": "Moved", "shuffled": "Shuffled"}
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
    """Return how the image fits as it was sent, beside each of its controls.

    Parameters
    ----------
    gate : mapping
        ``fit`` (nats), ``used``, ``controls``: list of {kind, name, fit}.
    """
    rows = ["As sent", *KINDS.values()]
    figure = go.Figure()
    own = GAIN if gate["used"] else LOSS
    shown = [("As sent", "as sent", gate["fit"], own, 13)]
    shown += [(KINDS[c["kind"]], c["name"], c["fit"], SAME, 8) for c in gate["controls"]]
    figure.add_trace(
        go.Scatter(
            x=[fit for _, _, fit, _, _ in shown],
            y=[row for row, *_ in shown],
            mode="markers",
            marker={
                "color": [colour for *_, colour, _ in shown],
                "size": [size for *_, size in shown],
                "line": {"width": 1, "color": plots.INK},
            },
            customdata=[name for _, name, *_ in shown],
            hovertemplate="%{customdata}: %{x:.1f} nats<extra></extra>",
            showlegend=False,
        )
    )
    figure.add_vline(0, line={"width": 1, "color": plots.INK})
    plots.styled(figure, "fit of the image, nats", "")
    figure.update_yaxes(categoryorder="array", categoryarray=rows[::-1])
    figure.update_layout(margin={"l": 8, "r": 16, "t": 8, "b": 8})
    return figure


def _colour(gene: Mapping[str, Any]) -> str:
    if gene["gain"] > 0:
        return LOSS
    return SAME if is_as_good(gene) else GAIN
