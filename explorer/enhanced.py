"""The result of an enhancement: what can be taken away, and the part that the link names."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html

from explorer.components import Child, segments
from explorer.enhance_pictures import Entries, domains_part, gene_part, maps_part
from explorer.enhance_said import Figures, reading_part
from explorer.enhance_state import PARTS, EnhanceAt, write_at
from explorer.enhance_tables import checks_part, table_part
from explorer.takes import takes

#: Files of the result: format to what it holds.
FILES = {
    "h5ad": "Subspots with rate, split, sd, parents, domains",
    "CSV": "Gain by gene",
    "JSON": "All figures",
}


def result_head(job: str, at: EnhanceAt) -> html.Div:
    """Return the choice of parts and what can be taken away."""
    shown = [(write_at(EnhanceAt(job, name, at.gene)), word) for name, word in PARTS]
    chosen = segments("Part of the result", shown, write_at(EnhanceAt(job, at.part, at.gene)),
                      "using")  # fmt: skip
    return html.Div([chosen, takes(job, files=FILES)], className="row wrap sec toolbar")


def chosen_part(
    at: EnhanceAt,
    figures: Figures,
    entries: Entries,
    span: tuple[float, float],
) -> Sequence[Child]:
    """Return the part of a result that the link names."""
    if at.part == "table":
        return table_part(at, figures)
    if at.part == "checks":
        return checks_part(figures)
    if at.part == "domains":
        return domains_part(at, figures, entries)
    if at.part == "maps":
        return maps_part(figures, entries)
    if at.part == "reading":
        return reading_part(figures)
    return gene_part(at, figures, entries, span)
