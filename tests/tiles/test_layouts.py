"""Other planes of the same cells: tiles of a layout made by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.core.data import Column, TaskResult
from backend.core.errors import TileOutOfRange, UnknownSection
from backend.core.geometry import TileAddress
from backend.core.layers import LayerKey, Style, TileKey
from backend.store import flat, schema
from backend.store.atlas import Atlas
from backend.store.write import write_result
from backend.tiles import layouts
from backend.tiles.layouts import LayoutName, open_layout, parse_layout
from backend.tiles.overviews import write_overview
from backend.tiles.places import CONTEXT
from backend.tiles.render import TileRenderer
from backend.tiles.values import Values
from tests.tiles.conftest import MANY, dense_section, pixels
from tests.tiny import TYPES, tiny_atlas

UMAP = LayoutName("umap", None)
LAYERS = ("label:type", "measured:A", "imputed:A", "density:cells", "confidence:type")


def with_layout(path: Path, seed: int) -> tuple[Path, NDArray[np.float32]]:
    """Write a layout of the embedded cells at random places; the others are left out."""
    atlas = Atlas.open(path)
    places = np.random.default_rng(seed).beta(2, 2, (atlas.n_cells, 2)).astype(np.float32)
    embedding = atlas.embedding("cell")
    assert embedding is not None
    missing = [s.rows for s in atlas.sections() if s.id not in embedding.sections]
    for rows in missing:
        places[rows] = 1.02
    written = write_result(path, TaskResult(), layouts={"umap": places})
    n = atlas.n_cells - sum(rows.stop - rows.start for rows in missing)
    folder = written.array_path(schema.layout_array("umap", "order"))
    assert folder is not None
    flat.set_attributes(Path(str(folder)), {"placed": n})
    for rows in missing:
        places[rows] = np.nan
    return path, places


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> tuple[TileRenderer, NDArray[np.float32]]:
    folder = tmp_path_factory.mktemp("layouts")
    path, places = with_layout(tiny_atlas(folder / "tiny.zarr"), 5)
    return TileRenderer(Atlas.open(path)), places


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sections of 40,000 cells, one of them embedded, laid out."""
    from backend.store.write import write_atlas

    path = tmp_path_factory.mktemp("layouts") / "crowd.zarr"
    sections = [dense_section("full", 1, True), dense_section("bare", 2, False)]
    write_atlas(path, "crowd", sections)
    n = sum(s.n_cells for s in sections)
    rng = np.random.default_rng(3)
    cells = rng.integers(-99, 99, (n, 8)).astype(np.int8)
    genes = np.array([rng.normal(0, 1, 8), np.zeros(8)], np.float32)
    write_result(
        path,
        TaskResult(),
        embeddings={"cell": (cells, np.full(8, 0.01, np.float32))},
        genes=(genes, np.array([0.2, 0.2], np.float32), np.full((2, 3), np.nan, np.float32)),
        checkpoint="hand-made",
        embedded=["full"],
    )
    return with_layout(path, 6)[0]


def tile(
    renderer: TileRenderer,
    section: str,
    layer: str,
    at: tuple[int, int, int] = (0, 0, 0),
    **style: object,
) -> NDArray[np.uint8]:
    key = TileKey(
        section, LayerKey.parse(layer), replace(Style(), **style), TileAddress(*at).checked()
    )
    return pixels(renderer.render(key).png)


def test_names_of_planes_are_read_as_written() -> None:
    assert parse_layout("alpha") is None
    assert parse_layout("layout:umap") == UMAP
    assert parse_layout("layout:umap@a.b-c") == LayoutName("umap", "a.b-c")
    assert UMAP.base == "atlas"
    assert LayoutName("umap", "alpha").base == "alpha"


@pytest.mark.parametrize("section", [None, "alpha"])
def test_tiles_of_a_plane_partition_its_cells_at_every_zoom(
    plane: tuple[TileRenderer, NDArray[np.float32]], section: str | None
) -> None:
    layout = plane[0].layout(LayoutName("umap", section))
    assert len(layout) == (240 if section else 400)
    for z in range(5):
        n = 1 << z
        found = [layout.places(TileAddress(z, x, y)) for y in range(n) for x in range(n)]
        rows = np.concatenate([layout.rows[places] for places in found])
        assert np.array_equal(np.sort(rows), np.sort(layout.rows))
    deep = [TileAddress(20, int(x * 2**20), int(y * 2**20)) for x, y in layout.positions(slice(9))]
    assert all(layout.places(at).start <= i < layout.places(at).stop for i, at in enumerate(deep))


def test_a_cell_is_where_its_layout_says(
    plane: tuple[TileRenderer, NDArray[np.float32]],
) -> None:
    renderer, places = plane
    layout = renderer.layout(UMAP)
    expected = places[layout.rows]
    found = layout.positions(slice(0, len(layout)))
    # The store keeps the shape and adds a margin: one scale, one shift.
    scale = np.ptp(found, axis=0) / np.ptp(expected, axis=0)
    assert scale[0] == pytest.approx(scale[1], rel=1e-3)
    shift = found.mean(axis=0) - expected.mean(axis=0) * scale
    assert np.abs(expected * scale + shift - found).max() < 1e-4


def test_a_cell_is_drawn_in_its_colour_where_it_is(
    plane: tuple[TileRenderer, NDArray[np.float32]],
) -> None:
    renderer = plane[0]
    layout, label = renderer.layout(UMAP), renderer.atlas.label("type")
    for place in range(0, len(layout), 40):
        x, y = layout.positions(np.array([place]))[0] * 2**9
        code = int(label.codes[int(layout.rows[place])])
        found = tile(renderer, "layout:umap", "label:type", (9, int(x), int(y)))
        at = found[int(y % 1 * 256), int(x % 1 * 256)]
        colour = label.categories[code].colour if code >= 0 else "#9aa3ad"
        assert "#" + bytes(at[:3]).hex() == colour
        assert at[3] > 0


def test_cells_without_a_place_are_neither_drawn_nor_counted(
    plane: tuple[TileRenderer, NDArray[np.float32]],
) -> None:
    renderer = plane[0]
    rows = renderer.atlas.section("gamma").rows
    layout = renderer.layout(UMAP)
    assert not ((layout.rows >= rows.start) & (layout.rows < rows.stop)).any()
    assert not tile(renderer, "layout:umap", "label:type", (5, 31, 31)).any()
    assert len(renderer.layout(LayoutName("umap", "gamma"))) == 0
    found = tile(renderer, "layout:umap@gamma", "label:type")
    assert found[..., 3].max() == CONTEXT


def test_a_store_that_does_not_say_leaves_out_what_was_not_embedded(tmp_path: Path) -> None:
    path, _ = with_layout(tiny_atlas(tmp_path / "tiny.zarr"), 5)
    atlas = Atlas.open(path)
    flat.set_attributes(Path(str(atlas.array_path("layouts/umap/order"))), {})
    assert len(TileRenderer(atlas).layout(UMAP)) == 400


@pytest.mark.parametrize("layer", ["label:type", "imputed:Gad1", "density:cells"])
@pytest.mark.parametrize("z", [0, 2])
def test_one_section_is_coloured_before_the_others_in_grey(
    plane: tuple[TileRenderer, NDArray[np.float32]], layer: str, z: int
) -> None:
    at = (z, (1 << z) // 2, (1 << z) // 2)
    found = tile(plane[0], "layout:umap@alpha", layer, at)
    whole = tile(plane[0], "layout:umap", layer, at)
    own, grey = found[..., 3] > CONTEXT, (found[..., 3] > 0) & (found[..., 3] <= CONTEXT)
    assert own.any()
    assert grey.any()
    assert {tuple(c) for c in found[grey][:, :3].tolist()} == {(0x9A, 0xA3, 0xAD)}
    # Elsewhere than at the section's cells, grey stands where the whole plane has cells.
    assert (whole[..., 3] > 0)[grey].mean() > 0.95


def test_spans_are_those_of_the_tissue(
    plane: tuple[TileRenderer, NDArray[np.float32]],
) -> None:
    renderer = plane[0]
    for key in (LayerKey("measured", "Gad1"), LayerKey("imputed", "Gad1")):
        assert renderer.span("layout:umap", key) == renderer.span("atlas", key)
        assert renderer.span("layout:umap@beta", key) == renderer.span("beta", key)
    rows = renderer.atlas.section("beta").rows
    key = LayerKey("imputed", "Gad1")
    expected = renderer.values("beta", key, rows)
    np.testing.assert_array_equal(renderer.values("layout:umap@beta", key, rows), expected)


@pytest.mark.parametrize("layer", ["label:type", "measured:Gad1", "imputed:Gad1"])
@pytest.mark.parametrize("section", ["layout:umap", "layout:umap@alpha"])
def test_four_small_tiles_are_one_large_tile(
    plane: tuple[TileRenderer, NDArray[np.float32]], layer: str, section: str
) -> None:
    large = tile(plane[0], section, layer, (1, 0, 1), size=512)
    small = [tile(plane[0], section, layer, (2, x, y)) for y in (2, 3) for x in (0, 1)]
    joined = np.vstack([np.hstack(small[:2]), np.hstack(small[2:])])
    assert np.array_equal(large, joined)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("section", ["layout:umap", "layout:umap@full", "layout:umap@bare"])
def test_an_overview_is_what_the_cells_would_give(
    crowd: Path, monkeypatch: pytest.MonkeyPatch, layer: str, section: str
) -> None:
    plain = tile(TileRenderer(Atlas.open(crowd)), section, layer, lo=0.0, hi=2.0).astype(int)
    monkeypatch.setattr(layouts, "DENSE_PLACES", 1_000)
    write_overview(Atlas.open(crowd), "umap", lambda fraction: None)
    renderer = TileRenderer(Atlas.open(crowd))
    assert renderer.layout(UMAP).levels[0] == 8
    assert renderer.layout(UMAP).overview
    quick = tile(renderer, section, layer, lo=0.0, hi=2.0).astype(int)
    assert (quick[..., 3] > 0).sum() > 10_000
    assert np.array_equal(quick[..., 3], plain[..., 3])
    # Means of embeddings are rounded to int8: a step of the ramp, or zero or not.
    apart = np.abs(quick - plain)
    assert apart.max() <= (30 if layer == "imputed:A" else 0)
    assert (apart > 5).mean() < 0.002


@pytest.mark.parametrize("layer", LAYERS)
def test_levels_of_many_bins_are_drawn_alike_without_keeping_them(
    crowd: Path, monkeypatch: pytest.MonkeyPatch, layer: str
) -> None:
    monkeypatch.setattr(layouts, "DENSE_PLACES", 1_000)
    write_overview(Atlas.open(crowd), "umap", lambda _: None)
    at = (((0, 0, 0), 256), ((1, 1, 0), 256), ((2, 1, 2), 256), ((0, 0, 0), 512))

    def pictures() -> list[NDArray[np.uint8]]:
        renderer = TileRenderer(Atlas.open(crowd))
        return [tile(renderer, "layout:umap", layer, where, size=size) for where, size in at]

    values = Values(Atlas.open(crowd))
    first = open_layout(values, UMAP).first(values, 9)
    kept = pictures()
    monkeypatch.setattr(layouts, "WHOLE_BINS", 100)
    values = Values(Atlas.open(crowd))
    plane = open_layout(values, UMAP)
    assert plane.is_coarse(values, 8)
    assert not plane.is_coarse(values, 9)
    assert np.array_equal(plane.first(values, 9), first)
    for one, other in zip(kept, pictures(), strict=True):
        assert one[..., 3].any()
        assert np.array_equal(one[..., 3], other[..., 3])
        # Means of embeddings that are rounded to int8 are used in both; all else is exact.
        assert np.abs(one.astype(int) - other).max() <= 1


def test_an_isolated_class_shows_every_pixel_that_holds_it(
    crowd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tile(TileRenderer(Atlas.open(crowd)), "layout:umap", "label:type", only=(42,))
    monkeypatch.setattr(layouts, "DENSE_PLACES", 1_000)
    quick = tile(TileRenderer(Atlas.open(crowd)), "layout:umap", "label:type", only=(42,))
    assert np.array_equal(found, quick)
    write_overview(Atlas.open(crowd), "umap", lambda fraction: None)
    stored = TileRenderer(Atlas.open(crowd))
    assert np.array_equal(found, tile(stored, "layout:umap", "label:type", only=(42,)))
    values = Values(stored.atlas)
    assert open_layout(values, UMAP).label_bins(values, "type", 8) is not None
    full = found[found[..., 3] == 255]
    assert {"#" + bytes(c[:3]).hex() for c in full} == {MANY[42].colour}


def test_the_overview_of_an_older_embedding_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = with_layout(tiny_atlas(tmp_path / "tiny.zarr"), 5)
    monkeypatch.setattr(layouts, "DENSE_PLACES", 50)
    write_overview(Atlas.open(path), "umap", lambda fraction: None)
    before = Atlas.open(path)
    values = Values(before)
    assert open_layout(values, UMAP).mean_embedding(values, 8) is not None
    embedding = before.embedding("cell")
    assert embedding is not None
    again = {"cell": (np.asarray(embedding.values[:]), embedding.scale)}
    write_result(path, TaskResult(), embeddings=again, embedded=tuple(embedding.sections))
    values = Values(Atlas.open(path))
    assert open_layout(values, UMAP).mean_embedding(values, 8) is None
    assert tile(TileRenderer(Atlas.open(path)), "layout:umap", "imputed:Gad1").any()


def test_the_overview_of_an_older_label_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = with_layout(tiny_atlas(tmp_path / "tiny.zarr"), 5)
    monkeypatch.setattr(layouts, "DENSE_PLACES", 50)
    write_overview(Atlas.open(path), "umap", lambda fraction: None)
    before = tile(TileRenderer(Atlas.open(path)), "layout:umap", "label:type")
    atlas = Atlas.open(path)
    codes = np.zeros(atlas.section("alpha").n_cells, np.int16)
    column = Column("alpha", LayerKey("label", "type"), codes, TYPES[:1])
    write_result(path, TaskResult(columns=(column,)))
    values = Values(Atlas.open(path))
    layout = open_layout(values, UMAP)
    assert layout.label_bins(values, "type", 8) is None
    assert layout.label_bins(values, "region", 8) is not None
    after = tile(TileRenderer(Atlas.open(path)), "layout:umap", "label:type")
    assert not np.array_equal(after, before)


def test_mapped_and_unmapped_stores_give_the_same_plane(crowd: Path) -> None:
    fast, slow = (TileRenderer(Atlas.open(crowd, fast=kind)) for kind in (True, False))
    for layer in LAYERS:
        for at in ((0, 0, 0), (4, 8, 7)):
            for section in ("layout:umap", "layout:umap@full"):
                expected = tile(fast, section, layer, at)
                assert np.array_equal(tile(slow, section, layer, at), expected)


def test_a_tile_of_the_plane_looks_as_it_did(
    plane: tuple[TileRenderer, NDArray[np.float32]], golden: Callable[[str, bytes], None]
) -> None:
    key = TileKey("layout:umap@alpha", LayerKey("label", "type"), Style(), TileAddress(0, 0, 0))
    golden("umap-alpha-type", plane[0].render(key).png)


@pytest.mark.parametrize(
    ("section", "at", "error"),
    [
        ("layout:tsne", (0, 0, 0), UnknownSection),
        ("layout:", (0, 0, 0), UnknownSection),
        ("layout:umap@delta", (0, 0, 0), UnknownSection),
        ("layout:umap", (1, 2, 0), TileOutOfRange),
    ],
)
def test_planes_that_are_not_there_are_refused(
    plane: tuple[TileRenderer, NDArray[np.float32]],
    section: str,
    at: tuple[int, int, int],
    error: type[Exception],
) -> None:
    with pytest.raises(error):
        tile(plane[0], section, "label:type", at)
