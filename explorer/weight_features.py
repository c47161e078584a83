"""Distinctive features: those by which a domain stands out, each on the map with a click."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import html

from explorer.components import Child, swatch
from explorer.small_maps import steer
from explorer.weight_domains import Figures


def feature_lists(figures: Figures, section: str) -> list[Child]:
    """Return the features by which each domain stands out, per modality."""
    view = figures["view"]
    blocks = []
    for code, domain in enumerate(view["domain_names"]):
        lists = [
            html.Div(
                [html.Div(name, className="xs t3"), *_features(rows[code], section)],
                className="featurelist",
            )
            for name, rows in view["features"].items()
        ]
        heading = html.H3(
            html.Span([swatch(view["colours"][code]), domain.capitalize()], className="row")
        )
        blocks.append(html.Div([heading, html.Div(lists, className="row top")], className="sec"))
    hint = (
        "Features above the other spots, by Cohen's d of log1p counts at equal depth; p is "
        "Welch's, adjusted over the features of a domain and modality. Domains were found from "
        "these data, so p is optimistic. A click puts a feature on the map."
    )
    return [html.P(hint, className="s t2 sec"), html.Div(blocks, className="featuregrid")]


def _features(rows: Sequence[Mapping[str, Any]], section: str) -> list[Child]:
    if not rows:
        return [html.Div("None stands out.", className="s t3")]
    return [
        html.Button(
            [
                html.Span(r["feature"], className="cut"),
                html.Span(f"d {r['effect']:.2f}", className="num t3"),
                html.Span(_p(r["p"]), className="num t3"),
            ],
            type="button",
            className="featurerow s",
            title=f"{r['feature']}: {r['mean']:.2f} here, {r['rest']:.2f} elsewhere (log1p)",
            **steer(section, f"measured:{r['feature']}"),
        )
        for r in rows[:8]
    ]


def _p(value: float) -> str:
    return "p < 10⁻³" if value < 1e-3 else f"p {value:.2g}"
