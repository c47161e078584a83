"""Icons: names of the masks that assets/icons.css draws in the colour of the text."""

from __future__ import annotations

from dash import html

NAMES = frozenset(
    [
        "mark",
        "search",
        "link",
        "code",
        "moon",
        "sun",
        "help",
        "plus",
        "minus",
        "fit",
        "hand",
        "lasso",
        "rect",
        "rule",
        "undo",
        "redo",
        "down",
        "chev",
        "chevd",
        "left",
        "check",
        "ok",
        "warn",
        "bad",
        "x",
        "up",
        "weight",
        "grid",
        "enh",
        "net",
        "layers",
        "tree",
        "gene",
        "copy",
        "lock",
        "target",
        "img",
        "table",
        "stop",
    ]
)


def icon(name: str, class_name: str = "") -> html.Span:
    """Return an icon in the colour of its surroundings, hidden from screen readers.

    Parameters
    ----------
    name : str
        One of ``NAMES``.
    """
    if name not in NAMES:
        raise ValueError(f"There is no icon '{name}'.")
    return html.Span(className=f"i i-{name} {class_name}".strip(), **{"aria-hidden": "true"})
