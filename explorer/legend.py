"""Classes of a label: grouped by parent, counted, sorted. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dash import html

from backend.core.layers import MISSING, Category

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


def legend(groups: Sequence[Group], missing: int, noun: str = "cell") -> html.Div:
    """Return a legend as data: the scripts draw it, so that 300 rows stay fast.

    Notes
    -----
    Classes without cells are left out and counted. ``assets/rows.js`` makes each row a button
    whose text is a text node.
    """
    shown = [g for g in groups if g.cells]
    total = sum(g.cells for g in shown) + missing
    rows = sum(len(g.entries) for g in shown)
    data = {
        "total": total,
        "most": max((g.cells if g.name else g.entries[0].cells for g in shown), default=1),
        "missing": missing,
        "noun": noun,
        "absent": sum(1 for g in groups for e in g.entries if not e.cells),
        "groups": [
            {
                "name": group.name,
                "colour": group.colour,
                "cells": group.cells,
                "open": rows <= FEW_ROWS or place < OPEN_GROUPS,
                "rows": [list(e) for e in group.entries if e.cells],
            }
            for place, group in enumerate(shown)
        ],
    }
    return html.Div(className="legend", **{"data-legend": json.dumps(data)})


def tree(groups: Sequence[Group], layer: str) -> html.Div:
    """Return the region tree as data: parents fold, boxes isolate, counts on the right."""
    data = {
        "layer": layer,
        "groups": [{"name": g.name, "rows": [list(e) for e in g.entries]} for g in groups],
    }
    return html.Div(
        className="tree",
        role="tree",
        **{"aria-label": "Region tree", "data-tree": json.dumps(data)},
    )


def split_missing(counts: Mapping[int, int]) -> tuple[dict[int, int], int]:
    """Return counts per code, and the cells without a label."""
    return {k: n for k, n in counts.items() if k != MISSING}, counts.get(MISSING, 0)
