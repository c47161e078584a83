"""Flat arrays: valid zarr, mapped where their bytes allow it, and the same by both paths."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from backend.core.errors import BadStore
from backend.store import flat
from backend.store.schema import CHUNK_ROWS

SHAPES = [(1,), (CHUNK_ROWS,), (CHUNK_ROWS + 1, 3), (0,), (0, 4), (5, 0)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["int8", "float16", "uint64"])
def test_all_readers_agree(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    values = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    flat.write(tmp_path / "a", values)
    mapped, sliced = flat.read(tmp_path / "a"), flat.read(tmp_path / "a", fast=False)
    for rows in (mapped[:], sliced[:], zarr.open_array(str(tmp_path / "a"), mode="r")[...]):
        np.testing.assert_array_equal(rows, values)


def test_a_flat_array_is_mapped(tmp_path: Path) -> None:
    flat.write(tmp_path / "a", np.arange(10))
    mapped = flat.read(tmp_path / "a")
    # A plain view of the map: numpy slices it several times faster than a memmap.
    assert type(mapped) is np.ndarray
    assert not mapped.flags.owndata
    assert not mapped.flags.writeable
    assert isinstance(flat.read(tmp_path / "a", fast=False), flat.ZarrRows)


def test_missing_values_fill_rows_that_were_not_written(tmp_path: Path) -> None:
    rows = flat.create(tmp_path / "a", (4,), np.float16, fill=np.nan)
    rows[1] = 2
    np.testing.assert_array_equal(flat.read(tmp_path / "a")[:], [np.nan, 2, np.nan, np.nan])


@pytest.mark.parametrize(
    "options",
    [
        {"compressors": zarr.codecs.ZstdCodec()},
        {"compressors": None, "shards": None},
        {"compressors": None, "shards": (8,)},
        {"compressors": None, "serializer": zarr.codecs.BytesCodec(endian="big")},
    ],
    ids=["compressed", "not sharded", "two shards", "big endian"],
)
def test_other_layouts_are_read_through_zarr(tmp_path: Path, options: dict[str, object]) -> None:
    values = np.arange(16, dtype=np.int32)
    array = zarr.create_array(
        str(tmp_path / "a"),
        shape=(16,),
        dtype="int32",
        **{"chunks": (4,), "shards": (16,), **options},
    )
    array[:] = values
    rows = flat.read(tmp_path / "a")
    assert isinstance(rows, flat.ZarrRows)
    np.testing.assert_array_equal(rows[:], values)
    np.testing.assert_array_equal(rows[np.array([3, 9])], [3, 9])


def test_a_shard_whose_chunks_lie_in_another_order_is_not_mapped(tmp_path: Path) -> None:
    n = 2 * CHUNK_ROWS
    flat.write(tmp_path / "a", np.arange(n, dtype=np.int32))
    shard = tmp_path / "a" / "c" / "0"
    data, index = shard.read_bytes()[: 4 * n], shard.read_bytes()[4 * n :]
    pairs = np.frombuffer(index[:-4], "<u8").reshape(-1, 2)
    import google_crc32c

    swapped = pairs[::-1].tobytes()
    half = len(data) // 2
    shard.write_bytes(
        data[half:] + data[:half] + swapped + google_crc32c.value(swapped).to_bytes(4, "little")
    )
    rows = flat.read(tmp_path / "a")
    assert isinstance(rows, flat.ZarrRows)
    np.testing.assert_array_equal(rows[:], np.arange(n))


def test_a_folder_that_is_no_array_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadStore, match="not a zarr"):
        flat.read(tmp_path)
    flat.write(tmp_path / "a", np.arange(3))
    shutil.rmtree(tmp_path / "a" / "c")
    assert isinstance(flat.read(tmp_path / "a"), flat.ZarrRows)
