"""The gate: who has left is not served, and a full house refuses tiles only."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from werkzeug.test import Client

from backend.http.gate import Gate, has_left

TILE, PAGE = "/tiles/s1/label:type/0/0/0.png", "/api/atlas"


def inner(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"inner"]


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    server, client = socket.socketpair()
    yield server, client
    server.close()
    client.close()


def test_a_full_house_refuses_tiles_and_says_when_to_ask_again() -> None:
    answer = Client(Gate(inner, lambda: 5, most=4)).get(TILE)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.headers["Cache-Control"] == "no-store"
    found = answer.get_json()
    assert set(found or {}) == {"error", "message", "hint"}


@pytest.mark.parametrize(("path", "waiting"), [(TILE, 4), (PAGE, 5)])
def test_pages_and_what_fits_are_let_through(path: str, waiting: int) -> None:
    assert Client(Gate(inner, lambda: waiting, most=4)).get(path).data == b"inner"


def test_a_tile_is_not_drawn_for_a_client_that_has_left(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    server, client = ends
    gate, here = Client(Gate(inner, lambda: 0)), {"gunicorn.socket": server}
    assert gate.get(TILE, environ_overrides=here).data == b"inner"
    client.close()
    assert gate.get(TILE, environ_overrides=here).status_code == 499


def test_looking_at_a_connection_takes_nothing_from_it(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    server, client = ends
    client.sendall(b"GET /next")
    assert not has_left({"gunicorn.socket": server})
    assert server.recv(100) == b"GET /next"


def test_a_server_that_can_tell_is_asked() -> None:
    assert has_left({"waitress.client_disconnected": lambda: True})
    assert not has_left({"waitress.client_disconnected": lambda: False})
    assert not has_left({})
