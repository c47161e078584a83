"""The gate before the application: nobody is served who has left, and a full house says so.

A tile costs milliseconds, a refusal a tenth of one. Above its capacity a server that draws every
tile answers all of them too late; one that refuses some answers the others in time.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: Requests that wait for a thread of one process; above that tiles are refused.
MOST_WAITING = 64
#: Seconds after which a refused tile may be asked for again.
RETRY_SECONDS = 1
#: Paths that are refused in a full house: dear, many, and asked for again by the map.
TILES = "/tiles/"
_BUSY = json.dumps(
    {
        "error": "Busy",
        "message": "The server has more requests than it can answer in time.",
        "hint": [f"Ask again after {RETRY_SECONDS} s."],
    }
).encode()


class Gate:
    """A WSGI application that lets requests through to another.

    Parameters
    ----------
    application : WSGI application
    waiting : callable () -> int
        Requests that wait for a thread.
    most : int
        Above this many waiting requests, tiles are answered 503 with ``Retry-After``.
    """

    def __init__(
        self, application: WSGIApplication, waiting: Callable[[], int], most: int = MOST_WAITING
    ) -> None:
        self._application = application
        self._waiting = waiting
        self._most = most

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        if environ["PATH_INFO"].startswith(TILES):
            if has_left(environ):
                # Nobody reads this: the number is the usual one in logs.
                start_response("499 Client Closed Request", [("Content-Length", "0")])
                return [b""]
            if self._waiting() > self._most:
                start_response("503 Service Unavailable", _headers())
                return [_BUSY]
        return self._application(environ, start_response)


def has_left(environ: WSGIEnvironment) -> bool:
    """Return whether the client has closed its connection, as far as the server can tell.

    waitress tells; with gunicorn the socket is looked at: it reads as ended, and nothing is taken
    from it.
    """
    told: Callable[[], bool] | None = environ.get("waitress.client_disconnected")
    if told is not None:
        return told()
    connection: Any = environ.get("gunicorn.socket")
    if not isinstance(connection, socket.socket):
        return False
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except (BlockingIOError, ValueError):
        # Nothing to read, so it is still there; or TLS, which cannot be looked at.
        return False
    except OSError:
        return True


def _headers() -> list[tuple[str, str]]:
    return [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(_BUSY))),
        ("Cache-Control", "no-store"),
        ("Retry-After", str(RETRY_SECONDS)),
    ]
