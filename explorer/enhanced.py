"""The result of an enhancement in components: pictures, genes, checks, domains, maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from dash import dcc, html

from backend.core.geometry import Bounds
from explorer import plots, words
from explorer.components import Child, button, note, segments, tag
from explorer.enhance_figures import gain_figure, gate_figure
from explorer.enhance_form import steer
from explorer.enhance_state import PARTS, EnhanceAt, is_as_good, write_at
from explorer.enhance_swipe import Side, opacity_control, swipe
from explorer.small_maps import small_map

Figures = Mapping[str, Any]
GENE, GRAPH = "enhance-gene", "enhance-gain"
#: Genes in the table; the file holds all.
MOST_ROWS = 80
METHODS = {
    "model": "Kriging with what the evidence chose",
    "bilinear": "Bilinear interpolation, rescaled to the sums",
    "copy": "Copies of the spots",
    "generative": "Generative model, trained",
}
#: Ways that stand in where the model recovers merged spots less well.
FALLBACKS = ("bilinear", "copy")


def result_head(job: str, at: EnhanceAt) -> html.Div:
    """Return the choice of parts and what can be taken away."""
    shown = [(write_at(EnhanceAt(job, name, at.gene)), word) for name, word in PARTS]
    chosen = segments("Part of the result", shown, write_at(EnhanceAt(job, at.part, at.gene)),
                      "using")  # fmt: skip
    takes = [
        button("h5ad", "take-result", f"{job}|h5ad", glyph="down", kind="sm",
               title="Subspots with rate, split, sd, parents, domains"),
        button("CSV", "take-result", f"{job}|csv", glyph="down", kind="sm", title="Gain by gene"),
        button("JSON", "take-result", f"{job}|json", glyph="down", kind="sm", title="All figures"),
        button("New", "using", "", kind="sm", title="Enhance another section"),
    ]  # fmt: skip
    return html.Div(
        [chosen, html.Div(takes, className="row end wrap")], className="row wrap sec toolbar"
    )


def verdict(figures: Figures) -> list[Child]:
    """Return in plain words what came of it: gain, image, fall-back."""
    gain = figures["gain"]
    fine, genes = figures["subspots"], figures["genes_enhanced"]
    facts = (
        f"{words.plural(figures['spots'], 'spot')} to {words.plural(fine, 'subspot')}, "
        f"{words.plural(genes, 'gene')}. "
    )
    if gain is None:
        return [html.P(facts), *[note(w) for w in figures["warnings"]]]
    expected = gain["expected"]
    if figures["method"] == "generative":
        rows = [w for w in figures["methods"] if w["name"] == "generative"]
        expected = rows[0]["deviance"] if rows else expected
    saved = words.percent(abs(expected), 1)
    if figures["method"] in FALLBACKS:
        said = f"Shown: {METHODS[figures['method']].lower()}, which recovered merged spots better."
    elif expected > 0:
        said = f"Merged spots are recovered with {saved} more deviance than by interpolation."
    else:
        said = (
            f"Merged spots are recovered with {saved} less deviance than by interpolation rescaled "
            "to the sums. This overstates what is gained below the spots."
        )
    return [html.P([html.B(facts), said], className="s"), *[note(w) for w in figures["warnings"]]]


# -- before and after -------------------------------------------------------------------------


def gene_part(
    at: EnhanceAt,
    figures: Figures,
    entries: tuple[Mapping[str, Any], Mapping[str, Any]],
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
        _gene_facts(gene),
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


def _gene_facts(gene: Mapping[str, Any] | None) -> Child:
    if gene is None:
        return None
    if gene["gain"] is None:
        said = "This gene is too rare for the check by merging; nothing is known of its gain."
    elif is_as_good(gene):
        said = "Interpolation is as good for this gene."
    else:
        said = f"{words.percent(-gene['gain'], 1)} of its deviance is saved on merged spots."
    error = f"Standard deviation of a subspot: {words.percent(gene['error'], 1)} of its mean."
    return html.P([html.I(gene["gene"]), f": {said} {error}"], className="s t2")


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


# -- genes ------------------------------------------------------------------------------------


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


# -- checks -----------------------------------------------------------------------------------


def checks_part(figures: Figures) -> list[Child]:
    """Return the self-merge check beside its baselines, and the image beside its controls."""
    blocks = [html.Div([html.H3("Spots merged and recovered"), *_ways(figures)], className="sec")]
    gate = figures["gate"]
    if gate is None:
        text = "No image was used: nothing but the places of the spots guides the subspots."
        blocks.append(html.Div([html.H3("Image"), html.P(text, className="t2")], className="sec"))
    else:
        graph = plots.graph("enhance-gate", gate_figure(gate), "image_evidence", 220)
        blocks.append(html.Div([html.H3("Image and its controls"), html.P(_gate_said(gate)), graph],
                               className="sec"))  # fmt: skip
    blocks.append(html.Div([html.H3("What was chosen"), _kernel(figures)], className="sec"))
    return [html.Div(blocks, className="plotgrid")]


def _gate_said(gate: Mapping[str, Any]) -> str:
    """Return whether the image is used, and why, in words."""
    first = "The image is used" if gate["used"] else "The image is not used"
    evidence = f"the evidence that it matters is {gate['image']:.2f} of 1 (needed: "
    evidence += f"{gate['threshold']:g}), "
    n = len(gate["controls"])
    if gate["better"]:
        return f"{first}: {evidence}and it fits at least as well {gate['better']}."
    return (
        f"{first}: {evidence}and the same image in {n} wrong places fits less well. By chance "
        f"that happens once in {n + 1} times."
    )


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
    name = way["name"].capitalize()
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


# -- domains and maps -------------------------------------------------------------------------


def domains_part(
    at: EnhanceAt, figures: Figures, entries: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> list[Child]:
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


def maps_part(
    figures: Figures, entries: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> list[Child]:
    """Return where spots are unlike what the model expects, and how certain subspots are."""
    spots, fine = entries
    pictures = [
        small_map(spots, "score:residual", "Residual of spots",
                  "Standard deviations; 1 is as expected", ("ink", 0.5, 2.0)),
        small_map(fine, "score:uncertainty", "Uncertainty of subspots",
                  "Share of the variation that is not known", ("ink", 0.0, 0.8)),
    ]  # fmt: skip
    said = (
        "Residual: root mean square over genes of what the model leaves of a spot's counts, in "
        "standard deviations expected. Far above 1 a spot is unlike its surroundings: folded or "
        "damaged tissue, or a place of its own. A click shows a map large, with its values."
    )
    return [html.P(said, className="s t2 sec"), html.Div(pictures, className="smallmaps")]


def reading_part(figures: Figures) -> list[Child]:
    """Return what each figure means."""
    items = [
        html.P([html.B(f"{name.capitalize()}. "), text]) for name, text in
        figures["how_to_read"].items()
    ]  # fmt: skip
    area = (
        "On the map and here subspots are drawn per area of a spot, so that their colours compare "
        "with the spots'; in the file they hold their own part of the counts."
    )
    return [html.Div([*items, html.P([html.B("Colours. "), area])], className="sec reading")]


def chosen_part(
    at: EnhanceAt,
    figures: Figures,
    entries: tuple[Mapping[str, Any], Mapping[str, Any]],
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
