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
    return indexed_rows(_filtered(index), palette_chunks(colours), compress)


def indexed_rows(
    rows: NDArray[np.uint8], palette: bytes, compress: Compress | None = None
) -> bytes:
    """Return a PNG of rows that begin with their filter, 0, and a palette as ``palette_chunks``.

    Parameters
    ----------
    rows : (h, w + 1) uint8
    palette : bytes
    compress : callable (data, level) -> bytes, optional
    """
    return _png(rows, rows.shape[1] - 1, _INDEXED, palette, compress or _fastest())


def rgba_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a PNG of (h, w, 4) uint8."""
    height, width, _ = pixels.shape
    return rgba_rows(_filtered(pixels.reshape(height, width * 4)))


def rgba_rows(rows: NDArray[np.uint8]) -> bytes:
    """Return a PNG of rows of RGBA that begin with their filter, 0: (h, 4 w + 1) uint8."""
    return _png(rows, rows.shape[1] // 4, _RGBA, b"", _fastest())


def palette_chunks(colours: NDArray[np.uint8]) -> bytes:
    """Return the palette and the opacities of (k, 4) colours, as they stand in a PNG."""
    palette = _chunk(b"PLTE", np.ascontiguousarray(colours[:, :3]).tobytes())
    clear = np.flatnonzero(colours[:, 3] < 255)
    return palette + (_chunk(b"tRNS", colours[: clear[-1] + 1, 3].tobytes()) if len(clear) else b"")


def _filtered(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = rows.shape
    raw = np.zeros((height, width + 1), np.uint8)
    raw[:, 1:] = rows
    return raw


def _png(
    rows: NDArray[np.uint8], width: int, colour_type: int, extra: bytes, compress: Compress
) -> bytes:
    data = _chunk(b"IDAT", compress(rows, 1))
    return b"".join((_head(width, len(rows), colour_type), extra, data, _END))


@cache
def _head(width: int, height: int, colour_type: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", header)


def _chunk(name: bytes, body: bytes) -> bytes:
    mark = zlib.crc32(body, zlib.crc32(name))
    return b"".join((struct.pack(">I", len(body)), name, body, struct.pack(">I", mark)))


@cache
def _fastest() -> Compress:
    """Return the fastest ``compress(data, level)`` at hand."""
    try:
        fastest: Compress = importlib.import_module("isal.isal_zlib").compress
    except ImportError:
        return zlib.compress
    return fastest


_END = _chunk(b"IEND", b"")
