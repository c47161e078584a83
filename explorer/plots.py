"""Plotly figures that fit the screen: no outside hosts, both themes, exported as PNG or SVG."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
from dash import dcc

#: Grey of text and axes that can be read on the light and on the dark surface.
INK = "#7b8794"
LINE = "rgba(123,135,148,0.35)"


def config(name: str) -> dict[str, Any]:
    """Return the settings of a graph whose picture is saved as ``name``.

    Plotly 7 offers to send charts to its cloud by default; nothing here may leave the machine.
    """
    return {
        "showSendToCloud": False,
        "plotlyServerURL": "",
        "displaylogo": False,
        "displayModeBar": "hover",
        "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
        "toImageButtonOptions": {"format": "svg", "filename": name, "scale": 2},
        "responsive": True,
    }


def styled(figure: go.Figure, unit_x: str = "", unit_y: str = "") -> go.Figure:
    """Return the figure on a clear ground with small quiet axes that carry their units."""
    axis = {
        "gridcolor": LINE,
        "zerolinecolor": LINE,
        "linecolor": LINE,
        "automargin": True,
        "title": {"standoff": 8},
    }
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 12, "color": INK},
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hoverlabel={"font": {"size": 12}},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": INK, "activecolor": INK},
        uirevision="keep",
    )
    figure.update_xaxes(**axis, title_text=unit_x or None)
    figure.update_yaxes(**axis, title_text=unit_y or None)
    return figure


def blank() -> go.Figure:
    """Return a figure that shows nothing: what is there until there is something to show."""
    figure = styled(go.Figure())
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure


def place(identity: str, name: str, height: int = 0) -> dcc.Graph:
    """Return the empty place of a figure that a callback draws.

    Parameters
    ----------
    name : str
        File name of its picture.
    height : int
        Pixels; that of its surroundings where 0.
    """
    style = {"height": f"{height}px"} if height else {}
    return dcc.Graph(
        id=identity, figure=blank(), config=config(name), className="analysis-graph", style=style
    )


def graph(identity: str, figure: go.Figure, name: str, height: int = 320) -> dcc.Graph:
    """Return a graph of a tool; ``name`` is the file name of its picture."""
    return dcc.Graph(
        id=identity, figure=figure, config=config(name), style={"height": f"{height}px"}
    )
