"""The Flask server: session, limits, headers, routes. Everything is passed in, nothing global."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from flask import Flask, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from backend.core.errors import AtlasError
from backend.core.settings import Settings
from backend.http.answers import error_answer, http_error_answer
from backend.http.cache import TileCache
from backend.http.door import TileDoor
from backend.http.routes import create_routes
from backend.http.session import signing_key
from backend.http.tiles import Tiles

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from backend.service.backend import Backend

#: Paths whose errors are JSON; all others belong to pages.
DATA_PATHS = ("/api/", "/tiles/", "/healthz")
#: Bytes of any request but a chunk of an upload.
REQUEST_BYTES = 16_000_000


class Server(Flask):
    """Flask with a short way to tiles before it."""

    door: WSGIApplication

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        return self.door(environ, start_response)


def create_server(backend: Backend, settings: Settings) -> Flask:
    """Return a server with all routes; the explorer's pages may be added to it.

    Parameters
    ----------
    backend : Backend
        The service that answers.
    settings : Settings
        Where the key of the sessions and the tile cache lie.

    Notes
    -----
    ``server.config["SCRIPT_HASHES"]`` lists the hashes of inline scripts that pages may run, as
    ``dash.Dash.csp_hashes`` returns them.
    """
    server = Server("molecular-atlas", static_folder=None)
    server.secret_key = signing_key(settings.data / "session.key")
    server.config.update(
        MAX_CONTENT_LENGTH=max(REQUEST_BYTES, settings.limits.chunk_bytes),
        PERMANENT_SESSION_LIFETIME=timedelta(hours=settings.limits.keep_hours),
        SESSION_COOKIE_NAME="atlas_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        SCRIPT_HASHES=[],
    )
    tiles = Tiles(backend, TileCache(server, settings))
    server.register_blueprint(create_routes(backend, tiles))
    server.register_error_handler(AtlasError, error_answer)
    server.register_error_handler(HTTPException, _page_or_data_error)
    server.after_request(lambda answer: secured(answer, server.config["SCRIPT_HASHES"]))
    server.door = TileDoor(
        lambda environ, start: server.wsgi_app(environ, start),
        tiles,
        lambda: security(*server.config["SCRIPT_HASHES"]),
    )
    return server


def _page_or_data_error(error: HTTPException) -> ResponseReturnValue:
    return http_error_answer(error) if request.path.startswith(DATA_PATHS) else error


def secured(answer: Response, script_hashes: list[str]) -> Response:
    """Return an answer with the headers that keep pages from being misused."""
    for name, value in security(*script_hashes):
        answer.headers.setdefault(name, value)
    return answer


@lru_cache(maxsize=8)
def security(*script_hashes: str) -> list[tuple[str, str]]:
    """Return the headers that keep pages from being misused; not to be changed."""
    return [
        ("Content-Security-Policy", content_policy(list(script_hashes))),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "same-origin"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
    ]


def content_policy(script_hashes: list[str]) -> str:
    """Return the content security policy: this server only, and no foreign frames.

    Dash, Leaflet and plotly (WebGL too) run under it with a silent console: inline scripts by
    hash, no ``eval``. Inline styles have to stay, since components set them by the dozen.
    """
    scripts = " ".join(["'self'", *script_hashes])
    return (
        f"default-src 'self'; script-src {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
        "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
        "frame-ancestors 'self'"
    )
