"""Correspondence of two vocabularies drawn: heat map, river, and the table of matches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from dash import html

from explorer import words
from explorer.components import Child, tag
from explorer.plots import INK, styled

PICTURES = (("heat", "Heat map"), ("river", "River"))
SCALE = [[0, "rgba(43,108,176,0.04)"], [1, "#2b6cb0"]]
#: Links of a river that get less than this share of a class are left out.
LEAST_LINK = 0.05
#: Classes that are drawn of each data set; the files hold all.
MOST_CLASSES = 45
TAGS = {"same": "ok", "part of": "warn", "no counterpart": ""}


@dataclass(frozen=True, slots=True)
class LabelsAt:
    """State of the tool in a link: a job, and what of its result is shown.

    of, by : data sets whose cells and whose names;  pair : places of a row and of a column
    """

    job: str = ""
    label: str = ""
    of: str = ""
    by: str = ""
    picture: str = "heat"
    pair: tuple[int, int] | None = None


def parse_at(text: str) -> LabelsAt:
    """Return the state that a link holds; what is missing is left to its default."""
    parts = [*text.split("|"), "", "", "", "", "", ""][:6]
    picture = parts[4] if parts[4] in dict(PICTURES) else "heat"
    numbers = parts[5].split(",")
    pair = None
    if len(numbers) == 2 and all(n.isdigit() for n in numbers):
        pair = (int(numbers[0]), int(numbers[1]))
    return LabelsAt(parts[0], parts[1], parts[2], parts[3], picture, pair)


def write_at(at: LabelsAt) -> str:
    """Return the state as a short text; the job alone where nothing else was chosen."""
    pair = f"{at.pair[0]},{at.pair[1]}" if at.pair else ""
    return "|".join([at.job, at.label, at.of, at.by, at.picture, pair]).rstrip("|")


def shown_order(overlap: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    """Return rows by size, and columns by the row that gives them most, so blocks lie on a line."""
    share = overlap["share"]
    rows = sorted(range(len(overlap["rows"])), key=lambda r: -overlap["counts"][r])[:MOST_CLASSES]
    found: list[int] = []
    for r in rows:
        best = max(range(len(overlap["columns"])), key=lambda c: share[r][c])
        if best not in found:
            found.append(best)
    most = [max((share[r][c] for r in rows), default=0.0) for c in range(len(overlap["columns"]))]
    rest = sorted((c for c in range(len(most)) if c not in found), key=lambda c: -most[c])
    return rows, (found + rest)[:MOST_CLASSES]


def heat_figure(overlap: Mapping[str, Any], pair: tuple[int, int] | None) -> go.Figure:
    """Return the share of every class of one data set that gets each name of the other."""
    rows, columns = shown_order(overlap)
    z = [[overlap["share"][r][c] for c in columns] for r in rows]
    cells = [[overlap["share"][r][c] * overlap["counts"][r] for c in columns] for r in rows]
    figure = go.Figure(
        go.Heatmap(
            z=z,
            x=[overlap["columns"][c] for c in columns],
            y=[overlap["rows"][r] for r in rows],
            customdata=[
                [[r, c, n] for c, n in zip(columns, line, strict=True)]
                for r, line in zip(rows, cells, strict=True)
            ],
            colorscale=SCALE,
            zmin=0,
            zmax=1,
            xgap=1,
            ygap=1,
            colorbar={"title": {"text": "share"}, "thickness": 10, "len": 0.6},
            hovertemplate="%{y}<br>named %{x}<br>share %{z:.2f}, about %{customdata[2]:,.0f} cells"
            "<extra></extra>",
        )
    )
    styled(figure, f"names of {overlap['by']}", f"cells of {overlap['of']}")
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(tickangle=-40, showgrid=False)
    if pair and pair[0] in rows and pair[1] in columns:
        x, y = columns.index(pair[1]), rows.index(pair[0])
        box = {"x0": x - 0.5, "x1": x + 0.5, "y0": y - 0.5, "y1": y + 0.5}
        figure.add_shape(type="rect", line={"color": "#c2571a", "width": 2}, **box)
    return figure


def river_figure(overlap: Mapping[str, Any], colours: Mapping[str, str]) -> go.Figure:
    """Return cells of one data set flowing to the names of the other."""
    rows, columns = shown_order(overlap)
    links = [
        (i, len(rows) + j, overlap["share"][r][c] * overlap["counts"][r], r, c)
        for i, r in enumerate(rows)
        for j, c in enumerate(columns)
        if overlap["share"][r][c] >= LEAST_LINK
    ]
    names = [overlap["rows"][r] for r in rows] + [overlap["columns"][c] for c in columns]
    node = {
        "label": names,
        "color": [colours.get(name, INK) for name in names],
        "pad": 6,
        "thickness": 12,
        "line": {"width": 0},
    }
    figure = go.Figure(
        go.Sankey(
            node=node,
            link={
                "source": [k[0] for k in links],
                "target": [k[1] for k in links],
                "value": [k[2] for k in links],
                "customdata": [[k[3], k[4], overlap["share"][k[3]][k[4]]] for k in links],
                "color": "rgba(123,135,148,0.28)",
                "hovertemplate": "%{source.label} named %{target.label}<br>"
                "about %{value:,.0f} cells, share %{customdata[2]:.2f}<extra></extra>",
            },
            textfont={"color": INK, "size": 11},
        )
    )
    return styled(figure)


def match_table(matches: Sequence[Mapping[str, Any]]) -> html.Table:
    """Return what every class of the one data set is in the other, largest classes first."""
    head = ("Class", "Cells", "Is", "Counterpart", "Share", "Back")
    rows = [
        html.Tr(
            [
                html.Td(m["name"]),
                html.Td(words.count(m["cells"]), className="num"),
                html.Td(tag(m["relation"], TAGS[m["relation"]])),
                html.Td(m["counterpart"] or "none"),
                html.Td(f"{m['score']:.2f}", className="num"),
                html.Td(f"{m['back']:.2f}", className="num"),
            ]
        )
        for m in sorted(matches, key=lambda m: -m["cells"])
    ]
    cells: list[Child] = [html.Th(word) for word in head]
    return html.Table([html.Thead(html.Tr(cells)), html.Tbody(rows)], className="wide")
