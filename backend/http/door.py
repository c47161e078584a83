"""The short way to a tile: before the web framework, which takes longer than the tile.

Only what is answered with a tile, or with 304, goes this way. Whatever else is asked, and whatever
fails, is handed on to the application, which has the one shape of errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from backend.core.errors import AtlasError
from backend.core.geometry import TileAddress
from backend.http.tiles import Asked, Tiles

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_TILE = re.compile(r"/tiles/([^/]+)/([^/].*)/([0-9]{1,9})/([0-9]{1,9})/([0-9]{1,9})\.png")
_STATUS = {200: "200 OK", 304: "304 NOT MODIFIED"}


class TileDoor:
    """A WSGI application that answers requests for tiles, and hands all others on.

    Parameters
    ----------
    application : WSGI application
    tiles : Tiles
    headers : callable () -> list of (name, value)
        Headers that every answer has.
    """

    def __init__(
        self,
        application: WSGIApplication,
        tiles: Tiles,
        headers: Callable[[], list[tuple[str, str]]],
    ) -> None:
        self._application = application
        self._tiles = tiles
        self._headers = headers

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        asked = asked_of(environ)
        if asked is None:
            return self._application(environ, start_response)
        try:
            found = self._tiles.answer(asked)
        except AtlasError:
            return self._application(environ, start_response)
        start_response(_STATUS[found.status], [*found.headers, *self._headers()])
        return [found.body]


def asked_of(environ: WSGIEnvironment) -> Asked | None:
    """Return what tile a request is for, or None where it is for none."""
    path: str = environ["PATH_INFO"]
    if not path.startswith("/tiles/") or environ["REQUEST_METHOD"] != "GET" or "//" in path:
        return None
    match = _TILE.fullmatch(path.encode("latin-1").decode("utf-8", "replace"))
    if match is None:
        return None
    section, layer, z, x, y = match.groups()
    address = TileAddress(int(z), int(x), int(y))
    known = environ.get("HTTP_IF_NONE_MATCH")
    return Asked(section, layer, address, environ.get("QUERY_STRING", ""), known)
