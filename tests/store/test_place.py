"""Atlases behind URLs: read alike by every part of the interface, and refused in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from backend.core.data import TaskResult
from backend.core.errors import BadRequest, BadStore
from backend.core.geometry import TileAddress
from backend.store import pyramid
from backend.store.atlas import Atlas
from backend.store.place import RemotePath, place_of
from backend.store.write import write_result
from tests.tiny import tiny_atlas

URL = "memory://bucket/tiny.zarr"


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Atlas, Atlas]]:
    """An atlas with an overview, mapped from a folder and read from an object store."""
    monkeypatch.setattr(pyramid, "DENSE_TILE", 100)
    path = tiny_atlas(tmp_path / "tiny.zarr")
    places = np.random.default_rng(0).normal(size=(440, 2)).astype(np.float32)
    here = write_result(path, TaskResult(), layouts={"umap": places})
    files = fsspec.filesystem("memory")
    files.put(str(path), URL, recursive=True)
    yield here, Atlas.open(URL)
    files.rm("/bucket", recursive=True)


def test_every_array_is_the_same(pair: tuple[Atlas, Atlas]) -> None:
    def arrays(atlas: Atlas) -> list[np.ndarray]:
        embedding = atlas.embedding("cell")
        assert embedding is not None
        found = [atlas.morton, atlas.xy, embedding.values, embedding.scale]
        found += [atlas.label(name).codes for name in atlas.labels()]
        found += [atlas.number(key).values for key in atlas.numbers()]
        found += [atlas.genes.embedding, atlas.genes.offset, atlas.genes.trust]
        found += atlas.layout("umap") or ()
        for level in atlas.pyramid_levels():
            bins = atlas.pyramid(level)
            assert bins is not None
            found += [bins.code, bins.first, bins.count, bins.embedding]
            found += [part for name in sorted(bins.top) for part in bins.top[name]]
        return [np.asarray(array[:]) for array in found]

    here, there = pair
    assert here.pyramid_levels()[:3] == (8, 9, 10)
    for a, b in zip(arrays(here), arrays(there), strict=True):
        np.testing.assert_array_equal(a, b)
    assert here.names(slice(90, 250, 7)) == there.names(slice(90, 250, 7))
    assert here.sections() == there.sections()
    assert here.genes.symbol == there.genes.symbol
    assert (here.edition, here.name) == (there.edition, there.name)
    assert here.n_bytes == there.n_bytes > 10_000


@pytest.mark.parametrize("z", [0, 2, 4, 9, 20])
def test_every_tile_is_the_same(pair: tuple[Atlas, Atlas], z: int) -> None:
    here, there = pair
    shift = max(0, z - 4)
    for x in range(1 << (z - shift)):
        for y in range(1 << (z - shift)):
            address = TileAddress(z, x << shift, y << shift)
            assert here.rows_in_tile(address) == there.rows_in_tile(address)


def test_sections_and_their_counts_are_the_same(pair: tuple[Atlas, Atlas]) -> None:
    here, there = pair
    for info in here.sections():
        a, b = here.load(info.id), there.load(info.id)
        assert here.layers(info.id) == there.layers(info.id)
        assert (a.genes, a.labels.keys(), a.numbers.keys()) == (
            b.genes,
            b.labels.keys(),
            b.numbers.keys(),
        )
        np.testing.assert_array_equal(a.counts.toarray(), b.counts.toarray())
        np.testing.assert_array_equal(a.xy, b.xy)
    one, two = here.expression("beta"), there.expression("beta")
    assert one is not None
    assert two is not None
    for gene in one.genes:
        for x, y in zip(one.column(gene), two.column(gene), strict=True):
            np.testing.assert_array_equal(x, y)
    for x, y in zip(one.cell(11), two.cell(11), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_new_version_behind_the_url_is_seen(pair: tuple[Atlas, Atlas]) -> None:
    here, there = pair
    assert there.refresh() is there
    written = write_result(here.path, TaskResult())
    fsspec.filesystem("memory").pipe(f"{URL}/zarr.json", (here.path / "zarr.json").read_bytes())
    assert there.refresh().edition == written.edition != there.edition


def test_a_url_without_an_atlas_is_said() -> None:
    with pytest.raises(BadStore, match=r"no atlas at memory://none.*Check the address"):
        Atlas.open("memory://none/a.zarr")


def test_a_file_url_is_a_folder(tiny_path: Path) -> None:
    atlas = Atlas.open(f"file://{tiny_path}")
    assert atlas.path == tiny_path
    assert isinstance(atlas.morton, np.ndarray)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a/b.zarr", Path("a/b.zarr")),
        ("C:/b.zarr", Path("C:/b.zarr")),
        (Path("memory://a/b"), RemotePath("memory://a/b", None)),
        ("memory://a/b/", RemotePath("memory://a/b", None)),
    ],
)
def test_paths_and_urls_are_told_apart(text: str | Path, expected: Path | RemotePath) -> None:
    assert place_of(text) == expected


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", fail)
    with pytest.raises(BadStore, match=r"needs the package s3fs.*pip install s3fs"):
        Atlas.open("s3://bucket/a.zarr")


def test_an_unknown_kind_of_url_is_refused() -> None:
    with pytest.raises(BadStore, match="from gopher:// addresses"):
        Atlas.open("gopher://a/b.zarr")


def test_a_result_cannot_be_written_behind_a_url() -> None:
    with pytest.raises(BadRequest, match="can only be read"):
        write_result(URL, TaskResult())
