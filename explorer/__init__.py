"""The screen: a Dash application over the service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import flask
from dash import Dash

if TYPE_CHECKING:
    from backend.service import Backend


ASSETS = Path(__file__).resolve().parents[1] / "assets"


def create_explorer(server: flask.Flask, backend: Backend) -> Dash:
    """Put the explorer on a server; everything it loads comes from that server.

    Parameters
    ----------
    server : flask.Flask
        The application that has the routes.
    backend : Backend
        What the views ask.
    """
    # Views import Dash components; they are not needed to import this package.
    from explorer import tools
    from explorer.layout import page
    from explorer.views import colour, jobs, link, map, query, search, sections, selection

    app = Dash(
        __name__,
        server=server,
        assets_folder=str(ASSETS),
        serve_locally=True,
        title=backend.atlas_info()["name"],
        update_title=None,
        suppress_callback_exceptions=True,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    app.layout = lambda: page(backend)
    for view in (link, search, colour, map, sections, selection, query):
        view.register(app, backend)
    for tool in tools.TOOLS:
        tool.register(app, backend)
    jobs.register(app, backend, tools.tools_of_jobs(tools.TOOLS))
    # Pages may run these inline scripts and no others.
    server.config["SCRIPT_HASHES"] = app.csp_hashes()
    return app
