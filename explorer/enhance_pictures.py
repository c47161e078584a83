"""Pictures of an enhancement: a gene before and after, domains before and after, maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from dash import dcc, html

from backend.core.geometry import Bounds
from explorer import words
from explorer.components import Child
from explorer.enhance_said import FALLBACKS, Figures, gene_facts, verdict
from explorer.enhance_state import EnhanceAt
from explorer.enhance_swipe import Side, opacity_control, swipe
from explorer.small_maps import small_map, steer

GENE = "enhance-gene"
#: Spots and subspots, as ``Backend.section_entry`` returns them.
Entries = tuple[Mapping[str, Any], Mapping[str, Any]]


def gene_part(
    at: EnhanceAt,
    figures: Figures,
    entries: Entries,
    span: tuple[float, float],
) -> list[Child]:
    """Return one gene before and after.

    Parameters
    ----------
    at : EnhanceAt
        With the gene.
    figures : mapping
    entries : (spots, subspots)
        As ``Backend.section_entry`` returns them.
    span : (lo, hi)
        Range of both sides, log1p counts per spot area.
    """
    spots, fine = entries
    layer, ramp = f"measured:{at.gene}", ("ink", *span)
    fallback = figures["method"] in FALLBACKS
    picture = swipe(
        Side(spots, layer, f"Before: spots of {_pitch(spots)}", "Measured"),
        Side(fine, layer, f"After: subspots of {_pitch(fine)}",
             "Interpolated" if fallback else "Enhanced", dashed=True),
        ramp, underlay_of(at.job, figures), at.gene,
    )  # fmt: skip
    gene = next((g for g in figures["genes"] if g["gene"] == at.gene), None)
    side = [
        html.Div(verdict(figures), className="stack2"),
        html.Div([gene_choice(figures, at.gene), opacity_or_none(figures)], className="row wrap"),
        _range(span),
        gene_facts(gene),
        html.Div(_opens(at, spots, fine), className="row wrap"),
    ]
    return [html.Div([picture, html.Div(side, className="stack2")], className="sec swipe-row")]


def underlay_of(job: str, figures: Figures) -> tuple[str, Bounds] | None:
    """Return address and place of the tissue image of a result, or None."""
    bounds = (figures.get("image") or {}).get("bounds")
    return (f"/api/results/{job}/underlay.jpg", Bounds(*bounds)) if bounds else None


def opacity_or_none(figures: Figures) -> Child:
    """Return the opacity control where there is an image to see through to."""
    return opacity_control() if (figures.get("image") or {}).get("bounds") else None


def gene_choice(figures: Figures, gene: str) -> html.Label:
    """Return the list of genes, most abundant first."""
    options = [{"value": g["gene"], "label": g["gene"]} for g in figures["genes"]]
    return html.Label(
        [
            html.Span("Gene", className="s t2"),
            dcc.Dropdown(options, gene, id=GENE, clearable=False, className="pick"),
        ],
        className="row genepick",
    )


def _pitch(entry: Mapping[str, Any]) -> str:
    unit = "µm" if entry["xy_unit"] == "um" else entry["xy_unit"]
    return f"{2 * entry['radius']:,.0f} {unit}"


def _range(span: tuple[float, float]) -> html.Div:
    ends = [html.Span(f"{v:.2g}") for v in span]
    return html.Div(
        [
            html.Div("Range, shared before and after", className="s t2"),
            html.Span(className="ramp", **{"data-palette": "ink"}),
            html.Div([ends[0], html.Span("log1p counts per spot area"), ends[1]],
                     className="row between xs t3 num"),
        ],
        className="rampbox",
    )  # fmt: skip


def _opens(at: EnhanceAt, spots: Mapping[str, Any], fine: Mapping[str, Any]) -> list[Child]:
    """Return what shows each side on the map, and saves it as a figure."""
    layer = f"measured:{at.gene}"
    found: list[Child] = []
    for word, entry in (("spots", spots), ("subspots", fine)):
        found.append(
            html.Button(
                html.Span(f"Show {word} on the map", className="tx"), type="button",
                className="btn sm", **steer(entry["id"], layer),
            )
        )  # fmt: skip
    for word, entry in (("before", spots), ("after", fine)):
        address = f"/api/figure.png?section={entry['id']}&layer={quote(layer)}&palette=ink-light"
        found.append(
            html.A(f"Figure {word}", href=address, download=f"{at.gene}_{word}.png",
                   className="btn sm")
        )  # fmt: skip
    return found


def domains_part(at: EnhanceAt, figures: Figures, entries: Entries) -> list[Child]:
    """Return the domains of spots and of subspots, the same groups in the same colours."""
    spots, fine = entries
    layer = "label:domain"
    picture = swipe(
        Side(spots, layer, "Before: domains of spots", "Model", dashed=True),
        Side(fine, layer, "After: domains of subspots", "Model", dashed=True),
        None, underlay_of(at.job, figures), "Domains",
    )  # fmt: skip
    said = (
        f"{words.plural(figures['domains'], 'domain')} of the factors of spots; subspots go to the "
        "nearest of them. A domain has one colour on both sides."
    )
    side = [
        html.P(said, className="s t2"),
        opacity_or_none(figures),
        html.Div(
            [
                html.Button(html.Span(f"Show {w} on the map", className="tx"), type="button",
                            className="btn sm", **steer(e["id"], layer))
                for w, e in (("spots", spots), ("subspots", fine))
            ],
            className="row wrap",
        ),
    ]  # fmt: skip
    return [html.Div([picture, html.Div(side, className="stack2")], className="sec swipe-row")]


def maps_part(figures: Figures, entries: Entries) -> list[Child]:
    """Return where the model was right, where it added detail, and what is not known."""
    spots, fine = entries
    is_checked = figures["gain"] is not None and figures["method"] != "generative"
    shown = [m for m in MAPS if is_checked or m.layer != RECOVERED]
    pictures = [
        html.Div(
            [
                small_map(fine if m.is_fine else spots, m.layer, m.title, m.said, m.ramp),
                html.P(m.said, className="s t2"),
            ],
            className="stack2 mapnote",
        )
        for m in shown
    ]
    hint = html.P("A click shows a map large, with its values.", className="s t3 sec")
    return [html.Div(pictures, className="smallmaps"), hint]


@dataclass(frozen=True, slots=True)
class Map:
    """A map of spots or subspots, its range, and what it shows."""

    layer: str
    is_fine: bool
    title: str
    ramp: tuple[str, float, float]
    said: str


RECOVERED = "score:recovered"
MAPS = (
    Map(RECOVERED, False, "Recovered spots", ("div", -40.0, 40.0),
        "Blocks of spots were merged and recovered, so the truth is known: change of the deviance "
        "of each spot against interpolation, per cent. Blue is closer than interpolation, orange "
        "farther."),
    Map("score:detail", True, "Detail in subspots", ("ink", 0.0, 1.0),
        "How far a subspot is from the mean of its spot, in standard deviations of counting; 0 is "
        "a copy. No truth is known of subspots: this is where something was added."),
    Map("score:uncertainty", True, "Uncertainty of subspots", ("ink", 0.0, 0.8),
        "Share of the variation between spots that is not known of a subspot."),
    Map("score:residual", False, "Residual of spots", ("ink", 0.5, 2.0),
        "What the model leaves of a spot's counts, in standard deviations expected. Far above 1 a "
        "spot is unlike its surroundings: folded or damaged tissue, or a place of its own."),
)  # fmt: skip
