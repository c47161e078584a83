from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.core.errors import (
    BadRequest,
    TileOutOfRange,
    UnknownGene,
    UnknownLayer,
    UnknownSection,
)
from backend.core.geometry import TileAddress
from backend.core.layers import LayerKey, Style, TileKey
from backend.store.atlas import Atlas
from backend.tiles import shade
from backend.tiles.palette import NONE, ZERO, parse_colour
from backend.tiles.render import Tile, TileRenderer
from tests.tiles.conftest import DENSE_CELLS, MANY, pixels

Golden = Callable[[str, bytes], None]
LAYERS = (
    "label:type",
    "measured:A",
    "imputed:A",
    "density:cells",
    "confidence:type",
)


def tile(
    renderer: TileRenderer,
    section: str,
    layer: str,
    at: tuple[int, int, int] = (0, 0, 0),
    **style: object,
) -> Tile:
    address = TileAddress(*at)
    return renderer.render(
        TileKey(section, LayerKey.parse(layer), replace(Style(), **style), address)
    )


def picture(*args: object, **style: object) -> NDArray[np.uint8]:
    return pixels(tile(*args, **style).png)


@pytest.mark.parametrize(
    ("name", "section", "layer", "at", "style"),
    [
        ("montage-type", "atlas", "label:type", (0, 0, 0), {}),
        ("alpha-region", "alpha", "label:region", (0, 0, 0), {}),
        ("alpha-region-isolated", "alpha", "label:region", (0, 0, 0), {"only": (1,)}),
        ("alpha-type-confident", "alpha", "label:type", (1, 0, 1), {"least": 0.5}),
        ("alpha-measured-dark", "alpha", "measured:Gad1", (1, 1, 0), {"palette": "ink-dark"}),
        ("montage-imputed", "atlas", "imputed:Gad1", (0, 0, 0), {}),
        ("alpha-density-viridis", "alpha", "density:cells", (0, 0, 0), {"palette": "viridis"}),
        ("beta-type-deep", "beta", "label:type", (5, 17, 14), {}),
    ],
)
def test_a_tile_looks_as_it_did(
    tiny: TileRenderer, golden: Golden, name: str, section: str, layer: str, at: tuple, style: dict
) -> None:
    found = tile(tiny, section, layer, at, **style)
    assert not found.empty
    golden(name, found.png)


@pytest.mark.parametrize("layer", ["label:type", "imputed:Gad1"])
def test_a_section_tile_is_the_montage_tile_of_its_slot(tiny: TileRenderer, layer: str) -> None:
    level, x, y = tiny.atlas.section("gamma").slot
    style = {"lo": 0.0, "hi": 1.0}
    own = tile(tiny, "gamma", layer, (1, 1, 0), **style)
    montage = tile(tiny, "atlas", layer, (level + 1, 2 * x + 1, 2 * y), **style)
    assert np.array_equal(pixels(own.png), pixels(montage.png))


@pytest.mark.parametrize("layer", ["label:type", "measured:Gad1", "imputed:Gad1", "density:cells"])
@pytest.mark.parametrize("at", [(1, 0, 0), (3, 3, 4)])
def test_four_small_tiles_are_one_large_tile(
    tiny: TileRenderer, layer: str, at: tuple[int, int, int]
) -> None:
    z, x, y = at
    large = picture(tiny, "alpha", layer, (z, x, y), size=512)
    for dx in range(2):
        for dy in range(2):
            small = picture(tiny, "alpha", layer, (z + 1, 2 * x + dx, 2 * y + dy))
            window = large[dy * 256 : (dy + 1) * 256, dx * 256 : (dx + 1) * 256]
            assert np.array_equal(small, window)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("section", ["full", "atlas"])
def test_a_tile_from_the_pyramid_is_the_tile_from_the_cells(
    dense: TileRenderer, dense_path: Path, layer: str, section: str
) -> None:
    assert dense.atlas.pyramid_levels() == (8, 9, 10)
    without = Atlas.open(dense_path)
    without.attrs = {**without.attrs, "pyramid": []}
    above = picture(dense, section, layer).astype(int)
    cells = picture(TileRenderer(without), section, layer).astype(int)
    assert (above[..., 3] > 0).sum() > 10_000
    assert np.array_equal(above[..., 3], cells[..., 3])
    # Means of embeddings are rounded to int8 in the pyramid: steps of the ramp, or zero or not.
    apart = np.abs(above - cells)
    if layer == "imputed:A":
        assert apart.max() <= 25
        assert (apart > 5).mean() < 0.001
    else:
        assert not apart.any()


def test_mapped_and_unmapped_stores_give_the_same_tiles(
    tiny: TileRenderer, dense: TileRenderer
) -> None:
    for renderer, section, gene in ((tiny, "alpha", "Gad1"), (dense, "full", "A")):
        slow = TileRenderer(Atlas.open(renderer.atlas.path, fast=False))
        for layer in ("label:type", f"measured:{gene}", f"imputed:{gene}", "density:cells"):
            for at in ((0, 0, 0), (4, 7, 7)):
                fast = picture(renderer, section, layer, at)
                assert np.array_equal(picture(slow, section, layer, at), fast)


@pytest.mark.parametrize("at", [(0, 0, 0), (2, 1, 2), (5, 16, 9), (7, 61, 70)])
def test_labels_with_300_categories_have_exact_colours_at_every_zoom(
    dense: TileRenderer, at: tuple[int, int, int]
) -> None:
    found = picture(dense, "full", "label:type", at)
    seen = found[found[..., 3] == 255][:, :3]
    known = {parse_colour(c.colour) for c in MANY} | {NONE["both"][:3]}
    assert len(known) == 301
    assert {tuple(colour) for colour in seen.tolist()} <= known
    assert len(seen) > 100


def test_a_majority_tile_shows_most_of_300_categories(dense: TileRenderer) -> None:
    found = picture(dense, "full", "label:type")
    assert len({tuple(c) for c in found[found[..., 3] == 255][:, :3].tolist()}) > 256


def test_isolating_a_rare_class_shows_every_pixel_that_holds_it(dense: TileRenderer) -> None:
    found = picture(dense, "atlas", "label:type", only=(42,))
    full = found[..., 3] == 255
    assert (found[full][:, :3] == parse_colour(MANY[42].colour)).all()
    assert set(np.unique(found[..., 3])) == {0, shade.FAINT, 255}
    cells = int((np.asarray(dense.atlas.label("type").codes[:]) == 42).sum())
    assert cells * 0.9 <= full.sum() <= cells


@pytest.fixture(scope="session")
def earlier(dense: TileRenderer, tmp_path_factory: pytest.TempPathFactory) -> TileRenderer:
    """The dense atlas as format version 1 had it, without the bins of each category."""
    path = tmp_path_factory.mktemp("earlier") / "dense.zarr"
    shutil.copytree(dense.atlas.path, path)
    header = json.loads((path / "zarr.json").read_text())
    arrays = header["attributes"]["arrays"]
    header["attributes"]["format_version"] = 1
    header["attributes"]["arrays"] = {k: v for k, v in arrays.items() if "/bins/" not in k}
    assert len(header["attributes"]["arrays"]) < len(arrays)
    for folder in path.glob("pyramid/*/label/*/bins"):
        shutil.rmtree(folder)
    (path / "zarr.json").write_text(json.dumps(header))
    return TileRenderer(Atlas.open(path))


@pytest.mark.parametrize("at", [(0, 0, 0), (1, 0, 0), (2, 1, 1), (3, 2, 3), (4, 3, 5), (6, 9, 12)])
@pytest.mark.parametrize("only", [(42,), (7, 8, 299), tuple(range(0, 300, 2))], ids=len)
def test_isolating_from_the_overview_is_isolating_from_cells(
    dense: TileRenderer, earlier: TileRenderer, at: tuple[int, int, int], only: tuple[int, ...]
) -> None:
    level = dense.atlas.pyramid(8)
    assert level is not None
    assert level.holders.keys() == {"type"}
    old = earlier.atlas.pyramid(8)
    assert old is not None
    assert old.holders == {}
    for size in (256, 512):
        found, expected = (
            picture(renderer, "atlas", "label:type", at, only=only, size=size)
            for renderer in (dense, earlier)
        )
        np.testing.assert_array_equal(found, expected)


def test_uncertain_labels_are_drawn_as_unassigned(dense: TileRenderer) -> None:
    grey = np.array([*NONE["both"]])

    def share(**style: object) -> float:
        found = picture(dense, "full", "label:type", (5, 16, 9), **style)
        return float((found == grey).all(axis=2).sum() / (found[..., 3] == 255).sum())

    assert share() < share(least=0.5) < share(least=0.9) < share(least=2.0) == 1.0


def test_cells_of_sections_without_a_value_are_drawn_in_the_colour_of_none(
    tiny: TileRenderer, dense: TileRenderer
) -> None:
    for renderer, section, layer in (
        (tiny, "gamma", "imputed:Gad1"),
        (tiny, "gamma", "measured:Gad1"),
        (tiny, "beta", "confidence:type"),
        (dense, "bare", "imputed:A"),
        (dense, "bare", "measured:A"),
    ):
        found = picture(renderer, section, layer, lo=0.0, hi=1.0)
        assert {tuple(c) for c in found[found[..., 3] > 0][:, :3].tolist()} == {NONE["light"][:3]}


def test_zero_is_flat_and_follows_the_theme(dense: TileRenderer) -> None:
    for palette, theme in (("ink-light", "light"), ("ink-dark", "dark")):
        found = picture(dense, "full", "measured:A", (4, 7, 7), palette=palette)
        assert (found == np.array(ZERO[theme])).all(axis=2).any()


def test_deeper_than_the_codes_cells_are_still_apart(tiny: TileRenderer) -> None:
    info = tiny.atlas.section("alpha")
    x, y = np.asarray(tiny.atlas.xy[info.first]) - np.array(info.origin)
    z = 15
    at = (z, int(x / info.side * 2**z), int(y / info.side * 2**z))
    found = tile(tiny, "alpha", "label:type", at)
    assert not found.empty


def test_an_empty_tile_is_one_shared_transparent_picture(tiny: TileRenderer) -> None:
    a = tile(tiny, "alpha", "label:type", (12, 0, 0))
    b = tile(tiny, "atlas", "imputed:Gad1", (1, 1, 1))
    assert a.empty
    assert b.empty
    assert a.png is b.png
    assert len(a.png) < 600
    assert not pixels(a.png)[..., 3].any()
    assert a.etag != b.etag


def test_etags_follow_the_key_and_not_the_renderer(tiny: TileRenderer) -> None:
    again = TileRenderer(Atlas.open(tiny.atlas.path))
    assert tile(tiny, "alpha", "label:type").etag == tile(again, "alpha", "label:type").etag
    assert tile(tiny, "alpha", "label:type").etag != tile(tiny, "alpha", "label:region").etag


@pytest.mark.parametrize(
    ("section", "layer", "at", "style", "error"),
    [
        ("alpha", "label:type", (1, 2, 0), {}, TileOutOfRange),
        ("alpha", "label:type", (25, 0, 0), {}, TileOutOfRange),
        ("alpha", "label:type", (24, 0, 0), {}, TileOutOfRange),
        ("atlas", "label:type", (2, 0, -1), {}, TileOutOfRange),
        ("delta", "label:type", (0, 0, 0), {}, UnknownSection),
        ("alpha", "label:nothing", (0, 0, 0), {}, UnknownLayer),
        ("alpha", "density:genes", (0, 0, 0), {}, UnknownLayer),
        ("alpha", "score:nothing", (0, 0, 0), {}, UnknownLayer),
        ("alpha", "measured:Gad9", (0, 0, 0), {}, UnknownGene),
        ("alpha", "label:type", (0, 0, 0), {"palette": "rainbow"}, BadRequest),
        ("alpha", "label:type", (0, 0, 0), {"size": 300}, BadRequest),
        ("alpha", "imputed:Gad1", (0, 0, 0), {"lo": float("nan")}, BadRequest),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    tiny: TileRenderer, section: str, layer: str, at: tuple, style: dict, error: type[Exception]
) -> None:
    with pytest.raises(error):
        tile(tiny, section, layer, at, **style)


def test_a_gene_without_a_trained_embedding_cannot_be_imputed(dense: TileRenderer) -> None:
    with pytest.raises(UnknownLayer, match="B cannot be imputed"):
        tile(dense, "full", "imputed:B")


def test_genes_are_found_in_any_case(tiny: TileRenderer) -> None:
    assert np.array_equal(
        picture(tiny, "alpha", "measured:gad1"), picture(tiny, "alpha", "measured:Gad1")
    )


def test_values_are_those_of_the_store(tiny: TileRenderer) -> None:
    atlas = tiny.atlas
    info = atlas.section("alpha")
    rows = slice(info.first + 10, info.first + 30)
    gene = atlas.genes.index("Gad1")
    matrix, expression = atlas.load("alpha").counts, atlas.expression("alpha")
    column = int(np.flatnonzero(expression.genes == gene)[0])
    measured = tiny.values("alpha", LayerKey("measured", "Gad1"), rows)
    np.testing.assert_allclose(measured, np.log1p(matrix[10:30, [column]].toarray().ravel()))
    embedding = atlas.embedding("cell")
    latent = np.asarray(embedding.values[rows]) * embedding.scale
    expected = np.maximum(0, latent @ atlas.genes.embedding[gene] + atlas.genes.offset[gene])
    imputed = tiny.values("alpha", LayerKey("imputed", "Gad1"), rows)
    np.testing.assert_allclose(imputed, expected, rtol=1e-5, atol=1e-6)
    codes = tiny.values("alpha", LayerKey("label", "type"), rows)
    assert np.array_equal(codes, atlas.label("type").codes[rows])


def test_values_of_the_montage_cross_sections(tiny: TileRenderer) -> None:
    everything = slice(0, tiny.atlas.n_cells)
    for layer in (LayerKey("label", "type"), LayerKey("imputed", "Gad1")):
        parts = [tiny.values(s.id, layer, s.rows) for s in tiny.atlas.sections()]
        found = tiny.values("atlas", layer, everything)
        np.testing.assert_array_equal(found, np.concatenate(parts))
    assert np.isnan(found).sum() == tiny.atlas.section("gamma").n_cells


def test_density_is_cells_per_square_millimetre(dense: TileRenderer) -> None:
    rows = dense.atlas.section("full").rows
    found = dense.values("full", LayerKey("density", "cells"), rows)
    assert np.median(found) == pytest.approx(DENSE_CELLS, rel=0.15)


def test_threads_draw_the_same_tiles_as_one(dense: TileRenderer) -> None:
    keys = [(layer, at) for layer in LAYERS for at in ((0, 0, 0), (2, 1, 1), (5, 9, 9))]
    alone = {key: tile(dense, "full", *key).png for key in keys}
    fresh = TileRenderer(Atlas.open(dense.atlas.path))
    wrong: list[object] = []

    def work(offset: int) -> None:
        for key in keys[offset:] + keys[:offset]:
            if tile(fresh, "full", *key).png != alone[key]:
                wrong.append(key)

    threads = [threading.Thread(target=work, args=(i * 4,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_warming_compiles_without_an_atlas_of_any_size(tiny: TileRenderer) -> None:
    tiny.warm()
    assert not tile(tiny, "alpha", "label:type").empty
