"""Zarr arrays whose bytes lie in one file in row order, so that they can be memory-mapped.

An uncompressed zarr v3 array of one shard is its rows, padded to whole chunks, followed by an
index of (offset, length) pairs and a checksum. We write that file ourselves, so that sections can
be written in place in any order; every zarr reader can read it. Zarr does not promise the order of
chunks in a shard, so a file is mapped only after its index has been read and found in order.
"""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any, Protocol

import google_crc32c
import numpy as np
import zarr
from numpy.typing import DTypeLike, NDArray

from backend.core.errors import BadStore
from backend.store.packed import read_packed
from backend.store.place import Place
from backend.store.schema import CHUNK_ROWS


class Rows(Protocol):
    """An array that gives numpy arrays when sliced along its first axis."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole array."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its values."""

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return the rows that a slice, a place or an array of places names."""

    def __len__(self) -> int:
        """Return the number of rows."""


class ZarrRows:
    """Rows read through the zarr interface; the path for compressed or remote stores."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return the rows that a slice, a place or an array of places names."""
        if isinstance(key, slice | int | tuple):
            return np.asarray(self._array[key])
        return np.asarray(self._array.oindex[np.asarray(key)])

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all rows."""
        return np.asarray(self._array[...], dtype=dtype)


def create(
    folder: Path,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    attributes: dict[str, Any] | None = None,
    fill: float = 0,
) -> NDArray[Any]:
    """Create a flat array on disk and return it, writable.

    Parameters
    ----------
    folder : Path
        Must not exist; its parents are made.
    shape : tuple of int
        One or two axes; rows may be zero.
    fill : float
        Value of all rows until they are written.

    Returns
    -------
    memmap of ``shape``
        Flushed by the operating system, or by ``flush()``.
    """
    kind = np.dtype(dtype).newbyteorder("<")
    rest = tuple(max(1, n) for n in shape[1:])
    n_chunks = max(1, -(-shape[0] // CHUNK_ROWS))
    folder.parent.mkdir(parents=True, exist_ok=True)
    zarr.create_array(
        str(folder),
        shape=shape,
        dtype=kind,
        chunks=(CHUNK_ROWS, *rest),
        shards=(CHUNK_ROWS * n_chunks, *rest),
        compressors=None,
        fill_value=fill,
        attributes=attributes or {},
        config={"write_empty_chunks": True},
    )
    if 0 in shape:
        return np.zeros(shape, kind)
    shard = _shard(folder, len(shape))
    shard.parent.mkdir(parents=True, exist_ok=True)
    padded = (CHUNK_ROWS * n_chunks, *shape[1:])
    chunk_bytes = int(np.prod(padded)) * kind.itemsize // n_chunks
    with shard.open("wb") as file:
        file.truncate(chunk_bytes * n_chunks)
        file.seek(0, os.SEEK_END)
        file.write(_index(n_chunks, chunk_bytes))
    rows = np.memmap(shard, dtype=kind, mode="r+", shape=padded)
    if fill != 0:
        rows[:] = fill
    return rows[: shape[0]]


def write(folder: Path, values: NDArray[Any], attributes: dict[str, Any] | None = None) -> None:
    """Write a whole flat array."""
    create(folder, values.shape, values.dtype, attributes)[...] = values


def writable(folder: Path) -> NDArray[Any]:
    """Return the rows of a flat array on disk, writable in place."""
    mapped = _mapped(folder, read_header(folder), "r+")
    if mapped is None:
        raise BadStore(f"{folder} cannot be written in place.", "Build the atlas again.")
    return mapped


def read(folder: Place, fast: bool = True) -> Rows:
    """Return the rows of an array, memory-mapped where its bytes allow it.

    Compressed arrays of one axis are mapped too, and decompressed slice by slice; whatever else,
    and whatever lies behind a URL, is read through zarr.

    Raises
    ------
    BadStore
        If there is no readable array.
    """
    header = read_header(folder)
    if fast and isinstance(folder, Path):
        mapped = _mapped(folder, header, "r")
        if mapped is not None:
            return mapped
        packed = read_packed(folder, header)
        if packed is not None:
            return packed
    return ZarrRows(zarr.open_array(str(folder), mode="r"))


def read_header(folder: Place) -> dict[str, Any]:
    """Return the zarr metadata of an array or group.

    Raises
    ------
    BadStore
        If it is missing or not JSON.
    """
    try:
        header: dict[str, Any] = json.loads((folder / "zarr.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadStore(
            f"{folder} is not a zarr v3 array or group.", "Build the atlas again."
        ) from error
    return header


def write_json(file: Path, record: dict[str, Any]) -> None:
    """Write a JSON file in one rename, so that it is whole or not there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(file.name + ".new")
    draft.write_text(json.dumps(record, ensure_ascii=False), "utf-8")
    os.replace(draft, file)


def write_group(folder: Path, attributes: dict[str, Any]) -> None:
    """Write the metadata of a zarr group, replacing what was there in one rename."""
    header = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    write_json(folder / "zarr.json", header)


def set_attributes(folder: Path, attributes: dict[str, Any]) -> None:
    """Replace the attributes of an array or group."""
    write_json(folder / "zarr.json", {**read_header(folder), "attributes": attributes})


def _shard(folder: Path, axes: int) -> Path:
    return folder.joinpath("c", *["0"] * axes)


def _index(n_chunks: int, chunk_bytes: int) -> bytes:
    """Return the index of a shard whose chunks lie in order, with its checksum."""
    offsets = np.arange(n_chunks, dtype="<u8") * np.uint64(chunk_bytes)
    pairs = np.column_stack([offsets, np.full(n_chunks, chunk_bytes, "<u8")]).astype("<u8")
    body = pairs.tobytes()
    return body + struct.pack("<I", google_crc32c.value(body))


def _mapped(folder: Path, header: dict[str, Any], mode: Any) -> NDArray[Any] | None:
    """Return a memory map of the rows, or None where the bytes are not known to be in order."""
    layout = _flat_layout(header)
    if layout is None:
        return None
    dtype, shape, n_chunks, rows_per_chunk = layout
    shard = _shard(folder, len(shape))
    chunk_bytes = rows_per_chunk * int(np.prod(shape[1:])) * dtype.itemsize
    index = _index(n_chunks, chunk_bytes)
    try:
        if shard.stat().st_size != n_chunks * chunk_bytes + len(index):
            return None
        with shard.open("rb") as file:
            file.seek(-len(index), os.SEEK_END)
            if file.read() != index:
                return None
    except OSError:
        return None
    rows = np.memmap(shard, dtype=dtype, mode=mode, shape=(n_chunks * rows_per_chunk, *shape[1:]))
    # A plain view of what is only read: numpy slices it several times faster than a memmap.
    return rows[: shape[0]] if mode != "r" else rows[: shape[0]].view(np.ndarray)


def _flat_layout(
    header: dict[str, Any],
) -> tuple[np.dtype[Any], tuple[int, ...], int, int] | None:
    """Return (dtype, shape, chunks, rows per chunk) of an array that may be flat, else None."""
    try:
        shape = tuple(header["shape"])
        shard_shape = header["chunk_grid"]["configuration"]["chunk_shape"]
        (codec,) = header["codecs"]
        inner = codec["configuration"]
        dtype = np.dtype(header["data_type"]).newbyteorder("<")
        (only,) = inner["codecs"]
        if codec["name"] != "sharding_indexed" or only["name"] != "bytes" or 0 in shape:
            return None
        if only.get("configuration", {}).get("endian", "little") != "little":
            return None
        if inner["index_location"] != "end" or inner["chunk_shape"][1:] != list(shape[1:]):
            return None
        if shard_shape[1:] != list(shape[1:]) or shard_shape[0] < shape[0]:
            return None
        return dtype, shape, shard_shape[0] // inner["chunk_shape"][0], inner["chunk_shape"][0]
    except (KeyError, TypeError, ValueError):
        return None
