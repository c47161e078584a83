"""The result of a run of factors in components: what can be taken away, and the gallery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dash import html

from explorer import words
from explorer.components import Child, bar, note, segments, swatch
from explorer.factor_one import one_factor, two_factors
from explorer.factor_shared import ONE, SEVERAL, Figures, tags, title, upper
from explorer.factor_state import PARTS, FactorsAt, write_at
from explorer.factor_trust import stack_part, trust_part
from explorer.small_maps import small_map
from explorer.takes import takes

#: Ends of the shared range that may be chosen, in hundredths; 0 is that of the run.
RANGES = (0, 25, 50, 100)
#: Genes below a map.
FEW = 4
#: What can be downloaded, and what each file holds.
FILES = {"h5ad": "All cells", "CSV": "Programs", "JSON": "All figures"}


def result_head(at: FactorsAt) -> html.Div:
    """Return the choice of parts, and what can be taken away."""
    chosen = segments(
        "Part of the result",
        [(write_at(at, part=name), word) for name, word in PARTS],
        write_at(at),
        "using",
    )
    return html.Div([chosen, takes(at.job, files=FILES)], className="row wrap sec toolbar")


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
        return [html.Div(items, className="sec reading")]
    return gallery(entries, figures, at)


def within(figures: Figures, at: FactorsAt) -> FactorsAt:
    """Return where one is with numbers that the result has."""
    k, n = len(figures["factors"]), len(figures["sections"])
    section = at.section if -1 <= at.section < n else 0
    return replace(at, a=min(max(at.a, 0), k - 1), b=min(max(at.b, 0), k - 1), section=section)


# -- gallery ----------------------------------------------------------------------------------


def _named(word: str, control: Child) -> html.Div:
    return html.Div([html.Span(word, className="s t3 nowrap"), control], className="row named")


def gallery(entries: Sequence[Mapping[str, Any]], figures: Figures, at: FactorsAt) -> list[Child]:
    """Return a card per factor: maps on one shared range, its share, its specific genes."""
    titles = [(write_at(at, section=s), e["title"]) for s, e in enumerate(figures["sections"])]
    all_sections = (write_at(at, section=-1), "All")
    high = upper(figures, at)
    ranges = [(write_at(at, most=m), f"{m} %" if m else "Of this run") for m in RANGES]
    bar_row = html.Div(
        [
            _named("Section", segments("Section", [all_sections, *titles], write_at(at), "using")),
            _named("Range to", segments("Upper end of the range", ranges, write_at(at), "using")),
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


def _card(
    entries: Sequence[Mapping[str, Any]], figures: Figures, at: FactorsAt, k: int, high: float
) -> html.Div:
    factor = figures["factors"][k]
    shown = entries if at.section < 0 else [entries[at.section]]
    order = {"using": write_at(at, part="factor", a=k)}
    maps = [
        small_map(
            e, f"factor:{factor['name']}", e["title"] if at.section < 0 else title(factor),
            "Share of a cell's counts", ("ink", 0.0, high), order,
            SEVERAL if at.section < 0 else ONE,
        )
        for e in shown
    ]  # fmt: skip
    head = html.Div(
        [
            html.Span([swatch(factor["colour"]), html.B(title(factor))], className="row"),
            html.Span(words.percent(factor["share"], 1), className="num t2"),
            *tags(factor),
        ],
        className="row wrap gap",
    )
    genes = html.Div([_gene_bar(g, factor) for g in factor["specific"][:FEW]], className="genebars")
    faded = "" if factor["is_stable"] else " unstable"
    maps_box = html.Div(maps, className="row wrap top")
    return html.Div([head, maps_box, genes], className=f"factorcard{faded}")


def _gene_bar(gene: Mapping[str, Any], factor: Mapping[str, Any]) -> html.Div:
    most = max((g["loading"] for g in factor["specific"]), default=1.0)
    return html.Div(
        [html.I(gene["gene"], className="cut"), bar(gene["loading"] / most, factor["colour"])],
        className="genebar s",
    )
