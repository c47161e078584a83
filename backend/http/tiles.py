"""Tiles: parse the key, ask the cache, render, and let the browser keep what cannot change."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from backend.core.geometry import TileAddress
from backend.core.layers import LayerKey, Style, TileKey
from backend.http import queries
from backend.http.cache import Picture, TileCache, picture_of
from backend.tiles.raster import KERNEL_VERSION

if TYPE_CHECKING:
    from backend.service.backend import Backend

#: Seconds of work above which a tile is kept in the cache. Browsers keep all tiles anyway.
DEAR = 0.004
IMMUTABLE = "public, max-age=31536000, immutable"


def add_tiles(routes: Blueprint, backend: Backend, cache: TileCache) -> None:
    """Add the tile route."""

    @routes.get("/tiles/<section>/<path:layer>/<int:z>/<int:x>/<int:y>.png")
    def tile(section: str, layer: str, z: int, x: int, y: int) -> Response:
        address = TileAddress(z, x, y).checked()
        key = TileKey(section, LayerKey.parse(layer), queries.style(), address)
        atlas = backend.planes.of(section)[0].atlas
        found = _cached(backend, cache, key, f"{atlas.path}|{atlas.edition}")
        # A version alone is not enough: an atlas made anew at the same place begins at 1 again.
        current = request.args.get("v") == atlas.edition
        return _answer(found, current)


def _cached(backend: Backend, cache: TileCache, key: TileKey, edition: str) -> Picture:
    """Return a tile, from the cache if it was drawn from this edition of the store.

    Tiles that are drawn in less time than a file is written are not kept: most of them.
    """
    name = key_text(key, edition)
    found = cache.get(name)
    if found is not None:
        return found
    start = time.thread_time()
    tile = backend.tile(key)
    dear = time.thread_time() - start >= DEAR
    return cache.put(name, tile) if dear else picture_of(tile)


def _answer(tile: Picture, current: bool) -> Response:
    answer = Response(tile.png, mimetype="image/png")
    answer.headers["Cache-Control"] = IMMUTABLE if current else "no-cache"
    answer.set_etag(tile.etag)
    answer.make_conditional(request.environ)
    return answer


def key_text(key: TileKey, edition: str) -> str:
    """Return one short text for all that decides a tile's pixels."""
    what = (KERNEL_VERSION, edition, key.section, str(key.layer))
    parts = (*what, _style_text(key.style), *key.address)
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


def _style_text(style: Style) -> str:
    return f"{style.palette} {style.lo} {style.hi} {style.size} {style.only} {style.least}"
