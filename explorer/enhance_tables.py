"""Genes and checks of an enhancement: gain by gene, every plain way, the image, what was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import html

from explorer import plots, words
from explorer.components import Child, note, tag
from explorer.enhance_figures import gain_figure, gate_figure
from explorer.enhance_said import METHODS, Figures, gate_said
from explorer.enhance_state import EnhanceAt, is_as_good, write_at

GRAPH = "enhance-gain"
#: Genes in the table; the file holds all.
MOST_ROWS = 80


def table_part(at: EnhanceAt, figures: Figures) -> list[Child]:
    """Return the expected gain of every gene that was tried, as figure and table."""
    genes = figures["genes"]
    tried = [g for g in genes if g["gain"] is not None]
    if not tried:
        return [html.Div(note("Too few spots to merge: no gene could be tried."), className="sec")]
    good = sum(not is_as_good(g) for g in tried)
    worse = sum(g["gain"] > 0 for g in tried)
    line = (
        f"{good} of {words.plural(len(tried), 'gene')} gain more than 2 %; interpolation is as "
        f"good or better for {len(tried) - good}, better for {worse}. Genes are not chosen one by "
        "one: such a choice lost in tests."
    )
    ranked = sorted(tried, key=lambda g: g["gain"])
    head = html.Tr(
        [html.Th(w, className="r" if k else "", title=h) for k, (w, h) in enumerate(HEADS)]
    )
    rows = [_gene_row(g, at) for g in ranked[:MOST_ROWS]]
    table = html.Table([html.Thead(head), html.Tbody(rows)], className="wide")
    more = len(genes) - len(rows)
    rest = html.P(f"{words.plural(more, 'more gene')} are in the CSV.", className="s t3 gap")
    graph = plots.graph(GRAPH, gain_figure(genes, at.gene), "gain_by_gene", 340)
    return [
        html.P(line, className="s t2 sec"),
        html.Div(
            [html.Div(graph), html.Div([table, rest if more > 0 else None], className="sideways")],
            className="sec twocol wide2",
        ),
    ]


HEADS = (
    ("Gene", "A click shows it before and after"),
    ("Counts", "Mean per spot"),
    ("Saved", "Deviance on spots merged and recovered, against bilinear rescaled to the sums"),
    ("SD / mean", "Posterior standard deviation of a subspot"),
    ("", ""),
)


def _gene_row(gene: Mapping[str, Any], at: EnhanceAt) -> html.Tr:
    to = write_at(EnhanceAt(at.job, "genes", str(gene["gene"])))
    name = html.Button(
        html.I(gene["gene"]), className="linkish", type="button",
        **{"data-act": "using", "data-value": to},
    )  # fmt: skip
    grey = "t3" if is_as_good(gene) else ""
    saved = words.signed(-100 * gene["gain"], 1) + " %"
    cells: list[Child] = [
        html.Td(name),
        html.Td(words.number(gene["mean"]), className="r num"),
        html.Td(saved, className="r num"),
        html.Td(words.percent(gene["error"], 1), className="r num"),
        html.Td("as good" if is_as_good(gene) and gene["gain"] <= 0 else
                "worse" if gene["gain"] > 0 else ""),
    ]  # fmt: skip
    return html.Tr(cells, className=f"{grey} {'sel' if gene['gene'] == at.gene else ''}".strip())


def checks_part(figures: Figures) -> list[Child]:
    """Return the self-merge check beside its baselines, and the image beside its controls."""
    blocks = [html.Div([html.H3("Spots merged and recovered"), *_ways(figures)], className="sec")]
    gate = figures["gate"]
    if gate is None:
        text = "No image was used: nothing but the places of the spots guides the subspots."
        blocks.append(html.Div([html.H3("Image"), html.P(text, className="t2")], className="sec"))
    else:
        graph = plots.graph("enhance-gate", gate_figure(gate), "image_evidence", 220)
        blocks.append(html.Div([html.H3("Image and its controls"), html.P(gate_said(gate)), graph],
                               className="sec"))  # fmt: skip
    blocks.append(html.Div([html.H3("What was chosen"), _kernel(figures)], className="sec"))
    return [html.Div(blocks, className="plotgrid")]


def _ways(figures: Figures) -> list[Child]:
    """Return every way of recovering merged spots, the closest first."""
    gain = figures["gain"]
    if gain is None:
        return [note("Too few spots could be merged; the gain is not known.")]
    said = (
        f"{words.plural(gain['blocks'], 'block')} of spots were merged, recovered and compared "
        "with what was measured. Deviance is against bilinear interpolation rescaled to the sums: "
        "less is closer."
    )
    head = html.Tr(
        [html.Th(w, className="r" if k else "", title=h) for k, (w, h) in enumerate(WAYS)]
    )
    rows = [_way_row(way, figures["method"]) for way in figures["methods"]]
    table = html.Table([html.Thead(head), html.Tbody(rows)], className="wide")
    return [html.P(said, className="s t2"), html.Div(table, className="sideways")]


def _way_row(way: Mapping[str, Any], method: str) -> html.Tr:
    shown = SHOWN.get(method, method) == way["name"]
    name = way["name"][:1].upper() + way["name"][1:]
    cells: list[Child] = [
        html.Td([html.B(name) if shown else name, " ", tag("Shown", "ok") if shown else None]),
        html.Td(f"{way['r']:.2f}", className="r num"),
        html.Td(f"{way['within']:.2f}".replace("-", "−"), className="r num"),
        html.Td(words.percent(way["wins"], 1), className="r num"),
        html.Td(words.signed(100 * way["deviance"], 1) + " %", className="r num"),
    ]
    return html.Tr(cells)


WAYS = (
    ("Way", "All on the same merged spots"),
    ("r", "Over all spots; median of the 60 most spatial genes"),
    ("r within", "Over spots less their block: copying gives 0"),
    ("Genes", "Share of genes with a higher r than rescaled bilinear"),
    ("Deviance", "Against bilinear rescaled to the sums"),
)
#: Which of the ways is what a person sees.
SHOWN = {"model": "this model", "bilinear": "bilinear, rescaled", "copy": "copy"}


def _trained(figures: Figures) -> list[tuple[str, str]]:
    """Return what a trained model says of itself."""
    own = figures.get("generative")
    if not own:
        return []
    nats = ", ".join(f"{d:.1f}" for d in own["divergence"])
    return [
        ("Seeds", words.count(own["seeds"])),
        ("Divergence of the latent", f"{nats} nats per spot"),
    ]


def _kernel(figures: Figures) -> html.Table:
    kernel = figures["kernel"]
    seconds = sum(figures["seconds"].values())
    facts = (
        ("Shown", METHODS[figures["method"]]),
        ("Length of the spatial kernel", f"{kernel['length']:.1f} spot distances"),
        ("Share of the image", words.percent(kernel["image_share"], 1)),
        ("Noise of a spot against the kernel", f"{kernel['noise']:.2f}"),
        ("Uncertainty of a subspot, median", f"{figures['uncertainty_median']:.2f} of 1"),
        *_trained(figures),
        ("Tiles", words.count(figures["tiles"])),
        ("Time", words.seconds(seconds)),
    )
    return html.Table(
        html.Tbody([html.Tr([html.Td(n, className="t2"), html.Td(v)]) for n, v in facts]),
        className="wide",
    )
