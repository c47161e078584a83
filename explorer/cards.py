"""Cards: a cell, a section, an error, the check of an upload, a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import html

from backend.core.layers import LayerInfo
from explorer import words
from explorer.components import (
    Child,
    bar,
    button,
    caution,
    icon_button,
    key_values,
    probability_row,
    swatch,
    tag,
)
from explorer.icons import icon

#: A runner-up whose probability is within this of the first gets a sentence.
CLOSE = 0.2
STEPS = ("File", "Check", "Run", "Result")
STATE_GLYPHS = {"ok": ("ok", "good"), "warning": ("warn", "warn"), "blocked": ("bad", "bad")}


def cell_card(cell: Mapping[str, Any], layer: LayerInfo | None, is_pinned: bool) -> html.Div:
    """Return all that is known of one cell: types, value, likeliest labels, top genes, place.

    Parameters
    ----------
    cell : mapping
        As ``Backend.cell`` returns it; ``xy_unit`` and ``noun`` of its section.
    layer : LayerInfo or None
        The layer on screen.
    is_pinned : bool
        A pinned card lists genes and stays until closed.
    """
    labels = cell["labels"]
    lead = layer.key.name if layer is not None and layer.key.kind == "label" else ""
    lead = lead if lead in labels else next(iter(labels), "")
    parts = [_card_head(cell, labels.get(lead), is_pinned), _label_lines(labels, lead)]
    likely = (labels.get(lead) or {}).get("alternatives") or []
    if likely:
        parts.append(_likeliest(likely))
    if is_pinned:
        parts += [_top_genes("Measured", "mea", cell["measured"])]
        parts += [_top_genes("Imputed", "imp", cell["imputed"])]
    parts.append(key_values(_facts(cell, layer)))
    return html.Div([p for p in parts if p is not None], className="cellcard")


def _card_head(cell: Mapping[str, Any], label: Mapping[str, Any] | None, pinned: bool) -> Child:
    name = (label or {}).get("name") or ("Unassigned" if label else str(cell["id"]))
    confidence = (label or {}).get("confidence")
    said = f"confidence {confidence:.2f}" if confidence is not None else ""
    head: list[Child] = [swatch((label or {}).get("colour")), html.H4(name, className="cut")]
    if said:
        head.append(html.Span(said, className="t3 num nowrap"))
    if pinned:
        head.append(icon_button("x", "Close the card (Esc)", "unpin", kind="sm end"))
    return html.Div(head, className="row")


def _label_lines(labels: Mapping[str, Mapping[str, Any]], lead: str) -> Child:
    """Return the other labels of the cell, one line each, in their colours."""
    lines = [
        html.Div(
            [swatch(entry["colour"]), html.Span(entry["name"], className="cut")],
            className="row t2",
        )
        for name, entry in labels.items()
        if name != lead and entry.get("name")
    ]
    return html.Div(lines, className="lines") if lines else None


def _likeliest(likely: Sequence[Sequence[Any]]) -> Child:
    rows: list[Child] = [
        probability_row(str(name), float(p), k == 0) for k, (name, p) in enumerate(likely[:3])
    ]
    if len(likely) > 1 and float(likely[0][1]) - float(likely[1][1]) <= CLOSE:
        gap = float(likely[0][1]) - float(likely[1][1])
        text = f"The runner-up, {likely[1][0]}, is within {max(gap, 0.01):.2f}: check its markers."
        rows.append(html.P(text, className="t2 gap"))
    return html.Div(rows, className="gap")


def _top_genes(word: str, kind: str, genes: Sequence[Sequence[Any]]) -> Child:
    if not genes:
        return None
    most = max(float(value) for _, value in genes) or 1.0
    rows = [
        html.Div(
            [
                html.I(str(symbol), className="cut"),
                bar(float(value) / most, "var(--bar)"),
                html.Span(words.number(float(value)), className="n num"),
            ],
            className="pb g",
        )
        for symbol, value in genes[:5]
    ]
    return html.Div([html.Div(tag(word, kind), className="gap"), *rows])


def _facts(cell: Mapping[str, Any], layer: LayerInfo | None) -> list[tuple[Child, Child]]:
    pairs: list[tuple[Child, Child]] = []
    if layer is not None and "value" in cell:
        value = cell["value"]
        kind = words.kind_tag(layer.key, False, layer.unit)[0].lower()
        shown = "missing" if value is None else words.number(value)
        pairs.append(([html.I(layer.title), f", {kind}"], shown))
        if cell.get("interval"):
            pairs += _interval(cell["interval"])
    pairs.append(
        (cell.get("noun", "cell").capitalize(), html.Span(str(cell["id"]), className="mono cut"))
    )
    unit = "" if cell.get("xy_unit", "um") == "um" else cell["xy_unit"]
    pairs.append(("Position", f"{cell['x']:,.0f}, {cell['y']:,.0f} {unit or 'µm'}"))
    return pairs


def _interval(found: Mapping[str, float]) -> list[tuple[Child, Child]]:
    """Return the range that holds nine of ten such values, and how certain the cell is."""
    text = f"{words.number(found['lo'])} to {words.number(found['hi'])}"
    hint = (
        "Split conformal, from hidden genes; differences in level between technologies come on top"
    )
    return [
        ("90 % interval", html.Span(text, title=hint)),
        ("Certainty", f"{found['certainty']:.2f} of 1"),
    ]


def section_card(entry: Mapping[str, Any], lead: tuple[str, str] | None) -> html.Div:
    """Return what is known of a section; ``lead`` is its commonest class with its share."""
    called = f"{str(entry['noun']).capitalize()}s"
    pairs: list[tuple[Child, Child]] = [(called, words.count(entry["n_cells"]))]
    if lead is not None:
        pairs.append(lead)
    if entry["technology"]:
        pairs.append(("Technology", entry["technology"]))
    pairs.append(("Size", words.extent(entry)))
    return html.Div(
        [
            html.H4(entry["title"]),
            html.Div(entry["dataset"], className="t2"),
            key_values(pairs),
            caution(entry.get("few_bridges", "")),
            html.P("Double-click opens this section", className="t3 gap"),
        ],
        className="cellcard",
    )


def error_card(
    title: str, error: Mapping[str, Any], actions: Sequence[Child] = (), reference: str = ""
) -> html.Div:
    """Return four lines of a fault, or of each fault of a file; then what to do, and an id to copy.

    Parameters
    ----------
    error : mapping
        Shape of ``AtlasError.as_json``; with ``faults`` for a refused file.
    """
    faults = error.get("faults") or [
        {"what": error.get("message", ""), "remedy": " ".join(error.get("hint") or [])}
    ]
    rows = [
        html.Tr([html.Td(word), html.Td(str(fault[key]))], className="first" if not k else "")
        for fault in faults
        for k, (word, key) in enumerate(
            (("What", "what"), ("Where", "where"), ("Expected", "expected"), ("Remedy", "remedy"))
        )
        if fault.get(key)
    ]
    foot = [
        html.Span(["Job ", html.Span(reference[:8], className="mono", title=reference)]),
        html.Span("nothing was written"),
        html.Span(className="grow"),
        icon_button("copy", "Copy the id", "copy", reference, "sm"),
    ]
    return html.Div(
        [
            html.Div([icon("bad"), html.H2(title)], className="row bad"),
            html.Table(html.Tbody(rows)),
            html.Div(list(actions), className="row wrap"),
            html.Div(foot, className="row t3 xs foot") if reference else None,
        ],
        className="errorcard card",
        role="status",
    )


def steps(current: str) -> html.Div:
    """Return file, Check, Run, Result: where the person is."""
    parts: list[Child] = []
    for k, step in enumerate(STEPS):
        if k:
            parts.append(html.I())
        here = step == current
        parts.append(html.B(step, **{"aria-current": "step"}) if here else html.Span(step))
    return html.Div(parts, className="steps")


def finding_row(finding: Mapping[str, Any]) -> html.Div:
    """Return one finding of the check, with its fix."""
    glyph, colour = STATE_GLYPHS.get(finding["state"], STATE_GLYPHS["warning"])
    word = {"ok": "Fine", "warning": "Warning", "blocked": "Blocked"}.get(finding["state"], "")
    text: list[Child] = [finding.get("text") or ""]
    if finding.get("fix"):
        text += [" ", html.Span(finding["fix"], className="fix")]
    return html.Div(
        [
            html.Span(icon(glyph), className=colour, title=word, **{"aria-label": word}),
            html.Div(
                [html.Span(finding["title"]), html.Span(str(finding["value"]), className="num")],
                className="l",
            ),
            html.P(text),
        ],
        className="ck",
    )


def job_title(job: Mapping[str, Any]) -> str:
    """Return what a job does, in words."""
    name = (job.get("inputs") or {}).get("name") or (job.get("params") or {}).get("name") or ""
    verb = str(job["verb"])
    return f"{words.VERBS.get(verb, verb.replace('_', ' ').capitalize())} {name}".strip()


def job_progress(job: Mapping[str, Any]) -> html.Div:
    """Return a job that waits or runs: share done, message, time left, what can be done."""
    share = float(job["fraction"] or 0)
    left = job.get("seconds_left")
    waits = job["state"] == "queued"
    message = job["message"] or ("Waiting for its turn" if waits else "Starting")
    if waits and job.get("position") is not None:
        message = f"Position {job['position'] + 1} in the queue"
    return html.Div(
        [
            html.Div(
                [
                    html.B(job_title(job), className="cut"),
                    html.B(f"{100 * share:.0f} %", className="num"),
                ],
                className="row between",
            ),
            html.Div(
                html.I(style={"width": f"{100 * share:.1f}%"}),
                className="prog",
                role="progressbar",
                **{"aria-valuenow": f"{100 * share:.0f}", "aria-label": job_title(job)},
            ),
            html.Div(
                [
                    html.Span(message),
                    html.Span("" if left is None else f"about {words.seconds(left)} left"),
                ],
                className="row between s t2 num",
            ),
            html.Div(
                [
                    button("Copy link to result", "copy-job", job["id"], glyph="link", kind="sm"),
                    button("Cancel", "cancel-job", job["id"], glyph="stop", kind="sm"),
                ],
                className="row wrap gap",
            ),
        ],
        className="job-progress",
    )
