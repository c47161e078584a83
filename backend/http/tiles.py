"""Tiles: parse the key, ask the cache, render, and let the browser keep what cannot change."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl

from flask import Blueprint, Response, request
from werkzeug.http import parse_etags

from backend.core.geometry import TileAddress
from backend.core.layers import LayerKey, Style, TileKey
from backend.http.cache import Picture, TileCache, picture_of
from backend.http.styles import style_of
from backend.tiles.cache import tile_cache_key

if TYPE_CHECKING:
    from backend.service.backend import Backend

#: Seconds of work above which a tile is kept in the cache. Browsers keep all tiles anyway.
DEAR = 0.004
#: Layers of sections that are known to be drawn in less.
MOST_CHEAP = 4096
IMMUTABLE = "public, max-age=31536000, immutable"


class Asked(NamedTuple):
    """What a request for a tile says: its path, its query, the etags that the client has."""

    section: str
    layer: str
    address: TileAddress
    query: str
    known: str | None


class Answer(NamedTuple):
    """Status, headers and body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Tiles:
    """Answers requests for tiles.

    Parameters
    ----------
    backend : Backend
    cache : TileCache
    """

    def __init__(self, backend: Backend, cache: TileCache) -> None:
        self._backend = backend
        self._cache = cache
        self._cheap: set[tuple[str, str]] = set()

    def answer(self, asked: Asked) -> Answer:
        """Return a tile, or that the client has it.

        Raises
        ------
        AtlasError
            If there is no such tile.
        """
        style, version = _read(asked.query)
        key = TileKey(asked.section, LayerKey.parse(asked.layer), style, asked.address.checked())
        atlas = self._backend.planes.of(asked.section)[0].atlas
        name = tile_cache_key(key, f"{atlas.path}|{atlas.edition}")
        # A version alone is not enough: an atlas made anew at the same place begins at 1 again.
        kept = IMMUTABLE if version == atlas.edition else "no-cache"
        headers = [("Cache-Control", kept), ("ETag", f'"{name}"')]
        if asked.known is not None and parse_etags(asked.known).contains_weak(name):
            return Answer(304, headers, b"")
        body = self._tile(name, key).png
        about = [("Content-Type", "image/png"), ("Content-Length", str(len(body)))]
        return Answer(200, [*about, *headers], body)

    def _tile(self, name: str, key: TileKey) -> Picture:
        """Return a tile, from the cache if it was drawn from this edition of the store.

        Tiles that are drawn in less time than a file is written are not kept: most of them. Where
        the last tile of a layer was, none is looked for.
        """
        layer = key.section, str(key.layer)
        found = None if layer in self._cheap else self._cache.get(name)
        if found is not None:
            return found
        start = time.thread_time()
        tile = self._backend.tile(key)
        if time.thread_time() - start >= DEAR:
            self._cheap.discard(layer)
            return self._cache.put(name, tile)
        if len(self._cheap) >= MOST_CHEAP:
            self._cheap.clear()
        self._cheap.add(layer)
        return picture_of(tile)


def add_tiles(routes: Blueprint, tiles: Tiles) -> None:
    """Add the tile route; most requests take the short way of ``backend.http.door`` before it."""

    @routes.get("/tiles/<section>/<path:layer>/<int:z>/<int:x>/<int:y>.png")
    def tile(section: str, layer: str, z: int, x: int, y: int) -> Response:
        known = request.headers.get("If-None-Match")
        query = request.query_string.decode("utf-8", "replace")
        found = tiles.answer(Asked(section, layer, TileAddress(z, x, y), query, known))
        return Response(found.body, found.status, found.headers)


@lru_cache(maxsize=1024)
def _read(query: str) -> tuple[Style, str | None]:
    """Return the style and the edition that a query asks for; of two of a name the first counts."""
    texts = dict(reversed(parse_qsl(query, keep_blank_values=True)))
    return style_of(texts.get), texts.get("v")
