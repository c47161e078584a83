"""Pieces that several parts of a result of factors share: the range, titles, warnings, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import html

from explorer.components import Child, tag
from explorer.factor_state import FactorsAt

Figures = Mapping[str, Any]
#: Longest sides of maps of one section, of several side by side, and of a large one.
ONE, SEVERAL, LARGE = 190, 150, 260


def upper(figures: Figures, at: FactorsAt) -> float:
    """Return the end of the range that all maps share."""
    return at.most / 100 if at.most else max(float(figures["range"][1]), 0.05)


def title(factor: Mapping[str, Any]) -> str:
    """Return what a factor is called."""
    return f"Factor {factor['name']}"


def tags(factor: Mapping[str, Any]) -> list[Child]:
    """Return what must be known of a factor before its map is believed."""
    out: list[Child] = []
    if not factor["is_stable"]:
        out.append(tag("Not found again", "warn"))
    absent = len(factor["present"]) - sum(factor["present"])
    if absent:
        out.append(tag(f"Absent in {absent}", "model"))
    return out


def table(head: Sequence[str], rows: Sequence[Sequence[Child]]) -> html.Table:
    """Return a table whose first column is words and the rest figures."""
    top = html.Tr([html.Th(w, className="r" if k else "") for k, w in enumerate(head)])
    body = [
        html.Tr([html.Td(v, className="r num" if k else "") for k, v in enumerate(row)])
        for row in rows
    ]
    return html.Table([html.Thead(top), html.Tbody(body)], className="wide")
