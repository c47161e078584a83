"""A small PNG writer: indexed or RGBA, no row filters, fastest compression there is.

Rows of a tile are flat or noisy, so filters cost more time than they save bytes. ISA-L compresses
ten times faster than zlib; where it is not installed, zlib is used. Format: W3C PNG specification.
"""

from __future__ import annotations

import importlib
import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_INDEXED, _RGBA = 3, 6
Compress = Callable[[Any, int], bytes]


def indexed_png(
    index: NDArray[np.uint8], colours: NDArray[np.uint8], compress: Compress | None = None
) -> bytes:
    """Return a PNG with a palette.

    Parameters
    ----------
    index : (h, w) uint8
    colours : (k, 4) uint8
        RGBA of at most 256 colours.
    compress : callable (data, level) -> bytes, optional
        The fastest at hand where not given.
    """
    palette = _chunk(b"PLTE", np.ascontiguousarray(colours[:, :3]).tobytes())
    clear = np.flatnonzero(colours[:, 3] < 255)
    alpha = colours[: clear[-1] + 1, 3].tobytes() if len(clear) else b""
    extra = palette + (_chunk(b"tRNS", alpha) if alpha else b"")
    return _png(index, _INDEXED, extra, compress or _fastest())


def rgba_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a PNG of (h, w, 4) uint8."""
    height, width, _ = pixels.shape
    return _png(pixels.reshape(height, width * 4), _RGBA, b"", _fastest())


def _png(rows: NDArray[np.uint8], colour_type: int, extra: bytes, compress: Compress) -> bytes:
    height, row_bytes = rows.shape
    width = row_bytes // 4 if colour_type == _RGBA else row_bytes
    raw = np.zeros((height, row_bytes + 1), np.uint8)  # each row begins with filter 0
    raw[:, 1:] = rows
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    return b"".join(
        [
            _SIGNATURE,
            _chunk(b"IHDR", header),
            extra,
            _chunk(b"IDAT", compress(raw, 1)),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@cache
def _fastest() -> Compress:
    """Return the fastest ``compress(data, level)`` at hand."""
    try:
        fastest: Compress = importlib.import_module("isal.isal_zlib").compress
    except ImportError:
        return zlib.compress
    return fastest
