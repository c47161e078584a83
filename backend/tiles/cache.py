"""Names of tiles in a cache, and a cache of arrays bounded by bytes."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from backend.core.layers import TileKey
from backend.tiles.raster import KERNEL_VERSION


def tile_cache_key(key: TileKey, version: object) -> str:
    """Return a name for a tile that no other pixels can have.

    Parameters
    ----------
    key : TileKey
    version : object
        Whatever tells one edition of a store from another; its text counts.

    Returns
    -------
    str
        32 hexadecimal digits, fit for file names, Redis and ETags.
    """
    text = f"{KERNEL_VERSION}\n{version}\n{key_text(key)}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def key_text(key: TileKey) -> str:
    """Return all that a key says as one text; several times faster than its ``repr``."""
    layer, style, (z, x, y) = key.layer, key.style, key.address
    return (
        f"{key.section}\n{layer.kind}:{layer.name}\n{style.palette} {style.lo} {style.hi} "
        f"{style.size} {style.only} {style.least} {style.fade}\n{z} {x} {y}"
    )


class ArrayCache:
    """Keeps what was made last, up to a number of bytes; safe to use from several threads.

    Two threads that ask for the same thing at once make it once: the second waits.

    Parameters
    ----------
    limit : int
        Bytes. One entry larger than this is made, returned and not kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()
        self._makers: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what is kept under ``key``, or make it.

        ``make`` returns an array, a tuple of arrays and numbers, or None. If it raises, nothing is
        kept.
        """
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found[0]
            maker = self._makers.setdefault(key, threading.Lock())
        with maker:
            with self._lock:
                found = self._kept.get(key)
            if found is not None:
                return found[0]
            try:
                value = make()
                self._keep(key, value)
            finally:
                with self._lock:
                    self._makers.pop(key, None)
        return value

    def _keep(self, key: Hashable, value: Any) -> None:
        size = _bytes_of(value)
        if size > self._limit:
            return
        with self._lock:
            self._kept[key] = (value, size)
            self._bytes += size
            while self._bytes > self._limit:
                _, (_, dropped) = self._kept.popitem(last=False)
                self._bytes -= dropped

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._kept)

    @property
    def n_bytes(self) -> int:
        """Bytes of all entries."""
        return self._bytes


def _bytes_of(value: Any) -> int:
    """Return the bytes of arrays; a small constant for anything else."""
    parts = value if isinstance(value, tuple) else (value,)
    return 64 + sum(p.nbytes if isinstance(p, np.ndarray) else 64 for p in parts)
