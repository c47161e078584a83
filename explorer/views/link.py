"""The link is the state: address to view, and the parts of a view that callbacks listen to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html

from backend.core.errors import AtlasError
from explorer import ids
from explorer.scene import opening_layer
from explorer.state import MONTAGE, as_json, from_query, ordered

if TYPE_CHECKING:
    from backend.service import Backend

#: Stores that hold a part of the view each, so that a callback hears only what it draws.
PARTS = (ids.PLACE, ids.SCENE, ids.ROW, ids.FOCUS, ids.TOOL)


def layout(backend: Backend) -> html.Div:
    """Return the stores, which are not seen."""
    info = backend.atlas_info()
    atlas = {
        "edition": info["edition"],
        "world": info["world_um"],
        "name": info["name"],
        "simulated": info["simulated"],
        "sections": [
            {"id": s["id"], "bounds": s["bounds"], "title": s["title"], "cells": s["n_cells"]}
            for s in ordered(backend.sections())
        ],
    }
    names = (
        ids.ADDRESS,
        ids.VIEW,
        *PARTS,
        ids.SCREEN,
        ids.PLANE,
        ids.HOVER,
        ids.JOBS,
        ids.WIZARD,
        ids.LASSO,
        ids.STEER,
    )
    return html.Div(
        [
            dcc.Store(id=ids.ATLAS, data=atlas),
            *[dcc.Store(id=name) for name in names],
        ]
    )


def register(app: Dash, backend: Backend) -> None:
    """Read the address into the view, and split the view for those who listen."""
    # Not dcc.Location: it makes steps of the history by itself, and the scripts already do.
    app.clientside_callback(
        ClientsideFunction("state", "arrive"),
        Output(ids.ADDRESS, "data"),
        Input(ids.ATLAS, "data"),
    )

    @app.callback(Output(ids.VIEW, "data"), Input(ids.ADDRESS, "data"), prevent_initial_call=True)
    def read_link(address: Mapping[str, Any]) -> dict[str, Any]:
        view = from_query(str(address["search"]))
        return {**as_json(view), **_resolved(backend, view.section, view.layer)}

    app.clientside_callback(
        ClientsideFunction("state", "split"),
        *[Output(part, "data") for part in PARTS],
        Input(ids.VIEW, "data"),
        State(ids.ATLAS, "data"),
    )
    app.clientside_callback(
        ClientsideFunction("tools", "steer"),
        Output(ids.STEER, "clear_data"),
        Input(ids.STEER, "data"),
        prevent_initial_call=True,
    )


def _resolved(backend: Backend, section: str, layer: str) -> dict[str, Any]:
    """Return section and layer that exist; a stranger's section falls back to all sections."""
    try:
        first = opening_layer(backend, section)
        return {"section": section, "layer": layer or first}
    except AtlasError as error:
        notice = f"{error.message} Showing all sections."
        opening = {"section": MONTAGE, "layer": opening_layer(backend, MONTAGE)}
        return {**opening, "only": [], "notice": notice}
