"""Blocks of the panel on the right: what the layer is, its legend or range, what it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dash import html

from backend.core.layers import LayerInfo, LayerKey
from explorer import figures, ids, words
from explorer.annotated import is_annotated, threshold_block
from explorer.components import (
    Child,
    button,
    caution,
    icon_button,
    kbd,
    key_values,
    plain_row,
    section,
    segments,
    tag,
)
from explorer.everywhere import section_means
from explorer.legend import groups_of, legend, split_missing
from explorer.scene import noun_of
from explorer.state import MONTAGE, PALETTES, grouped

if TYPE_CHECKING:
    from backend.service import Backend

#: Classes listed in the parts of a layer.
LISTED = 8


def is_label(info: LayerInfo) -> bool:
    """Return whether a layer has classes."""
    return info.key.kind == "label"


def _subject(title: Child, tag_: html.Span, line: str) -> html.Div:
    head = html.Div([html.H2(title, className="subject cut"), tag_], className="row between")
    return html.Div([head, html.Div(line, className="t3 s")], className="sec subjectbox")


def subject_without(key: LayerKey) -> html.Div:
    """Return the head of the panel where the section lacks the layer."""
    return _subject(key.name, tag(*words.KIND_TAGS[key.kind]), "Not in this section")


def subject_block(
    info: LayerInfo, annotated: bool, counts: Mapping[int, int], rows: str = "cell"
) -> html.Div:
    """Return title, kind and one line on what the layer is and where it comes from.

    ``rows`` is what the rows of the section are: cell, spot or subspot.
    """
    tag_ = tag(*words.kind_tag(info.key, annotated, info.unit))
    if not is_label(info):
        gene = info.key.kind in ("measured", "imputed")
        line = ", ".join(p for p in (info.unit, _source(info, annotated)) if p)
        title = html.I(info.title) if gene else words.layer_title(info)
        return _subject(title, tag_, line)
    here, missing = split_missing(counts)
    classes = sum(1 for n in here.values() if n)
    noun = "region" if info.key.name == "region" else "class"
    parts = [words.plural(classes, noun), words.plural(sum(here.values()) + missing, rows)]
    source = _source(info, annotated)
    title = words.layer_title(info)
    return _subject(title, tag_, ", ".join([*parts, source] if source else parts))


def _source(info: LayerInfo, annotated: bool) -> str:
    if annotated and is_label(info):
        return "beside the atlas"
    text = info.provenance.strip()
    return text if len(text) <= 60 and not text.startswith(("{", "Provenance")) else ""


def legend_block(
    info: LayerInfo, counts: Mapping[int, int], sort: str, noun: str = "cell"
) -> html.Div:
    """Return the legend: a click isolates, Shift adds; counts are those on screen."""
    here, missing = split_missing(counts)
    other = "name" if sort == "count" else "count"
    head = html.Div(
        [
            html.Span("Click isolates, Shift adds"),
            html.Button(
                f"By {sort}",
                type="button",
                className="t3 textlink",
                title=f"Sort by {other}",
                **{"data-act": "sort", "data-value": other},
            ),
        ],
        className="row between s t2 leghead",
    )
    rows = legend(groups_of(info.categories, here, sort), missing, noun)
    return html.Div(
        [head, pixel_rule(noun), html.Div(rows, className="legend")], className="sec flush"
    )


def pixel_rule(noun: str = "cell") -> html.P:
    """Return how a pixel of many cells gets its class; the scripts show the one that holds."""
    rules = (
        ("majority", f"A pixel of many {noun}s shows its commonest class", False),
        ("any", f"A pixel is lit where any {noun} is of an isolated class", True),
    )
    more = f"Exact at every zoom: counted from all {noun}s of the pixel, not from a sample."
    spans = [
        html.Span([text, html.B(f" ({rule})")], hidden=hidden, **{"data-rule": rule})
        for rule, text, hidden in rules
    ]
    return html.P(spans, className="xs t3 pixelrule", title=more)


def trust_block(backend: Backend, name: str, info: LayerInfo) -> Any:
    """Return the trust badge of what a model made; what was observed has none."""
    if info.key.kind in ("label", "density", "measured") and info.trust is None:
        return None
    expected = backend.expected_r(name, info.key)
    return section(
        "Trust",
        figures.trust_badge(info.trust, info.key.kind, expected),
        caution(backend.bridges_note(name, info.key)),
        fade_row() if backend.can_fade(name, info.key) else None,
    )


def fade_row() -> html.Div:
    """Return the switch that fades values of uncertain cells; the scripts keep its state."""
    hint = (
        "Cells whose measured genes the model explains badly are drawn paler and up to 35 % nearer "
        "to zero"
    )
    switch = button("Fade uncertain", "fade", kind="thin", title=hint, **{"aria-pressed": "false"})
    return html.Div([switch, kbd("F")], className="row gap")


def range_block(backend: Backend, name: str, info: LayerInfo) -> Any:
    """Return histogram, handles and palettes of a numeric layer; the threshold of a query."""
    if is_label(info):
        return threshold_block(backend, name, info) if is_annotated(backend, name) else None
    shown = backend.histogram(name, info.key)
    edges, counts = [float(e) for e in shown.edges], [int(n) for n in shown.counts]
    total = sum(counts) + int(shown.n_zero) + int(shown.n_missing)
    noun = noun_of(backend, name)
    aside = html.Span(
        [
            button("1\u201399 %", "range-reset", kind="sm ghost thin", title="Back to the default"),
            icon_button("lock", "Lock the range across sections", "lock", kind="sm thin"),
        ],
        className="row tight",
    )
    rows = [
        plain_row("Zero", "var(--zero)", int(shown.n_zero), total, noun=noun),
        plain_row("Missing", None, int(shown.n_missing), total, noun=noun)
        if shown.n_missing
        else None,
    ]
    palettes = segments("Palette", [(p, p.capitalize()) for p in PALETTES], "", "palette")
    return section(
        "Range",
        figures.histogram(edges, counts, ("lo", "hi"), f"Colour range, {info.unit}"),
        figures.range_fields(ids.RANGE_LO, ids.RANGE_HI),
        html.Div(rows, className="plainrows"),
        palettes,
        aside=aside,
    )


def parts_block(backend: Backend, name: str, key: LayerKey, codes: Sequence[int]) -> Any:
    """Return what the isolated or commonest class is made of, or means per class of a number."""
    groups = grouped(backend.layers(name))
    if key.kind == "density":
        return None
    if key.kind != "label":
        by = groups.types or groups.places
        blocks = [_means_block(backend, name, key, by[0])] if by else []
        if name == MONTAGE and key.kind in ("measured", "imputed"):
            blocks.append(section_means(backend.gene_means(key.name, key.kind)))
        return [b for b in blocks if b is not None] or None
    is_place = any(i.key == key for i in groups.places)
    others = groups.types if is_place else groups.places
    info = next((i for i in (*groups.places, *groups.types) if i.key == key), None)
    if info is None or not others:
        return None
    chosen = [c for c in codes if 0 <= c < len(info.categories)]
    if not chosen:
        counts, _ = split_missing(backend.counts(name, key))
        chosen = [max(counts, key=lambda c: counts[c])] if counts else []
    if not chosen:
        return None
    rows = backend.composition(name, others[0].key, (key, chosen[0]))
    total = sum(r["count"] for r in rows)
    title = f"{others[0].title} in {info.categories[chosen[0]].name}"
    if not total:
        return section(title, html.Div("No cells carry both labels.", className="s t3"))
    return section(title, *figures.stack(rows, total))


def _means_block(backend: Backend, name: str, key: LayerKey, by: LayerInfo) -> Any:
    rows = backend.means(name, key, by.key)
    if not rows:
        return None
    body = html.Div(figures.mean_rows(rows, LISTED, noun_of(backend, name)), className="dist wide")
    return section(f"Mean by {by.title.lower()}", body)


def no_selection() -> html.Div:
    """Return what the selection says before anything is drawn."""
    text = ["None. Draw a lasso ", kbd("L"), " on an open section to count what is inside."]
    return section("Selection", html.Div(text, className="s t2"))


def selection_block(found: Mapping[str, Any], noun: str = "cell") -> html.Div:
    """Return count and composition of the lassoed cells, spots or subspots."""
    n = found["n_cells"]
    clear = html.Button("Clear", type="button", className="t3 xs", **{"data-act": "lasso-clear"})
    body: list[Child] = [key_values([(f"{noun.capitalize()}s inside", words.count(n))])]
    for name, rows in found["labels"].items():
        total = sum(r["count"] for r in rows)
        lines = [(r["name"], words.percent(r["count"], total)) for r in rows[:4]]
        if lines:
            body.append(html.Div(name.capitalize(), className="xs t3 gap"))
            body.append(key_values(lines))
    return section("Selection", *body, aside=clear)
