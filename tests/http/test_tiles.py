"""Tiles over HTTP: what is kept, for how long, and what is drawn again."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.core.layers import Style
from backend.core.settings import Settings
from backend.http.cache import TileCache, packed, unpacked
from backend.http.tiles import DEAR
from tests.http.fakes import FakeBackend, FakeTile

URL = "/tiles/s1/label:type/0/0/0.png"


def test_a_tile_of_the_current_edition_may_be_kept_for_ever(client: FlaskClient) -> None:
    answer = client.get(URL + "?v=3-0a1b")
    assert answer.mimetype == "image/png"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("query", ["", "?v=3", "?v=2-0a1b", "?v=3-ffff", "?v="])
def test_a_tile_of_another_edition_is_asked_for_again(client: FlaskClient, query: str) -> None:
    assert client.get(URL + query).headers["Cache-Control"] == "no-cache"


def test_an_unchanged_tile_is_answered_304(client: FlaskClient) -> None:
    tag = client.get(URL).headers["ETag"]
    assert tag.startswith('"')
    again = client.get(URL, headers={"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")


def test_a_tile_is_drawn_once_per_version(client: FlaskClient, backend: FakeBackend) -> None:
    first, second = client.get(URL), client.get(URL + "?v=3-0a1b")
    assert first.data == second.data
    assert len(backend.drawn) == 1
    backend.version = 4
    client.get(URL)
    assert len(backend.drawn) == 2


def test_an_empty_tile_is_not_kept(client: FlaskClient, backend: FakeBackend) -> None:
    for _ in range(2):
        client.get("/tiles/s1/label:type/1/1/0.png")
    assert len(backend.drawn) == 2


def test_a_tile_that_is_drawn_at_once_is_not_kept(
    client: FlaskClient, backend: FakeBackend
) -> None:
    backend.seconds = 0.0
    first, second = client.get(URL), client.get(URL)
    assert (first.data, first.headers["ETag"]) == (second.data, second.headers["ETag"])
    assert len(backend.drawn) == 2
    backend.seconds = DEAR
    client.get(URL)
    client.get(URL)
    assert len(backend.drawn) == 3


def test_every_part_of_the_style_reaches_the_renderer(
    client: FlaskClient, backend: FakeBackend
) -> None:
    client.get(URL + "?palette=ink-dark&lo=0.5&hi=2&size=512&only=3,1,3&least=0.4")
    style = backend.drawn[0].style
    assert style == Style("ink-dark", 0.5, 2.0, 512, (1, 3), 0.4)


def test_two_styles_are_two_tiles(client: FlaskClient, backend: FakeBackend) -> None:
    assert client.get(URL).data != client.get(URL + "?palette=ink-dark").data
    assert len(backend.drawn) == 2


def test_a_layer_name_may_hold_a_slash(client: FlaskClient, backend: FakeBackend) -> None:
    client.get("/tiles/s1/imputed:H2/K1/0/0/0.png")
    assert backend.drawn[0].layer.name == "H2/K1"


def test_the_cache_survives_a_restart(settings: Settings) -> None:
    TileCache(Flask("a"), settings).put("key", FakeTile(b"png", "abc", False))
    found = TileCache(Flask("b"), settings).get("key")
    assert found is not None
    assert (found.png, found.etag) == (b"png", "abc")


def test_a_full_cache_drops_its_oldest_quarter(settings: Settings) -> None:
    cache = TileCache(Flask("a"), settings, most=8)
    for i in range(12):
        cache.put(f"key{i}", FakeTile(b"png", "abc", False))
    kept = [i for i in range(12) if cache.get(f"key{i}") is not None]
    assert len(kept) <= 9
    assert {10, 11} <= set(kept)


def test_what_lies_in_the_cache_is_bytes_and_never_run(settings: Settings) -> None:
    cache = TileCache(Flask("a"), settings)
    cache.put("key", FakeTile(b"\x89PNG", "abc", False))
    files = [p for p in Path(settings.data / "cache" / "tiles").iterdir()]
    assert any(p.read_bytes().endswith(b"\x89PNG") for p in files)
    assert unpacked(b"\x80\x04.") is None
    assert unpacked(packed(7)) == 7


def test_a_long_etag_is_shortened(settings: Settings) -> None:
    cache = TileCache(Flask("a"), settings)
    found = cache.put("key", FakeTile(b"png", 'W/"' + "x-" * 60 + '"', False))
    assert len(found.etag) == 32
