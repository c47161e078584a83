"""What is said of an enhancement in words: what came of it, of a gene, of the image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import html

from explorer import words
from explorer.components import Child, note
from explorer.enhance_state import is_as_good

Figures = Mapping[str, Any]
METHODS = {
    "model": "Kriging with what the evidence chose",
    "bilinear": "Bilinear interpolation, rescaled to the sums",
    "copy": "Copies of the spots",
    "generative": "Generative model, trained",
}
#: Ways that stand in where the model recovers merged spots less well.
FALLBACKS = ("bilinear", "copy")


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


def gene_facts(gene: Mapping[str, Any] | None) -> Child:
    """Return what a gene gains, and how far it is known."""
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


def gate_said(gate: Mapping[str, Any]) -> str:
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
