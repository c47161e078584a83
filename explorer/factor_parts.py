"""The result of a run of factors in components: gallery, one factor, two, stack, trust."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dash import html

from explorer import plots, words
from explorer.components import Child, bar, button, key_values, note, segments, swatch, tag
from explorer.factor_figures import (
    compared,
    domain_figure,
    stack_figure,
    strip_figure,
    usage_figure,
)
from explorer.factor_state import PARTS, FactorsAt, write_at
from explorer.weighed import small_map

Figures = Mapping[str, Any]
#: Ends of the shared range that may be chosen, in hundredths; 0 is that of the run.
RANGES = (0, 25, 50, 100)
#: Genes below a map, and in a list.
FEW, MANY = 4, 14
#: Heights of maps of one section, of several side by side, and of a large one.
ONE, SEVERAL, LARGE = 190, 150, 260


def result_head(at: FactorsAt) -> html.Div:
    """Return the choice of parts, and what can be taken away."""
    chosen = segments(
        "Part of the result",
        [(write_at(at, part=name), word) for name, word in PARTS],
        write_at(at),
        "using",
    )
    job = at.job
    takes = [
        button("h5ad", "take-result", f"{job}|h5ad", glyph="down", kind="sm", title="All cells"),
        button("CSV", "take-result", f"{job}|csv", glyph="down", kind="sm", title="Programs"),
        button("JSON", "take-result", f"{job}|json", glyph="down", kind="sm", title="All figures"),
        button("Copy link", "copy-job", job, glyph="link", kind="sm"),
        button("New run", "using", "", kind="sm"),
    ]
    return html.Div(
        [chosen, html.Div(takes, className="row end wrap")], className="row wrap sec toolbar"
    )


def result_part(
    entries: Sequence[Mapping[str, Any]], figures: Figures, at: FactorsAt
) -> list[Child]:
    """Return the part of a result that one is at.

    Parameters
    ----------
    entries : sequence of mapping
        Sections of the result on their plane, in the order of the figures.
    figures : mapping
        As the job recorded them.
    at : FactorsAt
    """
    at = within(figures, at)
    if at.part == "factor":
        return one_factor(entries, figures, at)
    if at.part == "compare":
        return two_factors(entries, figures, at)
    if at.part == "stack":
        return stack_part(figures)
    if at.part == "trust":
        return trust_part(figures)
    if at.part == "reading":
        items = [html.P([html.B(f"{k.capitalize()}. "), v.partition(": ")[2] or v], className="s")
                 for k, v in figures["how_to_read"].items()]  # fmt: skip
        return [html.Div(items, className="sec runbox")]
    return gallery(entries, figures, at)


def within(figures: Figures, at: FactorsAt) -> FactorsAt:
    """Return where one is with numbers that the result has."""
    from dataclasses import replace

    k, n = len(figures["factors"]), len(figures["sections"])
    section = at.section if -1 <= at.section < n else 0
    return replace(at, a=min(max(at.a, 0), k - 1), b=min(max(at.b, 0), k - 1), section=section)


# -- gallery ----------------------------------------------------------------------------------


def gallery(entries: Sequence[Mapping[str, Any]], figures: Figures, at: FactorsAt) -> list[Child]:
    """Return a card per factor: maps on one shared range, its share, its specific genes."""
    titles = [(write_at(at, section=s), e["title"]) for s, e in enumerate(figures["sections"])]
    all_sections = (write_at(at, section=-1), "All")
    high = _high(figures, at)
    ranges = [(write_at(at, most=m), f"{m} %" if m else "Of this run") for m in RANGES]
    bar_row = html.Div(
        [
            html.Span("Section", className="s t3"),
            segments("Section", [all_sections, *titles], write_at(at), "using"),
            html.Span("Range to", className="s t3"),
            segments("Upper end of the range", ranges, write_at(at), "using"),
            html.Span(
                f"All maps: 0 to {100 * high:.0f} % of a cell's counts", className="s t3 num"
            ),
        ],
        className="row wrap gap",
    )
    cards = [_card(entries, figures, at, k, high) for k in range(len(figures["factors"]))]
    warnings = [note(w) for w in figures["warnings"]]
    return [
        html.Div([_said(figures), bar_row], className="sec"),
        html.Div(cards, className=f"smallmaps {'manymaps' if at.section < 0 else ''}"),
        html.Div(warnings, className="sec notes"),
    ]


def _said(figures: Figures) -> html.P:
    choice = figures["count"]
    how = "chosen by held-out counts" if choice else "as asked"
    shared = sum(f["is_shared"] for f in figures["factors"])
    k = len(figures["factors"])
    return html.P(
        f"{words.plural(figures['cells'], 'cell')} of {len(figures['sections'])} sections, "
        f"{words.plural(figures['genes'], 'gene')}. {words.plural(k, 'factor')}, {how}: "
        f"{shared} in all sections, {k - shared} in some.",
        className="s t2",
    )


def _high(figures: Figures, at: FactorsAt) -> float:
    return at.most / 100 if at.most else max(float(figures["range"][1]), 0.05)


def _card(
    entries: Sequence[Mapping[str, Any]], figures: Figures, at: FactorsAt, k: int, high: float
) -> html.Div:
    factor = figures["factors"][k]
    shown = entries if at.section < 0 else [entries[at.section]]
    order = {"using": write_at(at, part="factor", a=k)}
    maps = [
        small_map(
            e, f"factor:{factor['name']}", e["title"] if at.section < 0 else _title(factor),
            "Share of a cell's counts", ("ink", 0.0, high), order,
            SEVERAL if at.section < 0 else ONE,
        )
        for e in shown
    ]  # fmt: skip
    head = html.Div(
        [
            html.Span([swatch(factor["colour"]), html.B(_title(factor))], className="row"),
            html.Span(words.percent(factor["share"], 1), className="num t2"),
            *tags(factor),
        ],
        className="row wrap gap",
    )
    genes = html.Div([_gene_bar(g, factor) for g in factor["specific"][:FEW]], className="genebars")
    faded = "" if factor["is_stable"] else " unstable"
    maps_box = html.Div(maps, className="row wrap top")
    return html.Div([head, maps_box, genes], className=f"factorcard{faded}")


def _title(factor: Mapping[str, Any]) -> str:
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


def _gene_bar(gene: Mapping[str, Any], factor: Mapping[str, Any]) -> html.Div:
    most = max((g["loading"] for g in factor["specific"]), default=1.0)
    return html.Div(
        [html.I(gene["gene"], className="cut"), bar(gene["loading"] / most, factor["colour"])],
        className="genebar s",
    )


# -- one factor -------------------------------------------------------------------------------


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
    high = _high(figures, at)
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


# -- two factors ------------------------------------------------------------------------------


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
    entry, high = entries[max(at.section, 0)], _high(figures, at)
    maps = [
        small_map(entry, f"factor:{names[k]}", _title(figures["factors"][k]),
                  "Share of a cell's counts", ("ink", 0.0, high), {"using": write_at(at)}, LARGE)
        for k in (at.a, at.b)
    ]  # fmt: skip
    r = figures["r_between"][at.a][at.b]
    said = html.P(f"Their shares go together over all cells with r {r:+.2f}.", className="s t2")
    plot = plots.graph("factor-compared", compared(figures, at.a, at.b), "factors_compared", 480)
    return [
        html.Div([picks, said], className="sec"),
        html.Div([html.Div(maps, className="smallmaps"), html.Div(plot, className="grow")],
                 className="row wrap top"),
    ]  # fmt: skip


# -- stack ------------------------------------------------------------------------------------


def stack_part(figures: Figures) -> list[Child]:
    """Return the sections in common coordinates: in space, as a strip, with their scores."""
    if "stack" not in figures:
        text = "These sections have no places, or units that differ; they cannot be laid."
        return [html.Div(note(text), className="sec")]
    stack = figures["stack"]
    head = html.Tr([html.Th(w, className="r" if k else "") for k, w in enumerate(
        ("Section", "Turned", "Anchors", "Kept", "Median gap", "Expression, r", "as it was",
         "Domain near", "as it was"))])  # fmt: skip
    unit = "µm" if stack["unit"] == "um" else stack["unit"]
    rows = [_step_row(s, unit) for s in stack["steps"]]
    why = (
        "Each section is laid on the one before by cells whose factors choose one another; the "
        "half that fits worst is left out and the fit made again. Expression: best r of a cell's "
        "counts with its six nearest of the section before. Domain near: share of cells with one "
        "of their own domain among these. 'As it was': centres on one another, unturned. Height is "
        "not to scale."
    )
    return [
        html.Div([html.P(why, className="s t2"),
                  html.Table([html.Thead(head), html.Tbody(rows)], className="wide")],
                 className="sec sideways"),
        plots.graph("factor-strip", strip_figure(figures), "sections_aligned",
                    200 * -(-len(stack["points"]) // 8) + 20),
        plots.graph("factor-stack", stack_figure(figures), "sections_stacked", 520),
    ]  # fmt: skip


def _step_row(step: Mapping[str, Any], unit: str) -> html.Tr:
    if "expression_score" not in step:
        return html.Tr(
            [html.Td(step["title"]), html.Td("others lie on it", colSpan=8, className="t3")]
        )
    gap = "–" if step["residual"] is None else f"{step['residual']:.0f} {unit}"
    values = [
        f"{step['degrees']:.0f}°", words.count(step["anchors"]), words.count(step["kept"]), gap,
        f"{step['expression_score']:.3f}", f"{step['unmoved_expression_score']:.3f}",
        words.percent(step["domain_score"], 1), words.percent(step["unmoved_domain_score"], 1),
    ]  # fmt: skip
    return html.Tr([html.Td(step["title"]), *(html.Td(v, className="r num") for v in values)])


# -- trust ------------------------------------------------------------------------------------


def trust_part(figures: Figures) -> list[Child]:
    """Return how good the factors are beside plain methods, and how their number was chosen."""
    return [
        html.Div(
            [
                html.Div(_measures(figures), className="sec grow"),
                html.Div(_held_out(figures), className="sec grow"),
                html.Div(_count(figures), className="sec grow"),
            ],
            className="threecol",
        ),
        html.Div([note(w) for w in figures["warnings"]], className="sec notes"),
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[Child]]) -> html.Table:
    top = html.Tr([html.Th(w, className="r" if k else "") for k, w in enumerate(head)])
    body = [
        html.Tr([html.Td(v, className="r num" if k else "") for k, v in enumerate(row)])
        for row in rows
    ]
    return html.Table([html.Thead(top), html.Tbody(body)], className="wide")


def _measures(figures: Figures) -> list[Child]:
    model = figures["model"]
    shown = {
        "Factors of cells": model["cells"],
        "Factors of places": model["places"],
        **figures["baselines"],
    }
    keys = [(k, w) for k, w in (("mixing", "Mixing"), ("ari", "ARI"), ("nmi", "NMI"),
                                ("silhouette", "Silhouette"))
            if any(m.get(k) is not None for m in shown.values())]  # fmt: skip
    rows = [[name, *(_three(m.get(k)) for k, _ in keys)] for name, m in shown.items()]
    said = "Mixing: entropy of sections among 50 neighbours, 1 where they are even."
    return [html.H3("Beside plain methods"), _table(["Space", *(w for _, w in keys)], rows),
            html.P(said, className="s t3")]  # fmt: skip


def _three(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def _held_out(figures: Figures) -> list[Child]:
    held, hidden = figures["held_out"], figures["hidden_genes"]
    out: list[Child] = [html.H3("Held-out counts")]
    if held:
        rows = [["This model" if n == "factors" else n, f"{v:.4f}"] for n, v in held.items()]
        out.append(_table(["Method", "Nats per count"], rows))
        out.append(html.P("A fifth of all counts is held out; over the mean profile of a section, "
                          "genes that all sections have.", className="s t3"))  # fmt: skip
    if hidden:
        out.append(html.H3("Hidden genes"))
        out.append(
            _table(
                ["Method", "Mean r"],
                [
                    ["This model", _three(hidden["r"])],
                    ["Nearest neighbours", _three(hidden["knn_r"])],
                ],
            )
        )
        out.append(html.P(f"{words.plural(hidden['genes'], 'gene')} hidden from a section.",
                          className="s t3"))  # fmt: skip
    return out if held or hidden else [*out, html.P("Not computed in this run.", className="s t3")]


def _count(figures: Figures) -> list[Child]:
    choice, noise = figures["count"], figures["noise"]
    out: list[Child] = [html.H3("Number of factors")]
    if choice:
        rows = [
            [html.B(str(t["factors"])) if t["factors"] == choice["factors"] else str(t["factors"]),
             f"{t['gain']:.4f}", f"{t['weakest_r']:.2f}", str(t["stable"])]
            for t in choice["tried"]
        ]  # fmt: skip
        out.append(_table(["Factors", "Gain", "Weakest r", "Found again"], rows))
        out.append(html.P("Gain in nats per held-out count; r of the weakest factor between two "
                          "halves of the counts.", className="s t3"))  # fmt: skip
    else:
        out.append(html.P("As asked for.", className="s t3"))
    kind = f"gamma, shape {noise['shape']:.1f}" if noise["overdispersed"] else "none beyond Poisson"
    out.append(key_values([("Noise", kind)]))
    return out
