"""Small parts of the screen: buttons, tags, rows, bars. Content is html children, never markup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import html

from explorer import words
from explorer.icons import icon

Child = Any


def button(
    label: str, act: str, value: str = "", *, glyph: str = "", kind: str = "", **attributes: Any
) -> html.Button:
    """Return a button with a word; ``act`` names what the scripts do on a click."""
    children: list[Child] = [icon(glyph)] if glyph else []
    children.append(html.Span(label, className="tx"))
    return html.Button(
        children,
        className=f"btn {kind}".strip(),
        type="button",
        **{"data-act": act, "data-value": value, **attributes},
    )


def icon_button(
    glyph: str, label: str, act: str, value: str = "", kind: str = "", **attributes: Any
) -> html.Button:
    """Return a button with an icon alone; the label is read out and shown on hover."""
    return html.Button(
        icon(glyph),
        className=f"ib {kind}".strip(),
        type="button",
        title=label,
        **{"aria-label": label, "data-act": act, "data-value": value, **attributes},
    )


def segments(
    label: str, choices: Sequence[tuple[str, str]], chosen: str, act: str, disabled: str = ""
) -> html.Div:
    """Return a row of exclusive choices; each choice is (value, word)."""
    return html.Div(
        [
            html.Button(
                word,
                type="button",
                role="radio",
                className="on" if value == chosen else "",
                disabled=value == disabled,
                **{
                    "aria-checked": str(value == chosen).lower(),
                    "data-act": act,
                    "data-value": value,
                },
            )
            for value, word in choices
        ],
        className="seg",
        role="radiogroup",
        **{"aria-label": label},
    )


def tag(word: str, kind: str = "") -> html.Span:
    """Return a chip: filled for measured, dashed for what was not observed."""
    return html.Span(word, className=f"tag {kind}".strip())


def swatch(colour: str | None) -> html.Span:
    """Return a square in a colour; hatched where there is none."""
    if colour is None:
        return html.Span(className="sw un")
    return html.Span(className="sw", style={"background": colour})


def bar(share: float, colour: str | None) -> html.Span:
    """Return a bar that fills ``share`` (0..1) of its track."""
    width = f"{100 * min(max(share, 0.0), 1.0):.1f}%"
    return html.Span(
        html.I(style={"width": width, "background": colour or "var(--none)"}), className="tk"
    )


def key_values(pairs: Sequence[tuple[Child, Child]]) -> html.Div:
    """Return names on the left, values on the right."""
    return html.Div([html.Span(part) for pair in pairs for part in pair], className="kv")


def caution(text: str) -> Child:
    """Return a sentence with a warning glyph; nothing for an empty one."""
    if not text:
        return None
    return html.P(
        [html.Span(icon("warn"), className="warn", **{"aria-label": "Warning"}), f" {text}"],
        className="s t2 gap caution",
    )


def section(title: Child, *children: Child, aside: Child = None) -> html.Div:
    """Return a block of a panel with its heading."""
    heading = html.H3([html.Span(title), aside] if aside is not None else title)
    return html.Div([heading, *children], className="sec")


def note(text: Child, glyph: str = "warn", kind: str = "warn") -> html.Div:
    """Return a remark that stands out, with an icon and a word rather than colour alone."""
    return html.Div([icon(glyph), html.Div(text)], className=f"note {kind}")


def kbd(*keys: str) -> html.Span:
    """Return keys as they are printed."""
    return html.Span([html.Kbd(key) for key in keys], className="keys")


def plain_row(
    name: str, colour: str | None, n: int, total: int, hint: str = "", noun: str = "cell"
) -> html.Div:
    """Return a row that counts but cannot be isolated: zero, missing, unassigned."""
    return html.Div(
        [
            html.Span([swatch(colour), html.Span(name)], className="row"),
            html.Span(f"{words.plural(n, noun)}, {words.percent(n, total)}", className="num"),
        ],
        className="row between s t2 plain",
        title=hint,
    )


def distribution_row(
    name: str, share: float, colour: str | None, figure: str, title: str = ""
) -> html.Div:
    """Return a row of the dock: name, bar, figure."""
    return html.Div(
        [
            html.Span(name, className="cut"),
            bar(share, colour),
            html.Span(figure, className="n num"),
        ],
        className="dr",
        title=title or name,
    )


def probability_row(name: str, value: float, is_first: bool) -> html.Div:
    """Return one of the likeliest labels of a cell."""
    return html.Div(
        [
            html.Span(name, className="cut b" if is_first else "cut t2", title=name),
            bar(value, "var(--accent)" if is_first else "var(--bar)"),
            html.Span(f"{value:.2f}", className="n num"),
        ],
        className="pb",
    )


def skeleton(rows: int, height: int = 16) -> html.Div:
    """Return grey rows in the shape of what is about to come."""
    style = {"height": f"{height}px"}
    return html.Div(
        [html.Div(className="skel", style=style) for _ in range(rows)],
        className="skels",
        **{"aria-hidden": "true"},
    )


def empty_state(title: str, text: Child, actions: Sequence[Child] = ()) -> html.Div:
    """Return why there is nothing to see, and the one step back."""
    return html.Div(
        [
            html.H2(title),
            html.P(text, className="t2"),
            html.Div(list(actions), className="row wrap"),
        ],
        className="empty card",
        role="status",
    )
