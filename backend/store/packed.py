"""Compressed zarr arrays of one axis: written chunk by chunk, read from a map of their shards.

A zarr read costs more than a millisecond however little it reads. Here the index of each shard is
read once, and a slice costs the decompression of its chunks. Every zarr reader can read the files.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import zarr
import zarr.codecs
from numpy.typing import NDArray

from backend.store.schema import EXPRESSION_CHUNK, EXPRESSION_SHARD

blosc: Any = import_module("numcodecs.blosc")  # by name, since it is untyped
#: Offset and length of a chunk that is not stored, since it holds the fill value only.
_ABSENT = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_LEVEL = 1


class PackedRows:
    """An array of one axis whose compressed chunks are read from mapped files.

    Made by ``read_packed``. Safe to use from several threads.
    """

    def __init__(self, folder: Path, dtype: np.dtype[Any], n: int, chunk: int, shard: int) -> None:
        self._folder = folder
        self._chunk = chunk
        self._per_shard = shard // chunk
        self._shards: dict[int, tuple[NDArray[np.uint8], NDArray[np.uint64]] | None] = {}
        self.shape: tuple[int, ...] = (n,)
        self.dtype = dtype
        for number in range(-(-n // shard)):
            self._shards[number] = self._open(number)

    def __len__(self) -> int:
        """Return the number of values."""
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return the values that a slice, a place or an array of places names."""
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step == 1:
                return self._read(start, max(start, stop))
        return np.asarray(self._read(0, len(self))[key])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all values."""
        return self[:].astype(dtype or self.dtype, copy=False)

    def _read(self, start: int, stop: int) -> NDArray[Any]:
        out = np.zeros(stop - start, self.dtype)
        at = start
        while at < stop:
            place, within = divmod(at, self._chunk)
            end = min(stop, (place + 1) * self._chunk)
            packed = self._packed(place)
            if packed is not None:
                whole = np.frombuffer(blosc.decompress(packed), self.dtype)
                out[at - start : end - start] = whole[within : within + end - at]
            at = end
        return out

    def _packed(self, place: int) -> NDArray[np.uint8] | None:
        """Return the bytes of a chunk, or None where it is not stored."""
        number, within = divmod(place, self._per_shard)
        shard = self._shards[number]
        if shard is None:
            return None
        data, index = shard
        offset, length = index[within]
        return None if offset == _ABSENT else data[int(offset) : int(offset) + int(length)]

    def _open(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint64]] | None:
        file = self._folder / "c" / str(number)
        if not file.exists():
            return None
        data = np.asarray(np.memmap(file, np.uint8, "r"))
        body = data[-16 * self._per_shard - 4 : -4].tobytes()
        (checksum,) = struct.unpack("<I", data[-4:].tobytes())
        if google_crc32c.value(body) != checksum:
            raise ValueError("the index of a shard is damaged")
        return data, np.frombuffer(body, "<u8").reshape(-1, 2)


def read_packed(folder: Path, header: dict[str, Any]) -> PackedRows | None:
    """Return the values of an array, or None where it is not of this layout.

    Parameters
    ----------
    folder : Path
    header : dict
        The zarr metadata of the array.
    """
    try:
        (n,) = header["shape"]
        (shard,) = header["chunk_grid"]["configuration"]["chunk_shape"]
        (codec,) = header["codecs"]
        inner = codec["configuration"]
        (chunk,) = inner["chunk_shape"]
        plain, packer = inner["codecs"]
        fits = (
            codec["name"] == "sharding_indexed"
            and inner["index_location"] == "end"
            and [c["name"] for c in inner["index_codecs"]] == ["bytes", "crc32c"]
            and (plain["name"], packer["name"]) == ("bytes", "blosc")
            and plain.get("configuration", {}).get("endian", "little") == "little"
            and header["fill_value"] == 0
        )
        dtype = np.dtype(header["data_type"]).newbyteorder("<")
        return PackedRows(folder, dtype, n, chunk, shard) if fits else None
    except (KeyError, TypeError, ValueError):
        return None


def write_packed(folder: Path, values: NDArray[Any]) -> None:
    """Write an array of one axis, compressed chunk by chunk.

    Parameters
    ----------
    folder : Path
        Must not exist.
    values : (n,) array
    """
    kind = values.dtype.newbyteorder("<")
    n_chunks = min(EXPRESSION_SHARD, max(1, -(-len(values) // EXPRESSION_CHUNK)))
    shard = EXPRESSION_CHUNK * n_chunks
    zarr.create_array(
        str(folder),
        shape=values.shape,
        dtype=kind,
        chunks=(EXPRESSION_CHUNK,),
        shards=(shard,),
        compressors=zarr.codecs.BloscCodec(
            cname="zstd", clevel=_LEVEL, shuffle="shuffle", typesize=kind.itemsize
        ),
        fill_value=0,
    )
    (folder / "c").mkdir(exist_ok=True)
    for number, start in enumerate(range(0, len(values), shard)):
        _write_shard(folder / "c" / str(number), values[start : start + shard], n_chunks)


def _write_shard(file: Path, values: NDArray[Any], n_chunks: int) -> None:
    index = np.full((n_chunks, 2), _ABSENT, "<u8")
    offset = 0
    with file.open("wb") as out:
        for place, chunk in enumerate(_chunks(values)):
            packed = blosc.compress(chunk, b"zstd", _LEVEL, blosc.SHUFFLE)
            index[place] = offset, len(packed)
            offset += out.write(packed)
        body = index.tobytes()
        out.write(body + struct.pack("<I", google_crc32c.value(body)))


def _chunks(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Give whole chunks; the last is filled up with zeros."""
    for start in range(0, len(values), EXPRESSION_CHUNK):
        part = values[start : start + EXPRESSION_CHUNK]
        if len(part) < EXPRESSION_CHUNK:
            part = np.pad(part, (0, EXPRESSION_CHUNK - len(part)))
        yield np.ascontiguousarray(part)
