"""Figures made of html: histogram with handles, trust meter, stacked bar, ring. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import dcc, html

from backend.core.layers import WEAK, Trust
from explorer import words
from explorer.components import Child, distribution_row, swatch, tag

#: Cells of a range of confidence below which its dot says little.
FEW = 20
#: Most classes of a stacked bar that get a name below it.
NAMED = 5
GRADES = {"strong": ("Strong", "ok"), "fair": ("Fair", ""), "weak": ("Weak", "warn")}


def histogram(
    edges: Sequence[float], counts: Sequence[int], handles: Sequence[str], label: str
) -> html.Div:
    """Return bars over a value axis with handles; the scripts colour bars and move handles.

    Parameters
    ----------
    edges : (n + 1,) ascending
    counts : (n,)
    handles : sequence of "lo", "hi", "least"
    label : str
        What the handles set, read out.
    """
    most = max(max(counts, default=0), 1)
    bars = [
        html.I(style={"height": f"{100 * int(n) / most:.1f}%"}, **{"data-n": str(int(n))})
        for n in counts
    ]
    lo, hi = float(edges[0]), float(edges[-1])
    knobs = [
        html.Span(
            className="h",
            role="slider",
            tabIndex="0",
            **{
                "data-handle": name,
                "aria-label": f"{label}, {_HANDLE_WORDS[name]}",
                "aria-valuemin": f"{lo:.6g}",
                "aria-valuemax": f"{hi:.6g}",
            },
        )
        for name in handles
    ]
    values = [html.Span(className="v num", **{"data-of": name}) for name in handles]
    return html.Div(
        [html.Div(bars, className="bars"), *knobs, *values],
        className="hist",
        role="group",
        **{
            "aria-label": label,
            "data-lo": f"{lo:.9g}",
            "data-hi": f"{hi:.9g}",
        },
    )


_HANDLE_WORDS = {"lo": "lowest", "hi": "highest", "least": "threshold"}


def range_fields(lo: str, hi: str) -> html.Div:
    """Return two typed values under a histogram."""

    def field(name: str, word: str) -> html.Label:
        typed = dcc.Input(
            id=name,
            type="text",
            debounce=True,
            className="field num",
            inputMode="decimal",
            autoComplete="off",
        )
        return html.Label([html.Span(word), typed], className="row", title=f"Range {word}")

    return html.Div([field(lo, "from"), field(hi, "to")], className="row s t3 fields")


def trust_badge(trust: Trust | None, kind: str, expected: float | None = None) -> html.Div:
    """Return how far a layer was right where it could be checked, beside a plain baseline.

    Parameters
    ----------
    trust : Trust or None
        None says that nothing was tested, which is shown as such.
    kind : str
        Of the layer.
    expected : float or None
        Held-out r that genes with such scores had, for a gene that was not tested.
    """
    if trust is None:
        text = {
            "imputed": "This gene was not measured where it could be checked, so nothing says "
            "how good the imputation is.",
            "measured": "Measured values need no test of this kind.",
        }.get(kind, "No held-out test of this layer is on record.")
        if expected is not None:
            text += f" Tested genes with scores like this one reached r {expected:.2f}."
        return html.Div(
            [
                html.Div([tag("Not tested"), html.Span(className="grow")], className="row"),
                html.P(text, className="s t2 gap"),
            ],
            className="trust",
        )
    word, kind_class = GRADES[trust.grade]
    return html.Div(
        [
            html.Div(
                [
                    _figure(trust.figure, trust.measure, "big", "t2"),
                    _figure(trust.baseline, trust.baseline_name, "big t3 plainfig", "t3"),
                    html.Span(
                        [word], className=f"tag {kind_class} grade", title="Trust of this layer"
                    ),
                ],
                className="row figs",
            ),
            _meter(trust),
            html.P(_verdict(trust), className="s t2 strong") if trust.grade == "weak" else None,
            html.P([trust.how, " The tick is the baseline."], className="s t2"),
        ],
        className="trust",
    )


def _verdict(trust: Trust) -> str:
    """Say why a layer is weak."""
    if trust.figure < trust.baseline:
        return f"Better here: {trust.baseline_name}."
    if trust.figure < WEAK:
        return "Too little of this gene can be imputed to read single cells."
    return f"Hardly better than {trust.baseline_name}."


def _figure(value: float, name: str, kind: str, under: str) -> html.Div:
    return html.Div(
        [
            html.Div(words.fixed(value, 2), className=kind),
            html.Div(name, className=f"xs cut {under}", title=name),
        ],
        className="fig",
    )


def _meter(trust: Trust) -> html.Div:
    def share(value: float) -> str:
        return f"{100 * min(max(value, 0.0), 1.0):.0f}%"

    return html.Div(
        [
            html.I(style={"width": share(trust.figure)}),
            html.B(style={"left": share(trust.baseline)}),
        ],
        className="meter",
        role="img",
        **{
            "aria-label": f"{trust.measure} {trust.figure:.2f}, "
            f"{trust.baseline_name} {trust.baseline:.2f}"
        },
    )


def reliability(curve: Sequence[Mapping[str, float]]) -> html.Div:
    """Return the reliability curve of a label as dots: their height should be their place.

    Parameters
    ----------
    curve : sequence of {confidence, accuracy, n}
        Ranges of confidence of held-out cells; those of fewer than ``FEW`` cells are faint.
    """
    most = max((b["n"] for b in curve), default=1)
    dots = [
        html.I(
            style={
                "left": f"{100 * b['confidence']:.1f}%",
                "bottom": f"{100 * b['accuracy']:.1f}%",
                "--size": f"{5 + 7 * (b['n'] / most) ** 0.5:.1f}px",
                "opacity": 1 if b["n"] >= FEW else 0.35,
            },
            title=f"said {b['confidence']:.2f}, right {b['accuracy']:.2f}, "
            f"{words.plural(int(b['n']), 'cell')}",
        )
        for b in curve
    ]
    said = ", ".join(f"{b['confidence']:.2f} {b['accuracy']:.2f}" for b in curve)
    label = f"Reliability: confidence and share right, {said}"
    axes = [html.Span("right", className="ry"), html.Span("confidence", className="rx")]
    return html.Div([*dots, *axes], className="reliability", role="img", **{"aria-label": label})


def stack(rows: Sequence[Mapping[str, Any]], total: int) -> list[Child]:
    """Return a stacked bar of classes and the names of the commonest.

    Parameters
    ----------
    rows : sequence of {name, colour, count}
        Most cells first.
    """
    bars = [
        html.I(
            style={"width": f"{100 * r['count'] / total:.2f}%", "background": r["colour"]},
            title=f"{r['name']}, {words.percent(r['count'], total)}",
        )
        for r in rows
        if r["count"] > 0.004 * total
    ]
    names = [
        html.Div(
            [
                swatch(r["colour"]),
                html.Span(r["name"], className="cut grow t2"),
                html.Span(words.percent(r["count"], total), className="num"),
            ],
            className="row s stackrow",
        )
        for r in rows[:NAMED]
    ]
    return [html.Div(bars, className="stack"), html.Div(names, className="gap")]


def shares(rows: Sequence[Mapping[str, Any]], most_rows: int, noun: str = "cell") -> list[Child]:
    """Return rows of the dock: the commonest classes with their share."""
    total = sum(r["count"] for r in rows)
    if not total:
        return [html.Div(f"No {noun}s on screen.", className="s t3")]
    first = rows[0]["count"]
    return [
        distribution_row(
            r["name"],
            r["count"] / first,
            r["colour"],
            words.percent(r["count"], total),
            f"{r['name']}, {words.plural(r['count'], noun)}",
        )
        for r in rows[:most_rows]
        if r["count"]
    ]


def mean_rows(rows: Sequence[Mapping[str, Any]], most_rows: int, noun: str = "cell") -> list[Child]:
    """Return rows of the mean of a layer per class, highest first."""
    if not rows:
        return [html.Div("No classes to compare.", className="s t3")]
    most = max(max(r["mean"] for r in rows), 1e-9)
    return [
        distribution_row(
            r["name"],
            r["mean"] / most,
            r["colour"],
            words.mean(r["mean"]),
            f"{r['name']}, mean {words.number(r['mean'])} of {words.plural(r['n'], noun)}",
        )
        for r in rows[:most_rows]
    ]


def ring(share: float) -> html.Span:
    """Return a ring filled by ``share`` (0..1)."""
    return html.Span(className="ring", style={"--share": f"{100 * share:.0f}%"})
