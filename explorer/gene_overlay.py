"""Two genes of a section laid over one another: orange and blue, and both where they meet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dash import html

from backend.core.errors import AtlasError
from backend.core.layers import LayerKey
from explorer.components import Child, note

if TYPE_CHECKING:
    from backend.service import Backend

#: Longest side of the picture, pixels; palettes of the two genes.
SIDE = 230
RAMPS = ("first", "second")
#: A gene that no cell has is drawn up to this.
LEAST = 1e-3


def overlay_of(backend: Backend, section: str, genes: tuple[str, str]) -> list[Child]:
    """Return the overlay of two measured genes, or which of them the section lacks."""
    keys = [LayerKey("measured", gene) for gene in genes]
    try:
        entry = backend.section_entry(section)
        spans = [backend.layer(section, key).span for key in keys]
    except AtlasError as error:
        return [note(str(error))]
    return [overlay(entry, genes, [(float(s[0]), float(s[1])) if s else (0.0, 1.0) for s in spans])]


def overlay(
    entry: Mapping[str, Any], genes: tuple[str, str], spans: list[tuple[float, float]]
) -> html.Figure:
    """Return both maps in one frame; the scripts load the tiles, the style sheet blends them.

    Parameters
    ----------
    entry : mapping
        Of the section, as ``Backend.section_entry`` returns it.
    genes : (str, str)
    spans : list of (lo, hi)
        Colour range of each gene.
    """
    left, top, right, bottom = entry["extent"]
    scale = SIDE / max(right - left, bottom - top, 1e-9)
    size = {"width": f"{(right - left) * scale:.1f}px", "height": f"{(bottom - top) * scale:.1f}px"}
    pictures = [
        _tile(entry, g, (r, *s), scale) for g, r, s in zip(genes, RAMPS, spans, strict=True)
    ]
    words = f"{genes[0]} in orange and {genes[1]} in blue; cells with both are darkest or brightest"
    crop = html.Div(
        pictures, className="crop blend", style=size, role="img", **{"aria-label": words}
    )
    rows = [_key(g, r, s) for g, r, s in zip(genes, RAMPS, spans, strict=True)]
    both = html.Span("Both: dark on the light canvas, white on the dark one.", className="xs t3")
    return html.Figure([crop, html.Figcaption([*rows, both])], className="geneoverlay")


def _tile(
    entry: Mapping[str, Any], gene: str, ramp: tuple[str, float, float], scale: float
) -> html.Img:
    left, top, _, _ = entry["extent"]
    x0, y0 = entry["origin"]
    return html.Img(
        alt="",
        style={
            "width": f"{entry['side'] * scale:.1f}px",
            "left": f"{(x0 - left) * scale:.1f}px",
            "top": f"{(y0 - top) * scale:.1f}px",
        },
        **{
            "data-tile": f"/tiles/{entry['id']}/measured:{gene}/0/0/0.png",
            "data-edition": entry["edition"],
            "data-ramp": json.dumps([ramp[0], ramp[1], max(ramp[2], ramp[1] + LEAST)]),
        },
    )


def _key(gene: str, palette: str, span: tuple[float, float]) -> html.Div:
    """Return the legend of one gene; a click puts it on the large map."""
    name = html.Button(
        html.I(gene),
        type="button",
        className="linkish",
        title=f"Show {gene} on the map",
        **{"data-act": "layer", "data-value": f"measured:{gene}"},
    )
    ramp = html.Span(className="ramp", **{"data-palette": palette})
    ends = html.Span([html.Span(f"{span[0]:.2g}"), html.Span(f"{span[1]:.2g}")])
    return html.Div([name, ramp, html.Span(ends, className="xs t3 num ends")], className="overkey")
