"""Classes of a label as rows: grouped by parent, counted, sorted. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dash import html

from backend.core.layers import MISSING, Category
from explorer import words
from explorer.components import Child, legend_row, plain_row
from explorer.icons import icon

#: Groups unfolded when a legend is first shown.
OPEN_GROUPS = 1
#: Below this many rows everything is unfolded.
FEW_ROWS = 16


class Entry(NamedTuple):
    """One class: its code, name, colour and cells."""

    code: int
    name: str
    colour: str
    cells: int


class Group(NamedTuple):
    """A parent with its classes, most cells first; ``name`` is empty for classes without one."""

    name: str
    colour: str
    cells: int
    entries: tuple[Entry, ...]


def entries_of(categories: Sequence[Category], counts: Mapping[int, int]) -> list[Entry]:
    """Return every class with its count, classes without cells too."""
    return [Entry(k, c.name, c.colour, counts.get(k, 0)) for k, c in enumerate(categories)]


def groups_of(
    categories: Sequence[Category], counts: Mapping[int, int], sort: str = "count"
) -> list[Group]:
    """Return classes by parent; groups and classes with most cells (or first names) first.

    A class that is itself a parent belongs to its own group.
    """
    names = {c.parent for c in categories if c.parent}
    members: dict[str, list[Entry]] = {}
    for entry, category in zip(entries_of(categories, counts), categories, strict=True):
        parent = category.parent or (category.name if category.name in names else "")
        members.setdefault(parent, []).append(entry)
    groups = [_group(name, entries, sort) for name, entries in members.items()]
    return sorted(groups, key=lambda g: _order(g.name, g.cells, sort))


def _group(name: str, entries: list[Entry], sort: str) -> Group:
    ranked = sorted(entries, key=lambda e: _order(e.name, e.cells, sort))
    largest = max(entries, key=lambda e: e.cells)
    return Group(name, largest.colour, sum(e.cells for e in entries), tuple(ranked))


def _order(name: str, count: int, sort: str) -> tuple[Any, ...]:
    return (name.lower(),) if sort == "name" else (-count, name.lower())


def legend(groups: Sequence[Group], missing: int) -> list[Child]:
    """Return the rows of a legend; classes without cells are left out and said so."""
    shown = [g for g in groups if g.cells]
    total = sum(g.cells for g in shown) + missing
    most = max((g.cells if g.name else g.entries[0].cells for g in shown), default=1)
    rows = sum(len(g.entries) for g in shown)
    children: list[Child] = []
    for place, group in enumerate(shown):
        is_open = rows <= FEW_ROWS or place < OPEN_GROUPS
        children.append(_legend_group(group, most, total, is_open))
    if missing:
        hint = "Cells that carry no label of this kind"
        children.append(plain_row("Without label", None, missing, total, hint))
    absent = sum(1 for g in groups for e in g.entries if not e.cells)
    if absent:
        text = f"{words.plural(absent, 'class')} without cells on screen"
        children.append(html.Div(text, className="xs t3 plain"))
    return children


def _legend_group(group: Group, most: int, total: int, is_open: bool) -> html.Div:
    rows = [
        legend_row(_row(e.name, e.colour, e.cells, [e.code]), most, bool(group.name), total)
        for e in group.entries
        if e.cells
    ]
    if not group.name:
        return html.Div(rows, className="lgroup open")
    head = legend_row(
        _row(group.name, group.colour, group.cells, [e.code for e in group.entries]),
        most,
        False,
        total,
    )
    head.className = "lg p"
    fold = html.Button(
        icon("chev"),
        type="button",
        className="fold",
        **{
            "aria-label": f"Unfold {group.name}",
            "aria-expanded": str(is_open).lower(),
            "data-act": "fold",
        },
    )
    kids = html.Div(rows, className="kids")
    return html.Div([fold, head, kids], className="lgroup open" if is_open else "lgroup")


def _row(name: str, colour: str, count: int, codes: Sequence[int]) -> dict[str, Any]:
    return {"name": name, "colour": colour, "count": count, "codes": list(codes)}


def tree(groups: Sequence[Group], layer: str) -> html.Div:
    """Return the region tree: parents fold, boxes isolate, counts on the right."""
    items: list[Child] = []
    for group in groups:
        kids = [_leaf(e, layer, bool(group.name)) for e in group.entries]
        items += [_branch(group, layer, kids)] if group.name else kids
    return html.Div(items, className="tree", role="tree", **{"aria-label": "Region tree"})


def _box(codes: Sequence[int], layer: str, name: str) -> html.Button:
    return html.Button(
        icon("check"),
        type="button",
        className="chk",
        role="checkbox",
        **{
            "aria-checked": "true",
            "aria-label": f"Show {name}",
            "data-act": "check",
            "data-layer": layer,
            "data-value": ",".join(map(str, codes)),
        },
    )


def _branch(group: Group, layer: str, kids: list[Child]) -> html.Div:
    codes = [e.code for e in group.entries]
    row = html.Div(
        [
            html.Button(
                icon("chev"),
                type="button",
                className="chev",
                **{"aria-label": f"Unfold {group.name}", "data-act": "fold"},
            ),
            _box(codes, layer, group.name),
            _name(group.name, codes, layer),
            html.Span(words.count(len(codes)), className="n num"),
        ],
        className="tr",
    )
    return html.Div(
        [row, html.Div(kids, className="kids", role="group")],
        className="branch",
        role="treeitem",
        **{"aria-expanded": "false"},
    )


def _leaf(entry: Entry, layer: str, is_child: bool) -> html.Div:
    return html.Div(
        [
            _box([entry.code], layer, entry.name),
            _name(entry.name, [entry.code], layer),
            html.Span(words.count(entry.cells) if entry.cells else "", className="n num"),
        ],
        className="tr k" if is_child else "tr flat",
        role="treeitem",
    )


def _name(name: str, codes: Sequence[int], layer: str) -> html.Button:
    return html.Button(
        name,
        type="button",
        className="cut grow",
        title=f"{name}. Click shows it alone",
        **{
            "data-act": "alone",
            "data-layer": layer,
            "data-value": ",".join(map(str, codes)),
        },
    )


def split_missing(counts: Mapping[int, int]) -> tuple[dict[int, int], int]:
    """Return counts per code, and the cells without a label."""
    return {k: n for k, n in counts.items() if k != MISSING}, counts.get(MISSING, 0)
