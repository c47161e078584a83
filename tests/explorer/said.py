"""Reading of components in tests: their text, and those that carry an attribute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dash.development.base_component import Component


def walk(node: Any) -> Iterator[Any]:
    """Every component and text below ``node``, itself included."""
    if node is None:
        return
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from walk(child)
        return
    yield node
    if isinstance(node, Component):
        yield from walk(getattr(node, "children", None))


def text(node: Any) -> str:
    """All that a person reads, in order, one space between parts."""
    return " ".join(str(n) for n in walk(node) if isinstance(n, (str, int, float)))


def having(node: Any, name: str, value: str | None = None) -> list[Any]:
    """Components with an attribute, of a value where one is given."""
    found = [n for n in walk(node) if isinstance(n, Component) and hasattr(n, name)]
    return [n for n in found if value is None or getattr(n, name) == value]
