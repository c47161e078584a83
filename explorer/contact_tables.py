"""Tables of contacts and of ligands: a click shows a pair or a gene on the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import html

from explorer import words
from explorer.components import Child, tag
from explorer.contact_state import ContactsAt, write_at

#: Rows of a table that are drawn; the file holds all.
MOST_ROWS = 60
TAGS = {"attraction": "warn", "avoidance": "", "": ""}


def pair_table(pairs: Sequence[Mapping[str, Any]], at: ContactsAt) -> list[Child]:
    """Return the pairs by falling size of z, the called ones first; a click isolates a pair."""
    ranked = sorted(pairs, key=lambda p: (not p["call"], -abs(p["z"])))[:MOST_ROWS]
    heads = (
        ("Types", "A click shows the two alone on the map"),
        ("Call", "q below the rate, enough contacts, and animals agree"),
        ("Contacts", "Pairs of cells nearer than the radius"),
        ("Expected", "Mean over the shifts"),
        ("Fold", "Observed over expected"),
        ("z", "Observed minus expected, in standard deviations of the shifts"),
        ("q", "Benjamini-Hochberg over the pairs of the region"),
        ("Animals", "Animals on the side of the sum, of those with enough contacts"),
    )
    head = html.Tr([html.Th(word, title=title) for word, title in heads])
    parts: list[Child] = [
        html.Table([html.Thead(head), html.Tbody([_pair_row(p, at) for p in ranked])])
    ]
    if len(pairs) > len(ranked):
        parts.append(
            html.P(f"{len(pairs) - len(ranked)} more pairs are in the table.", className="t3 s")
        )
    return parts


def _pair_row(pair: Mapping[str, Any], at: ContactsAt) -> html.Tr:
    codes = (pair["a"], pair["b"])
    to = write_at(ContactsAt(at.job, at.region, at.picture, at.measure, at.limit, codes))
    name = html.Button(
        f"{pair['name_a']} · {pair['name_b']}",
        className="linkish",
        type="button",
        **{"data-act": "using", "data-value": to},
    )
    cells: list[Child] = [
        name,
        tag(pair["call"].capitalize(), TAGS[pair["call"]]) if pair["call"] else "",
        words.count(pair["contacts"]),
        words.number(pair["expected"]),
        f"{pair['fold']:.2f}",
        words.signed(pair["z"], 1),
        q_words(pair["q"]),
        f"{pair['n_agree']} of {pair['n_animals']}",
    ]
    return html.Tr([html.Td(c) for c in cells], className="sel" if at.pair == codes else "")


def q_words(q: float) -> str:
    """Return an adjusted p as it fits into a column."""
    return "<0.001" if q < 0.001 else f"{q:.3f}"


def ligand_table(found: Mapping[str, Any]) -> list[Child]:
    """Return the tests of ligands and receptors; those of weak genes are grey and say so."""
    rows = found["rows"][:MOST_ROWS]
    heads = (
        ("Ligand to receptor", "A click on a gene shows it on the map"),
        ("From, to", ""),
        ("Effect", "Cohen's d of cells that touch against cells that do not"),
        ("q", "Benjamini-Hochberg over both directions; bold where the two groups differ"),
        ("Cells", "Senders that touch, and that do not"),
        ("Random", "Share of random pairs of genes with as high a t"),
        ("Held-out r", "Of the least trusted gene on each side; measured genes need none"),
        ("Remarks", ""),
    )
    head = html.Tr([html.Th(word, title=title) for word, title in heads])
    body = [_ligand_row(row, found["values"]) for row in rows]
    parts: list[Child] = [html.Table([html.Thead(head), html.Tbody(body)])]
    if len(found["rows"]) > len(rows):
        left = len(found["rows"]) - len(rows)
        parts.append(html.P(f"{left:,} more tests are in the table.", className="t3 s"))
    return parts


def _ligand_row(row: Mapping[str, Any], kind: str) -> html.Tr:
    trust = [row["r_ligand"], row["r_receptor"]]
    known = "untested" if trust == [None, None] else ", ".join(_r_words(r) for r in trust)
    said = "measured" if kind == "measured" else known
    marks = [
        tag("Weak genes", "imp") if row["weak"] else None,
        tag("Spill-over?", "warn") if row["spill"] else None,
    ]
    cells: list[Child] = [
        [*_genes(row["ligand"], kind), " → ", *_genes(row["receptor"], kind)],
        f"{row['sender']}, {row['receiver']}",
        words.signed(row["effect"]),
        html.B(q_words(row["q"])) if row["significant"] else q_words(row["q"]),
        f"{row['n_touching']:,} / {row['n_apart']:,}",
        f"{100 * row['background']:.0f} %",
        said,
        html.Span([m for m in marks if m is not None], className="row tight"),
    ]
    return html.Tr([html.Td(c) for c in cells], className="faint" if row["weak"] else "")


def _r_words(r: float | None) -> str:
    return "untested" if r is None else words.number(round(r, 2))


def _genes(genes: Sequence[str], kind: str) -> list[Child]:
    parts: list[Child] = []
    for k, gene in enumerate(genes):
        parts += ["+"] if k else []
        parts.append(
            html.Button(
                html.I(gene),
                className="linkish",
                type="button",
                title=f"Show {gene} on the map, {kind}",
                **{"data-act": "layer", "data-value": f"{kind}:{gene}"},
            )
        )
    return parts
