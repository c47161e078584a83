"""The short way to tiles answers as the web framework does, and hands on what it cannot answer."""

from __future__ import annotations

import pytest
from werkzeug.test import Client, TestResponse

from backend.http.door import asked_of
from backend.http.styles import as_codes
from tests.http.fakes import FakeBackend, served

URL = "/tiles/s1/label:type/0/0/0.png"


@pytest.fixture
def ways(backend: FakeBackend) -> tuple[Client, Client]:
    """Return clients of the server, and of the web framework behind the door."""
    server = served(backend)
    return Client(server), Client(server.wsgi_app)


def told(answer: TestResponse) -> tuple[int, bytes, set[tuple[str, str]]]:
    return answer.status_code, answer.data, set(answer.headers)


@pytest.mark.parametrize(
    "url",
    [
        URL,
        URL + "?v=3-0a1b",
        URL + "?v=3-0a1b&v=2&palette=ink-dark&lo=&hi=2&only=2,1",
        "/tiles/s1/imputed:H2/K1/0/0/0.png",
        "/tiles/s1/label:type/1/1/0.png",
    ],
)
def test_a_tile_is_the_same_both_ways(ways: tuple[Client, Client], url: str) -> None:
    short, long = (client.get(url) for client in ways)
    assert short.status_code == 200
    assert told(short) == told(long)
    assert short.headers["Content-Security-Policy"]


@pytest.mark.parametrize("known", ["{tag}", "W/{tag}", '"other", {tag}', "*", '"other"'])
def test_what_the_client_has_is_the_same_both_ways(
    ways: tuple[Client, Client], backend: FakeBackend, known: str
) -> None:
    tag = ways[0].get(URL).headers["ETag"]
    drawn = len(backend.drawn)
    asked = {"If-None-Match": known.format(tag=tag)}
    short, long = (client.get(URL, headers=asked) for client in ways)
    assert told(short) == told(long)
    assert short.status_code == (200 if known == '"other"' else 304)
    assert len(backend.drawn) == drawn  # what the client has is not drawn again


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/tiles/nope/label:type/0/0/0.png", 404),
        ("/tiles/s1/label:type/0/1/0.png", 404),
        ("/tiles/s1/label/0/0/0.png", 400),
        ("/tiles/s1/label:type/0/0/x.png", 404),
        ("/tiles/s1/label:type/0/0.png", 404),
        (URL + "?lo=2&hi=1", 400),
        (URL + "?only=1;2", 400),
    ],
)
def test_errors_have_the_one_shape(ways: tuple[Client, Client], url: str, status: int) -> None:
    short, long = (client.get(url) for client in ways)
    assert short.status_code == status
    assert told(short) == told(long)
    assert set(short.get_json() or {}) == {"error", "message", "hint"}


def test_other_methods_are_left_to_the_web_framework(ways: tuple[Client, Client]) -> None:
    for method in ("HEAD", "POST", "OPTIONS"):
        short, long = (client.open(URL, method=method) for client in ways)
        assert told(short) == told(long)


def test_names_are_read_as_utf_8() -> None:
    path = "/tiles/s\u00e9ction/label:r\u00e9gion/3/1/2.png".encode().decode("latin-1")
    asked = asked_of({"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "v=1"})
    assert asked is not None
    assert (asked.section, asked.layer) == ("s\u00e9ction", "label:r\u00e9gion")
    assert (asked.address, asked.query) == ((3, 1, 2), "v=1")


def test_codes_are_sorted_and_counted_once() -> None:
    assert as_codes("only", "3,1,3") == (1, 3)
    assert as_codes("only", "") == ()
