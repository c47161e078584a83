"""An annotated upload in the right panel: its threshold, and its classes beside the atlas."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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

#: The method that labels where nothing else is said.
MODEL = "FuseMap"


def is_annotated(backend: Backend, name: str) -> bool:
    """Return whether a section is an upload that was mapped into the atlas."""
    if not name.startswith(QUERY) or is_lone(backend.section_entry(name)):
        return False
    return backend.origin(name).get("verb", "annotate") == "annotate"


def threshold_block(backend: Backend, name: str, info: LayerInfo) -> Any:
    """Return the confidence histogram of an annotated upload with its threshold."""
    key = LayerKey("confidence", info.key.name)
    if all(i.key != key for i in backend.layers(name)):
        return None
    shown = backend.histogram(name, key)
    edges, counts = [float(e) for e in shown.edges], [int(n) for n in shown.counts]
    test = backend.held_out(name, info.key.name)
    return section(
        "Confidence at least",
        figures.histogram(edges, counts, ("least",), "Confidence at least"),
        html.P(id="threshold-words", className="s t2"),
        *tested(test),
        aside=html.B(id="threshold", className="num"),
    )


def tested(test: Mapping[str, Any] | None) -> list[Any]:
    """Return the reliability curve and the plain methods of a label, from held-out cells."""
    if test is None:
        return []
    method = test.get("method", MODEL)
    rows = [(method, test["accuracy"], test["macro_f1"])]
    rows += [(name, b["accuracy"], b["macro_f1"]) for name, b in test["baselines"].items()]
    best = max(row[1] for row in rows)
    table = html.Table(
        [
            html.Thead(html.Tr([html.Th("On held-out cells"), html.Th("right"), html.Th("F1")])),
            html.Tbody([_method(*row, is_best=row[1] == best) for row in rows]),
        ],
        className="methods s num",
    )
    head = (
        f"Right as often as said, within {test['ece']:.3f} on average{_by_chance(test)} "
        f"({test['n_cells']:,} cells, {test['how']})."
    )
    parts = [figures.reliability(test["curve"]), html.P(head, className="s t2"), table]
    warn = _who_labels(test, rows)
    return [*parts, html.P(warn, className="s warn")] if warn else parts


def _by_chance(test: Mapping[str, Any]) -> str:
    """Say how much of the calibration error chance alone explains, where it is known."""
    chance = test.get("ece_by_chance")
    return f", of which {chance:.3f} by chance" if chance else ""


def _who_labels(test: Mapping[str, Any], rows: Sequence[tuple[str, float, float]]) -> str:
    """Say which method labelled the cells where it is not the model, or is not the best."""
    method, right, _ = rows[0]
    wins = [name for name, other, _ in rows[1:] if other > right]
    if method != MODEL:
        return f"These labels are by {method}: {test['why']}."
    return f"{wins[0]} is better for this label here; take care." if wins else ""


def _method(name: str, right: float, f1: float, *, is_best: bool) -> html.Tr:
    cells = [html.Td(name), html.Td(f"{right:.2f}"), html.Td(f"{f1:.2f}")]
    return html.Tr(cells, className="b" if is_best else "")


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
