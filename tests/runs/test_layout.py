"""A UMAP of the cell embedding, from an atlas to an atlas."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from backend.core.data import TaskResult
from backend.core.errors import BadRequest, Cancelled, TooLarge
from backend.core.geometry import TileAddress
from backend.core.job import RunContext
from backend.core.layers import LayerKey, Style, TileKey
from backend.models.common.neighbours import Neighbours
from backend.runs import layout as module
from backend.runs.balance import balanced_rows
from backend.runs.layout import layout_atlas, placed_among, sample_of
from backend.runs.placing import Placing
from backend.store import flat, room
from backend.store.atlas import Atlas
from backend.store.result import write_result
from backend.tiles.layouts import LayoutName
from backend.tiles.render import TileRenderer
from tests.tiny import tiny_atlas


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small atlas with two groups of cells planted in its embedding, laid out."""
    path = tiny_atlas(tmp_path_factory.mktemp("layout") / "tiny.zarr")
    atlas = Atlas.open(path)
    rng = np.random.default_rng(2)
    cells = rng.normal(0, 4, (atlas.n_cells, 4))
    cells[:, 0] += np.where(in_first(atlas.n_cells), 100, -100)
    scale = np.full(4, 0.02, np.float32)
    write_result(
        path,
        TaskResult(),
        embeddings={"cell": (np.clip(np.rint(cells), -127, 127).astype(np.int8), scale)},
        embedded=["alpha", "beta"],
    )
    found = layout_atlas(path, sample=150)
    assert (found["placed"], found["left_out"]) == (400, 40)
    return path


def in_first(n: int) -> NDArray[np.bool_]:
    """Return which rows belong to the first of the planted groups."""
    return np.arange(n) % 3 == 0


def places(path: Path) -> tuple[NDArray[np.float64], NDArray[np.uint32]]:
    layout = TileRenderer(Atlas.open(path)).layout(LayoutName("umap", None))
    return layout.positions(slice(0, len(layout))), np.asarray(layout.rows)


def test_two_planted_groups_are_apart(path: Path) -> None:
    at, rows = places(path)
    first = in_first(440)[rows]
    apart = np.linalg.norm(at[first].mean(axis=0) - at[~first].mean(axis=0))
    for group in (at[first], at[~first]):
        middle = group.mean(axis=0)
        assert np.quantile(np.linalg.norm(group - middle, axis=1), 0.99) < apart / 2


def test_the_plane_is_filled(path: Path) -> None:
    at, _ = places(path)
    assert (np.ptp(at, axis=0) > 0.9).all()


def test_the_same_seed_gives_the_same_plane(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.zarr"
    shutil.copytree(path, copy)
    before = places(path)
    layout_atlas(copy, sample=150)
    for kept, again in zip(before, places(copy), strict=True):
        assert np.array_equal(kept, again)
    layout_atlas(copy, sample=150, seed=1)
    assert not np.array_equal(before[0], places(copy)[0])


def test_the_plane_says_how_it_was_made(path: Path) -> None:
    folder = Atlas.open(path).array_path("layouts/umap/order")
    about = flat.read_header(Path(str(folder)))["attributes"]
    assert about["placed"] == 400
    assert "placed among their nearest neighbours" in about["provenance"]["parameters"]["method"]
    assert about["provenance"]["seed"] == 0


def test_tiles_of_the_plane_are_drawn(path: Path) -> None:
    key = TileKey("layout:umap@beta", LayerKey("label", "type"), Style(), TileAddress(0, 0, 0))
    assert not TileRenderer(Atlas.open(path)).render(key).empty


def test_an_atlas_without_an_embedding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no cell embedding"):
        layout_atlas(tiny_atlas(tmp_path / "bare.zarr", with_embedding=False))


def test_a_cancelled_layout_changes_nothing(path: Path) -> None:
    before = Atlas.open(path).edition
    with pytest.raises(Cancelled):
        layout_atlas(path, RunContext(cancelled=lambda: True), sample=150)
    assert Atlas.open(path).edition == before


def test_a_layout_that_was_killed_goes_on_to_the_same_plane(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 50)
    copies = [tmp_path / f"{name}.zarr" for name in ("whole", "killed")]
    for copy in copies:
        shutil.copytree(path, copy)
    layout_atlas(copies[0], sample=150)
    told: list[str] = []

    def report(_: float, message: str) -> None:
        told.append(message)
        if sum("Placing" in m for m in told) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        layout_atlas(copies[1], RunContext(report=report), sample=150)
    kept = tmp_path / "killed.zarr.layout-umap"
    held = open_memmap(kept / "places.npy", "r+")
    assert 150 < np.isfinite(held[:, 0]).sum() < 440
    held[np.flatnonzero(np.isfinite(held[:, 0]))[-2:]] = np.nan  # a part that was half written
    monkeypatch.setattr(module, "fit_plane", lambda *_: pytest.fail("fitted again"))
    layout_atlas(copies[1], sample=150)
    assert not kept.exists()
    for whole, killed in zip(*map(places, copies), strict=True):
        np.testing.assert_array_equal(whole, killed)


def test_what_was_placed_for_another_seed_is_not_used(path: Path, tmp_path: Path) -> None:
    first = Placing(tmp_path / "a", 10, ("seed 0",))
    first.places[:] = 1
    first.keep(np.arange(3), np.zeros((3, 2), np.float32))
    again = Placing(tmp_path / "a", 10, ("seed 0",))
    assert again.is_done(slice(0, 10))
    assert again.fitted() is not None
    other = Placing(tmp_path / "a", 10, ("seed 1",))
    assert not other.is_done(slice(0, 1))
    assert other.fitted() is None


def test_larger_atlases_are_fitted_on_more_cells() -> None:
    assert [sample_of(n) for n in (100, 2_000_000, 3_000_000, 18_637_640)] == [
        20_000, 20_000, 30_000, 50_000,
    ]  # fmt: skip


def test_a_layout_that_does_not_fit_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Atlas.open(path).edition
    monkeypatch.setattr(room, "free_memory", lambda: 1000)
    with pytest.raises(TooLarge, match="of memory"):
        layout_atlas(path)
    assert Atlas.open(path).edition == before


def test_a_sample_keeps_small_sections_and_rare_classes(path: Path) -> None:
    atlas = Atlas.open(path)
    rows = balanced_rows(atlas, list(atlas.sections()), 100, 0)
    assert len(np.unique(rows)) == len(rows)
    assert abs(len(rows) - 100) <= 15
    small = atlas.section("gamma").rows
    # Of 440 cells 40 are in the small section: 9 of 100 in proportion.
    assert ((rows >= small.start) & (rows < small.stop)).sum() > 11
    assert len(balanced_rows(atlas, list(atlas.sections()), 1000, 0)) == 440


def test_nearest_cells_are_found_among_many_groups() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(0, 1, (5000, 6)).astype(np.float32)
    query = rng.normal(0, 1, (200, 6)).astype(np.float32)
    near, distance = Neighbours(z, 0)(query, 5)
    exact = np.linalg.norm(query[:, None] - z[None], axis=2)
    expected = np.argsort(exact, axis=1)[:, :5]
    hits = [len(np.intersect1d(a, b)) for a, b in zip(near, expected, strict=True)]
    assert np.mean(hits) > 4.5
    np.testing.assert_allclose(distance, np.take_along_axis(exact, near, axis=1), rtol=1e-4)
    few, far = Neighbours(z[:3], 0)(query, 5)
    assert np.array_equal(few[:, 3:], np.full((200, 2), -1))
    assert np.isinf(far[:, 3:]).all()


def test_a_cell_between_islands_is_placed_on_the_nearest() -> None:
    plane = np.array([[0, 0], [0, 0.1], [0.1, 0], [9, 9], [9, 9.1]], np.float32)
    near = np.array([[0, 3, 1, 4, 2]])
    distance = np.array([[1.0, 1.1, 1.2, 1.3, 1.4]], np.float32)
    found = placed_among(plane, near, distance, np.random.default_rng(0))
    assert np.abs(found).max() < 0.5
