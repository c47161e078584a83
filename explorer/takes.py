"""What can be taken from a result: its files, its picture, its link; and the way to a new run."""

from __future__ import annotations

from collections.abc import Mapping

from dash import html

from explorer.components import button

#: Files of a result that is a table: format to what it holds.
TABLE = {"CSV": "The table", "JSON": "All figures"}


def takes(
    job: str, figure: str = "", files: Mapping[str, str] = TABLE, again: str = "New run"
) -> html.Div:
    """Return the buttons at the end of the head of a result.

    Parameters
    ----------
    figure : str
        Id of the graph whose picture can be taken; none where empty.
    files : mapping
        Format to what the file holds, in words.
    again : str
        Word of the button that leads back to the form.
    """
    tables = [
        button(name, "take-result", f"{job}|{name.lower()}", glyph="down", kind="sm", title=hint)
        for name, hint in files.items()
    ]
    pictures = [
        button(name, "take-plot", f"{figure}|{name.lower()}", glyph="img", kind="sm",
               title="The picture as it is shown")
        for name in ("PNG", "SVG")
        if figure
    ]  # fmt: skip
    link = button("Copy link", "copy-job", job, glyph="link", kind="sm")
    return html.Div(
        [*tables, *pictures, link, button(again, "using", "", kind="sm")],
        className="row wrap takes",
    )
