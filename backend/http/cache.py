"""The tile cache: pictures as plain bytes in files or in Redis, never more than so many.

flask-caching's own stores would keep Python objects, unpickled when read back; these keep bytes.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from cachelib.serializers import FileSystemSerializer, RedisSerializer
from flask import Flask
from flask_caching import Cache
from flask_caching.backends.filesystemcache import FileSystemCache
from flask_caching.backends.rediscache import RedisCache

from backend.core.settings import Settings

#: Tiles kept in files: some 200 MB at 10 kB each.
MOST_TILES = 20_000
#: Share of the tiles dropped at once when there are too many: a scan of the folder is not free.
DROPPED = 0.25
#: Seconds that a tile is kept.
KEPT = 30 * 24 * 3600
_ETAG_BYTES = 32


class Drawn(Protocol):
    """What a renderer returns."""

    @property
    def png(self) -> bytes:
        """The picture."""
        ...

    @property
    def etag(self) -> str:
        """Name of these pixels."""
        ...

    @property
    def empty(self) -> bool:
        """Whether there are no cells in it."""
        ...


class Picture(NamedTuple):
    """A PNG and the name of its pixels, at most 32 ASCII characters."""

    png: bytes
    etag: str


def packed(value: bytes | int) -> bytes:
    """Return the bytes that stand for a tile, or for a counter of the cache."""
    return b"i%d" % value if isinstance(value, int) else b"b" + value


def unpacked(data: bytes | None) -> bytes | int | None:
    """Return what bytes stand for; None where they stand for nothing of ours."""
    if not data or data[:1] not in (b"b", b"i"):
        return None
    return int(data[1:]) if data[:1] == b"i" else data[1:]


class FileBytes(FileSystemSerializer):
    """Values in files as plain bytes."""

    def dump(self, value: bytes | int, f: IO[bytes], protocol: int = 0) -> None:
        """Write a value to an open file."""
        f.write(packed(value))

    def load(self, f: IO[bytes]) -> bytes | int | None:
        """Read a value from an open file."""
        return unpacked(f.read())


class RedisBytes(RedisSerializer):
    """Values in Redis as plain bytes."""

    def dumps(self, value: bytes | int, protocol: int = 0) -> bytes:
        """Return the bytes to store."""
        return packed(value)

    def loads(self, value: bytes | None) -> bytes | int | None:
        """Return what was stored."""
        return unpacked(value)


class TileFiles(FileSystemCache):
    """A folder of tiles that drops the oldest quarter when it is full.

    The files are counted in memory, where cachelib writes a second file for each: another process
    may add some unseen, and the folder hold that many more until the next count.
    """

    serializer = FileBytes()
    _n = 0

    @property
    def _file_count(self) -> int:
        return self._n

    def _update_count(self, delta: int | None = None, value: int | None = None) -> None:
        self._n = self._n + delta if delta else value or 0

    def _prune(self) -> None:
        if not self._over_threshold():
            return
        entries = [e for e in os.scandir(self._path) if not self._is_mgmt(e.name)]
        entries.sort(key=_modified)
        for entry in entries[: int(DROPPED * len(entries)) + 1]:
            Path(entry.path).unlink(missing_ok=True)
        self._update_count(value=len(entries) - int(DROPPED * len(entries)) - 1)


class TileRedis(RedisCache):
    """Tiles in Redis, whose own limit on memory bounds them."""

    serializer = RedisBytes()


class TileCache:
    """Rendered tiles by a key that names all that decides their pixels.

    Parameters
    ----------
    app : Flask
    settings : Settings
        ``settings.cache`` is a folder, or a ``redis://`` URL; ``cache`` in the data folder if
        empty.
    most : int
        Tiles kept in files.
    """

    def __init__(self, app: Flask, settings: Settings, most: int = MOST_TILES) -> None:
        self._cache = Cache(app, config=_config(settings, most))

    def get(self, key: str) -> Picture | None:
        """Return the tile of this key, or None."""
        kept = self._cache.get(key)
        if not isinstance(kept, bytes) or len(kept) <= _ETAG_BYTES:
            return None
        return Picture(kept[_ETAG_BYTES:], kept[:_ETAG_BYTES].rstrip(b" ").decode("ascii"))

    def put(self, key: str, tile: Drawn) -> Picture:
        """Keep a tile and return it; one without cells is cheaper to draw again than to keep."""
        picture = picture_of(tile)
        if not tile.empty:
            self._cache.set(key, picture.etag.encode().ljust(_ETAG_BYTES) + picture.png)
        return picture


def picture_of(tile: Drawn) -> Picture:
    """Return what is sent of a tile."""
    return Picture(tile.png, _short(tile.etag))


def _short(etag: str) -> str:
    """Return an etag in at most 32 ASCII characters without quotes."""
    etag = etag.removeprefix("W/").strip('"')
    if len(etag) <= _ETAG_BYTES and etag.isalnum() and etag.isascii():
        return etag
    return hashlib.sha256(etag.encode()).hexdigest()[:_ETAG_BYTES]


def _modified(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _config(settings: Settings, most: int) -> dict[str, Any]:
    if settings.cache.startswith(("redis://", "rediss://")):
        return {
            "CACHE_TYPE": "backend.http.cache.TileRedis",
            "CACHE_REDIS_URL": settings.cache,
            "CACHE_DEFAULT_TIMEOUT": KEPT,
            "CACHE_KEY_PREFIX": "atlas-tile:",
        }
    folder = Path(settings.cache) if settings.cache else settings.data / "cache"
    return {
        "CACHE_TYPE": "backend.http.cache.TileFiles",
        "CACHE_DIR": str(folder / "tiles"),
        "CACHE_DEFAULT_TIMEOUT": KEPT,
        "CACHE_THRESHOLD": most,
    }
