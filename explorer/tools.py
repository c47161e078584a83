"""Tools: what the Analyse menu offers, and the panel below the map that holds the one that is open.

A tool is a module of ``explorer.views`` that has the members of ``Tool``; adding one is adding it
to ``TOOLS``. ``tool`` in the link names the tool that is open; ``using`` is that tool's own state
in a short text, such as the id of a job (more may follow after a comma) or a choice of options. A
tool listens to the store ``ids.TOOL`` ({"tool", "using", "section"}) and draws itself when it is
the one named there. It changes the view with buttons (``data-act`` of ``using``, ``layer``,
``open``, or ``steer`` with JSON) or, out of a callback, by writing the same to the store
``ids.STEER``: {"tool", "using", "section", "layer", "only"}, any of them. Buttons that start a job,
and what is shown until it is done, are in ``explorer.runs``; ``explorer.stages`` follows the job of
the link from the form to the result; settings of plots are in ``explorer.plots``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from dash import Dash, html
from dash.development.base_component import Component

from explorer import ids
from explorer.components import icon_button
from explorer.icons import icon
from explorer.views import (
    ask,
    contacts,
    enhance,
    factors,
    interactions,
    labels,
    panels,
    space,
    weights,
)

if TYPE_CHECKING:
    from backend.service import Backend


class Tool(Protocol):
    """A view of its own below the map.

    ``NAME`` is what the link says, ``TITLE`` and ``HINT`` what the menu says, ``GLYPH`` an icon of
    ``explorer.icons``, ``JOBS`` the (model, verb) pairs whose results this tool shows.
    """

    NAME: str
    TITLE: str
    HINT: str
    GLYPH: str
    JOBS: tuple[tuple[str, str], ...]

    def layout(self, backend: Backend) -> Component:
        """Return the body of the panel; drawn once, filled by callbacks."""

    def register(self, app: Dash, backend: Backend) -> None:
        """Add the callbacks."""


#: The tools in the order of the menu.
TOOLS: tuple[Tool, ...] = (
    ask,
    panels,
    contacts,
    labels,
    space,
    weights,
    factors,
    enhance,
    interactions,
)


def menu(tools: Sequence[Tool]) -> html.Details | None:
    """Return the menu of the top bar, or None where there is nothing to offer."""
    if not tools:
        return None
    summary = html.Summary(
        [icon("net"), html.Span("Analyse", className="tx")],
        className="btn ghost",
        title="Questions, panels, contacts, weights and other analyses",
    )
    items = html.Div([_item(tool) for tool in tools], className="menu", role="menu")
    return html.Details([summary, items], className="drop")


def _item(tool: Tool) -> html.Button:
    return html.Button(
        [icon(tool.GLYPH), html.Span([tool.TITLE, html.Small(tool.HINT)])],
        type="button",
        role="menuitem",
        className="mi",
        **{"data-act": "tool", "data-value": tool.NAME},
    )


def panel(tools: Sequence[Tool], backend: Backend) -> html.Section:
    """Return the place of the tools, in the stead of the dock; one is shown at a time."""
    return html.Section(
        [_one(tool, backend) for tool in tools],
        id="tool-panel",
        hidden=True,
        className="toolpanel",
        **{"aria-label": "Analysis"},
    )


def _one(tool: Tool, backend: Backend) -> html.Div:
    tall = icon_button("fit", "Taller or lower", "tool-tall", kind="sm")
    close = icon_button("x", "Close (Esc)", "tool-close", kind="sm")
    head = html.Div(
        [
            html.H2(tool.TITLE),
            html.Span(tool.HINT, className="t3 s cut grow"),
            html.Span(id=f"{ids.TOOL}-acts-{tool.NAME}", className="row"),
            html.Span([tall, close], className="row tight"),
        ],
        className="toolhead row",
    )
    body = html.Div(tool.layout(backend), className="toolbody", tabIndex="-1")
    return html.Div([head, body], className="tool", hidden=True, **{"data-tool": tool.NAME})


def tools_of_jobs(tools: Sequence[Tool]) -> Mapping[tuple[str, str], str]:
    """Return which tool shows the result of a (model, verb)."""
    return {job: tool.NAME for tool in tools for job in tool.JOBS}
