"""Plotly figures of the tools: nothing leaves the machine, axes carry units."""

from __future__ import annotations

import plotly.graph_objects as go

from explorer import plots


def test_no_graph_offers_to_send_data_away() -> None:
    found = plots.config("weights")
    assert found["showSendToCloud"] is False
    assert found["plotlyServerURL"] == ""
    assert found["toImageButtonOptions"]["filename"] == "weights"


def test_axes_carry_their_units_on_a_clear_ground() -> None:
    figure = plots.styled(go.Figure(go.Scatter(x=[1], y=[2])), "domain", "weight")
    assert figure.layout.xaxis.title.text == "domain"
    assert figure.layout.yaxis.title.text == "weight"
    assert figure.layout.paper_bgcolor == "rgba(0,0,0,0)"


def test_a_graph_is_as_high_as_asked_for() -> None:
    made = plots.graph("g", go.Figure(), "weights", 200)
    assert made.style == {"height": "200px"}
    assert made.config["displaylogo"] is False
