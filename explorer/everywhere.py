"""A gene over the whole atlas: its mean per section, and which sections have no say in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import html

from explorer import words
from explorer.components import Child, bar, section

#: Sections listed, highest mean first.
LISTED = 8


def section_means(found: Mapping[str, Any]) -> html.Div | None:
    """Return bars of a gene's mean per section; a row opens its section.

    Parameters
    ----------
    found : mapping
        As ``Backend.gene_means`` returns it by section.
    """
    entries = [e for e in found["entries"] if e["comparable"]]
    if not entries:
        return None
    most = max(max(e["mean"] for e in entries), 1e-9)
    rows = [_row(e, most) for e in entries[:LISTED]]
    whole = f"Over all {words.plural(found['n'], 'cell')} the mean is {words.mean(found['mean'])}."
    said: list[Child] = [html.P(whole, className="s t2 gap")]
    if found["left_out"]:
        parts = [
            f"{words.plural(o['n_sections'], 'section')} {o['why']}" for o in found["left_out"]
        ]
        said.append(html.P(f"Not included: {', '.join(parts)}.", className="s t3"))
    aside = html.Span(f"first {len(rows)} of {len(entries)}", className="t3 xs num")
    return section("Mean by section", html.Div(rows, className="dist wide"), *said, aside=aside)


def _row(entry: Mapping[str, Any], most: float) -> html.Button:
    figure = words.mean(entry["mean"])
    said = f"{entry['name']}, mean {figure} of {words.plural(entry['n'], 'cell')}"
    return html.Button(
        [
            html.Span(entry["name"], className="cut"),
            bar(entry["mean"] / most, "var(--bar)"),
            html.Span(figure, className="n num"),
        ],
        type="button",
        className="dr open",
        title=f"{said}. Click opens",
        **{"data-act": "open", "data-value": entry["id"], "aria-label": f"Open {said}"},
    )
