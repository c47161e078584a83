"""An annotated upload in the right panel: its threshold, and its classes beside the atlas."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dash import html

from backend.core.layers import LayerInfo, LayerKey
from explorer import figures, words
from explorer.components import section
from explorer.legend import split_missing
from explorer.scene import is_lone
from explorer.state import MONTAGE, QUERY

if TYPE_CHECKING:
    from backend.service import Backend


def is_annotated(backend: Backend, name: str) -> bool:
    """Return whether a section is an upload that was mapped into the atlas."""
    return name.startswith(QUERY) and not is_lone(backend.section_entry(name))


def threshold_block(backend: Backend, name: str, info: LayerInfo) -> Any:
    """Return the confidence histogram of an annotated upload with its threshold."""
    key = LayerKey("confidence", info.key.name)
    if all(i.key != key for i in backend.layers(name)):
        return None
    shown = backend.histogram(name, key)
    edges, counts = [float(e) for e in shown.edges], [int(n) for n in shown.counts]
    return section(
        "Confidence at least",
        figures.histogram(edges, counts, ("least",), "Confidence at least"),
        html.P(id="threshold-words", className="s t2"),
        aside=html.B(id="threshold", className="num"),
    )


def atlas_counts(backend: Backend, name: str, info: LayerInfo) -> tuple[str, dict[str, int]]:
    """Return what a query is compared with: a name, and cells per class name."""
    parent = backend.section_entry(name)["parent"]
    known = {s["id"] for s in backend.sections()}
    target = parent if parent in known else MONTAGE
    for layer in backend.layers(target):
        if layer.key == info.key:
            counts = backend.counts(target, layer.key)
            return target, {c.name: counts.get(k, 0) for k, c in enumerate(layer.categories)}
    return target, {}


def yours_and_atlas(
    info: LayerInfo, counts: Mapping[int, int], atlas: tuple[str, Mapping[str, int]]
) -> html.Div:
    """Return the table of classes: cells, share in the upload, share in the atlas section."""
    here, missing = split_missing(counts)
    total, all_ = sum(here.values()) + missing, sum(atlas[1].values())
    ranked = sorted(enumerate(info.categories), key=lambda kc: -here.get(kc[0], 0))
    rows = [
        [
            k,
            c.name,
            c.colour,
            here.get(k, 0),
            _share(here, k, total),
            _share(atlas[1], c.name, all_),
        ]
        for k, c in ranked
        if here.get(k, 0) or atlas[1].get(c.name, 0)
    ]
    rows.append([-1, "Unassigned", None, missing, words.percent(missing, total), "none"])
    return html.Div(html.Div(**{"data-yours": json.dumps(rows)}), className="sec flush")


def _share(counts: Mapping[Any, int], name: Any, total: int) -> str:
    return words.percent(counts.get(name, 0), total) if total else "none"
