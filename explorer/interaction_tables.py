"""Tables of the interactions tool: gene pairs, niches, and figures beside plain methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dash import html

from explorer import words
from explorer.components import Child, note, tag
from explorer.interaction_state import InteractionsAt, write_at

#: Rows of a table that are drawn; the file holds all.
MOST_ROWS = 60
#: Head of the column of the transformer, and what it says.
BY_REMOVAL = (
    "z by removal",
    "Transformer: both genes removed beyond each by itself, against exchanges of contacting cells",
)


def gene_pair_table(
    rows: Sequence[Mapping[str, Any]], at: InteractionsAt, rate: float
) -> list[Child]:
    """Return the gene pairs by q; a click lays the two genes over one another."""
    ranked = sorted(rows, key=lambda r: (r["q"], -abs(r["z"])))
    heads = (
        ("Genes", "A click lays the two over one another"),
        ("Effect", "What the pair adds beyond both genes by themselves, standardised"),
        (
            "z",
            "Against permutations of contacting cells within 150 µm blocks, surroundings taken off",
        ),
        ("q", f"Benjamini-Hochberg over all pairs; called below {rate:g}"),
        *((BY_REMOVAL,) if _has_forward(rows) else ()),
        ("What to know", "Ligands and receptors, and signs of spilled transcripts"),
    )
    head = html.Tr([html.Th(word, title=title) for word, title in heads])
    body = [_gene_row(r, at, rate, _has_forward(rows)) for r in ranked[:MOST_ROWS]]
    parts: list[Child] = [html.Table([html.Thead(head), html.Tbody(body)])]
    if len(ranked) > MOST_ROWS:
        more = f"{words.count(len(ranked) - MOST_ROWS)} more pairs are in the table (CSV)."
        parts.append(html.P(more, className="t3 s"))
    return parts


def _has_forward(rows: Sequence[Mapping[str, Any]]) -> bool:
    return any(r.get("forward_q") is not None for r in rows)


def _gene_row(
    row: Mapping[str, Any], at: InteractionsAt, rate: float, has_forward: bool
) -> html.Tr:
    genes = (row["gene_a"], row["gene_b"])
    to = write_at(replace(at, genes=None if at.genes == genes else genes))
    name = html.Button(
        [html.I(genes[0]), " · ", html.I(genes[1])],
        className="linkish",
        type="button",
        **{"data-act": "using", "data-value": to},
    )
    tags: list[Child] = [tag("Ligand, receptor", "ok")] if row["is_ligand_receptor"] else []
    tags += [tag(flag, "warn") for flag in row["flags"]]
    q = "<0.001" if row["q"] < 0.001 else f"{row['q']:.3f}"
    cells: list[Child] = [
        name,
        f"{row['effect']:+.3g}".replace("-", "−"),
        words.signed(row["z"], 1),
        html.B(q) if row["q"] < rate else q,
        *([_by_removal(row, rate)] if has_forward else []),
        html.Span(tags, className="row wrap tight"),
    ]
    return html.Tr([html.Td(c) for c in cells], className="sel" if at.genes == genes else "")


def _by_removal(row: Mapping[str, Any], rate: float) -> Child:
    """Return z and q of the transformer, or that too few contacts show both genes."""
    if row.get("forward_q") is None:
        return html.Span("too few", className="t3", title="Under 20 contacts show both genes")
    shown = f"{words.signed(row['forward_z'], 1)} (q {row['forward_q']:.2g})"
    return html.B(shown) if row["forward_q"] < rate else shown


def trust_table(found: Mapping[str, Any]) -> list[Child]:
    """Return the held-out figures of the model and of every plain method, best in bold.

    Where a plain method is as good, a note says so.
    """
    methods: Mapping[str, Mapping[str, float]] = found["methods"]
    measures = [m for m in found["measures"] if any(m[0] in f for f in methods.values())]
    head = html.Tr([html.Th("Method")] + [html.Th(word, className="r") for _, word in measures])
    best = {
        key: max(f[key] for f in methods.values() if f.get(key) is not None) for key, _ in measures
    }
    body = [
        html.Tr(
            [html.Td(html.B(name) if name == found["model"] else name)]
            + [_figure(f.get(key), best[key]) for key, _ in measures]
        )
        for name, f in methods.items()
    ]
    parts: list[Child] = [html.Table([html.Thead(head), html.Tbody(body)], className="wide")]
    parts += [note(line) for line in as_good(found)]
    parts.append(html.P(found["tested_on"], className="s t3"))
    return parts


def _figure(value: float | None, best: float) -> html.Td:
    if value is None:
        return html.Td("", className="r num")
    shown = f"{value:.2f}"
    return html.Td(html.B(shown) if value >= best - 5e-4 else shown, className="r num")


def as_good(found: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each measure in which a plain method is as good as the model."""
    methods = dict(found["methods"])
    own = methods.pop(found["model"], {})
    lines = []
    for key, word in found["measures"]:
        rivals = {n: f[key] for n, f in methods.items() if f.get(key) is not None and _is_plain(n)}
        if own.get(key) is None or not rivals:
            continue
        name = max(rivals, key=lambda n: rivals[n])
        if rivals[name] >= own[key] - 0.005:
            lines.append(f"{word}: {name} is as good ({rivals[name]:.2f} against {own[key]:.2f}).")
    return lines


def _is_plain(method: str) -> bool:
    """Whether a method is none of the pair model's own kinds."""
    return not method.startswith("Pair model")


def niche_rows(niche: Sequence[Mapping[str, Any]]) -> html.Table:
    """Return who was predicted around the chosen cells, beside who is there."""
    head = html.Tr([html.Th(w, className="" if k < 2 else "r")
                    for k, w in enumerate(("Type", "", "Predicted", "Observed"))])  # fmt: skip
    ranked = sorted(niche, key=lambda r: -r["predicted"])[:12]
    body = [
        html.Tr(
            [
                html.Td(r["name"]),
                html.Td(_share(r["predicted"])),
                html.Td(words.percent(r["predicted"], 1), className="r num"),
                html.Td(
                    "" if r.get("observed") is None else words.percent(r["observed"], 1),
                    className="r num",
                ),
            ]
        )
        for r in ranked
    ]
    return html.Table([html.Thead(head), html.Tbody(body)], className="wide")


def shares_table(rows: Sequence[tuple[str, float, str]], word: str) -> html.Table:
    """Return names with a bar as long as their share and a figure, the largest first."""
    head = html.Tr([html.Th("Type"), html.Th(""), html.Th(word, className="r")])
    body = [
        html.Tr([html.Td(name), html.Td(_share(share)), html.Td(shown, className="r num")])
        for name, share, shown in sorted(rows, key=lambda r: -r[1])
    ]
    return html.Table([html.Thead(head), html.Tbody(body)], className="wide")


def _share(share: float) -> html.Span:
    """Return a bar as long as a share."""
    return html.Span(html.I(style={"width": f"{100 * share:.1f}%"}), className="sharebar")
