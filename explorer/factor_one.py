"""One factor, and two beside one another: maps, programs, where they are strong."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dash import html

from explorer import plots, words
from explorer.components import Child, bar, key_values, segments
from explorer.factor_figures import compared, domain_figure, usage_figure
from explorer.factor_shared import LARGE, SEVERAL, Figures, tags, title, upper
from explorer.factor_state import FactorsAt, write_at
from explorer.small_maps import small_map

#: Genes in a list.
MANY = 14


def one_factor(
    entries: Sequence[Mapping[str, Any]], figures: Figures, at: FactorsAt
) -> list[Child]:
    """Return a factor: its maps, its program, where it is strong, the gene sets it overlaps."""
    factor = figures["factors"][at.a]
    here = max(at.section, 0)
    pick = segments(
        "Factor", [(write_at(at, a=k), f["name"]) for k, f in enumerate(figures["factors"])],
        write_at(at), "using",
    )  # fmt: skip
    high = upper(figures, at)
    maps = [
        small_map(e, f"factor:{factor['name']}", e["title"], "Share of a cell's counts",
                  ("ink", 0.0, high), {"using": write_at(at, section=s)}, SEVERAL)
        for s, e in enumerate(entries)
    ]  # fmt: skip
    facts = key_values(
        [
            ("Share of all counts", words.percent(factor["share"], 1)),
            ("Found again in half of the counts, r", f"{factor['stability']:.2f}"),
            ("Present in", f"{sum(factor['present'])} of {len(factor['present'])} sections"),
        ]
    )
    where = html.Div(
        [
            html.H3("By section"),
            plots.graph("factor-usage", usage_figure(figures, at.a), "factor_by_section",
                        60 + 26 * len(figures["sections"])),
            html.H3("By domain"),
            plots.graph("factor-domains", domain_figure(figures, at.a), "factor_by_domain",
                        60 + 24 * len(figures["domains"])),
        ],
        className="grow",
    )  # fmt: skip
    return [
        html.Div([html.Div([html.Span("Factor", className="s t3"), pick, *tags(factor)],
                           className="row wrap gap")], className="sec"),
        html.Div(maps, className="smallmaps"),
        html.Div(
            [
                html.Div(
                    [html.Div(facts, className="wrapkv"), *_program(entries[here], factor, at)],
                    className="sec grow",
                ),
                html.Div(where, className="sec grow"),
                html.Div(_gene_sets(figures, factor), className="sec grow"),
            ],
            className="threecol",
        ),
    ]  # fmt: skip


def _program(entry: Mapping[str, Any], factor: Mapping[str, Any], at: FactorsAt) -> list[Child]:
    ways = (("specific", "Specific"), ("large", "Large"))
    by = segments("Genes by", [(write_at(at, genes=g), w) for g, w in ways], write_at(at), "using")
    rows = factor[at.genes][:MANY]
    most = max((g["loading"] for g in rows), default=1.0)
    listed = [
        html.Button(
            [
                html.I(g["gene"], className="cut"),
                bar(g["loading"] / most, factor["colour"]),
                html.Span(f"{100 * g['loading']:.2f} %", className="num t2"),
                html.Span(f"{g['log2_specificity']:+.1f}", className="num t3"),
            ],
            type="button",
            className="programrow s",
            title=f"{g['gene']}: {100 * g['loading']:.2f} % of the program, log2 "
            f"{g['log2_specificity']:+.2f} over the others. Click shows the gene on the map.",
            **_show(entry["id"], f"imputed:{g['gene']}"),
        )
        for g in rows
    ]
    hint = "Share of the program, and log2 over the mean of the others. A click colours the map by "
    return [
        html.Div([html.H3("Gene program"), by], className="row wrap gap between"),
        html.Div(listed, className="programlist"),
        html.P(hint + "the gene, denoised by the factors.", className="s t3"),
    ]


def _gene_sets(figures: Figures, factor: Mapping[str, Any]) -> list[Child]:
    rows = figures["gene_sets"].get(factor["name"], [])
    if not rows:
        return [
            html.H3("Gene sets"),
            html.P("None were given. A run from the command line takes a file: --gene-sets "
                   "SETS.gmt; this server offers those in its folder of tables.", className="s t3"),
        ]  # fmt: skip
    body = [
        html.Tr(
            [
                html.Td(r["name"].replace("_", " "), title=", ".join(r["shared"])),
                html.Td(f"{len(r['shared'])} of {r['size']}", className="r num nowrap"),
                html.Td(_p(r["q"]), className="r num nowrap"),
            ]
        )
        for r in rows[:10]
    ]
    head = html.Tr([html.Th("Set"), html.Th("Shared", className="r"), html.Th("q", className="r")])
    said = (
        "Hypergeometric test of the 50 most specific genes; q by Benjamini and Hochberg over all."
    )
    return [
        html.H3("Gene sets"),
        html.Table([html.Thead(head), html.Tbody(body)], className="wide"),
        html.P(said, className="s t3"),
    ]


def _p(value: float) -> str:
    return "< 0.001" if value < 1e-3 else f"{value:.2g}"


def _show(section: str, layer: str) -> dict[str, str]:
    order = {"section": section, "layer": layer, "only": []}
    return {"data-act": "steer", "data-value": json.dumps(order)}


def two_factors(
    entries: Sequence[Mapping[str, Any]], figures: Figures, at: FactorsAt
) -> list[Child]:
    """Return two factors beside one another on one range, and the genes that part them."""
    names = [f["name"] for f in figures["factors"]]
    picks = html.Div(
        [
            html.Span("Left", className="s t3"),
            segments("Left", [(write_at(at, a=k), n) for k, n in enumerate(names)], write_at(at),
                     "using"),
            html.Span("Right", className="s t3"),
            segments("Right", [(write_at(at, b=k), n) for k, n in enumerate(names)], write_at(at),
                     "using"),
            segments("Section", [(write_at(at, section=s), e["title"])
                                 for s, e in enumerate(figures["sections"])],
                     write_at(at, section=max(at.section, 0)), "using"),
        ],
        className="row wrap gap",
    )  # fmt: skip
    entry, high = entries[max(at.section, 0)], upper(figures, at)
    maps = [
        small_map(entry, f"factor:{names[k]}", title(figures["factors"][k]),
                  "Share of a cell's counts", ("ink", 0.0, high), {"using": write_at(at)}, LARGE)
        for k in (at.a, at.b)
    ]  # fmt: skip
    r = figures["r_between"][at.a][at.b]
    said = html.P(
        f"Their shares go together with r {words.signed(r)} over all cells.", className="s t2"
    )
    plot = plots.graph("factor-compared", compared(figures, at.a, at.b), "factors_compared", 480)
    return [
        html.Div([picks, said], className="sec"),
        html.Div([html.Div(maps, className="smallmaps"), html.Div(plot, className="grow")],
                 className="row wrap top"),
    ]  # fmt: skip
