"""Weights by domain: a table of spread, bits and cross-checks, and whether these agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import html

from explorer import words
from explorer.components import Child, bar, swatch, tag
from explorer.small_maps import steer

#: As the job of a weighing recorded them.
Figures = Mapping[str, Any]
#: A cross-check differs from the weight when it puts a modality on the other side by this much.
APART = 0.1


def names_of(figures: Figures) -> list[str]:
    """Return the modalities in order."""
    return [m["name"] for m in figures["modalities"]]


def domain_table(figures: Figures, section: str) -> list[Child]:
    """Return, for every domain and modality, the weight with its spread, bits and cross-checks."""
    names = names_of(figures)
    heads = ["Domain", "Spots", "Agreement", "Moran's I"]
    head = [html.Th(h, className="r" if k else "") for k, h in enumerate(heads)]
    for name in names:
        head += [html.Th(f"Weight of {name}"), html.Th("bits", className="r")]
    head += [html.Th("Cross-checks of " + names[0], colSpan=4), html.Th("Reading")]
    rows = [_domain_row(figures, d, k, names, section) for k, d in enumerate(figures["domains"])]
    stability = figures["stability"]
    line = (
        f"{stability['seeds']} seeds, {stability['starts']} starts each; adjusted Rand index "
        f"between runs {words.number(stability['pairwise_ari'])}. ± is the standard deviation "
        "of a domain's mean over runs."
    )
    sub = html.Tr(
        [html.Td(colSpan=len(heads) + 2 * len(names))]
        + [html.Td(w, className="r xs t3") for w in ("ablation", "energy", "attention", "within")]
        + [html.Td()],
        className="subhead",
    )
    table = html.Table([html.Thead([html.Tr(head), sub]), html.Tbody(rows)], className="wide")
    return [html.Div([html.P(line, className="s t2"), table], className="sec sideways")]


def _domain_row(
    figures: Figures, domain: Mapping[str, Any], code: int, names: Sequence[str], section: str
) -> html.Tr:
    colour = figures["view"]["colours"][code]
    label = html.Button(
        [swatch(colour), domain["name"].capitalize()],
        type="button",
        className="row textlink",
        title="Show this domain alone on the map",
        **steer(section, "label:domain", [code]),
    )
    cells: list[Child] = [
        html.Td(label),
        html.Td(words.count(domain["spots"]), className="r num"),
        html.Td(words.fixed(domain["agreement"], 2), className="r num"),
        html.Td(words.fixed(domain["moran"], 2), className="r num"),
    ]
    for name in names:
        weight, spread = domain["weight"][name], domain["weight_spread"][name]
        shown = "absent" if weight is None else f"{weight:.2f} ± {spread or 0:.2f}"
        cells.append(
            html.Td(
                [bar(weight or 0.0, "var(--accent)"), html.Span(shown, className="num nowrap")],
                className="weightcell",
            )
        )
        cells.append(html.Td(words.fixed(domain["bits"][name], 2), className="r num"))
    for check in ("ablation", "energy", "attention", "within"):
        cells.append(html.Td(words.fixed(domain[check][names[0]], 2), className="r num t3"))
    cells.append(html.Td(_reading(domain, names)))
    return html.Tr(cells)


def _reading(domain: Mapping[str, Any], names: Sequence[str]) -> html.Span:
    """Return whether the cross-checks point the same way as the weight."""
    first, even = names[0], 1.0 / len(names)
    weight = domain["weight"][first]
    others = [domain[check][first] for check in ("ablation", "energy")]
    if weight is None or any(o is None for o in others):
        return tag("Not compared")
    if abs(weight - even) < APART:
        return tag("Even")
    apart = [o for o in others if (o - even) * (weight - even) < 0 and abs(o - even) > APART / 2]
    return tag("Measures differ", "warn") if apart else tag("Agree", "ok")
