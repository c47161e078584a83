"""Compressed arrays: valid zarr, and read from mapped shards as zarr reads them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr

from backend.store import flat, packed
from backend.store.packed import PackedRows, write_packed


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "EXPRESSION_CHUNK", 8)
    monkeypatch.setattr(packed, "EXPRESSION_SHARD", 3)


@pytest.mark.parametrize("n", [0, 1, 8, 24, 25, 70])
@pytest.mark.parametrize("dtype", ["uint8", "uint32", "float32"])
def test_all_readers_agree(tmp_path: Path, n: int, dtype: str) -> None:
    values = (np.arange(n) * 37 % 251).astype(dtype)
    write_packed(tmp_path / "a", values)
    rows = flat.read(tmp_path / "a")
    assert isinstance(rows, PackedRows)
    array = zarr.open_array(str(tmp_path / "a"), mode="r")
    np.testing.assert_array_equal(array[...], values)
    for part in (slice(None), slice(5, 20), slice(7, 8), slice(20, 5), slice(0, 30, 4), slice(24)):
        np.testing.assert_array_equal(rows[part], values[part])
    np.testing.assert_array_equal(np.asarray(rows), values)
    if n > 9:
        np.testing.assert_array_equal(rows[np.array([9, 2])], values[[9, 2]])


def test_chunks_that_zarr_left_out_are_zero(tmp_path: Path) -> None:
    values = np.zeros(60, np.uint32)
    values[10] = 5
    write_packed(tmp_path / "a", np.zeros(60, np.uint32))
    for shard in (tmp_path / "a" / "c").iterdir():
        shard.unlink()
    zarr.open_array(str(tmp_path / "a"), mode="r+")[:] = values
    assert len(list((tmp_path / "a" / "c").iterdir())) == 1
    rows = flat.read(tmp_path / "a")
    assert isinstance(rows, PackedRows)
    np.testing.assert_array_equal(rows[:], values)


def test_a_damaged_index_is_left_to_zarr(tmp_path: Path) -> None:
    write_packed(tmp_path / "a", np.arange(20, dtype=np.uint32))
    shard = tmp_path / "a" / "c" / "0"
    data = bytearray(shard.read_bytes())
    data[-10] ^= 1
    shard.write_bytes(data)
    assert isinstance(flat.read(tmp_path / "a"), flat.ZarrRows)


@pytest.mark.parametrize("key", ["codecs", "fill_value"])
def test_other_layouts_are_left_to_zarr(tmp_path: Path, key: str) -> None:
    write_packed(tmp_path / "a", np.arange(20, dtype=np.uint32))
    header = json.loads((tmp_path / "a" / "zarr.json").read_text())
    header[key] = header[key] * 2 if key == "codecs" else 7
    assert packed.read_packed(tmp_path / "a", header) is None
