"""Reading an atlas: tiles, layers, genes, names; by mapped and by zarr path alike."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.core.errors import (
    BadStore,
    TileOutOfRange,
    UnknownGene,
    UnknownLayer,
    UnknownSection,
)
from backend.core.geometry import TileAddress
from backend.core.layers import LayerKey
from backend.store.atlas import Atlas
from tests.tiny import GENES, SIZES, tiny_section


def rows_of(atlas: Atlas, z: int, x: int, y: int) -> list[int]:
    parts = atlas.rows_in_tile(TileAddress(z, x, y))
    return [row for _, rows in parts for row in range(rows.start, rows.stop)]


def plane_xy(atlas: Atlas) -> np.ndarray:
    """Places of all cells in the atlas plane, as shares of its side."""
    places = np.empty((atlas.n_cells, 2))
    for info in atlas.sections():
        inside = (np.asarray(atlas.xy[info.rows], np.float64) - info.origin) / info.side
        places[info.rows] = (inside + info.slot[1:]) / (1 << info.slot.level)
    return places


@pytest.mark.parametrize("fast", [True, False], ids=["mapped", "zarr"])
@pytest.mark.parametrize("z", range(6))
def test_tiles_of_a_zoom_partition_the_cells(tiny_path: Path, z: int, fast: bool) -> None:
    atlas = Atlas.open(tiny_path, fast)
    found = [
        row
        for x, y in itertools.product(range(1 << z), repeat=2)
        for row in rows_of(atlas, z, x, y)
    ]
    assert sorted(found) == list(range(atlas.n_cells))


@settings(deadline=None)
@given(z=st.integers(0, 14), row=st.integers(0, sum(SIZES.values()) - 1))
def test_a_tile_holds_the_cells_within_its_bounds(tiny_path: Path, z: int, row: int) -> None:
    atlas = Atlas.open(tiny_path)
    places = plane_xy(atlas)
    x, y = (int(v) for v in np.floor(places[row] * (1 << z)))
    inside = (np.floor(places * (1 << z)) == (x, y)).all(axis=1)
    assert rows_of(atlas, z, x, y) == np.flatnonzero(inside).tolist()


@pytest.mark.parametrize("z", [17, 20, 24])
def test_the_deepest_tiles_give_the_cells_of_their_step(atlas: Atlas, z: int) -> None:
    x, y = (int(v) for v in np.floor(plane_xy(atlas)[7] * (1 << z)))
    assert 7 in rows_of(atlas, z, x, y)


def test_rows_of_a_tile_adjoin_and_name_their_sections(atlas: Atlas) -> None:
    parts = atlas.rows_in_tile(TileAddress(0, 0, 0))
    assert [info.id for info, _ in parts] == [info.id for info in atlas.sections()]
    assert all(a.stop == b.start for (_, a), (_, b) in itertools.pairwise(parts))


def test_a_tile_outside_the_quadtree_is_refused(atlas: Atlas) -> None:
    with pytest.raises(TileOutOfRange, match="Use 0 to 1"):
        atlas.rows_in_tile(TileAddress(1, 2, 0))


def test_a_small_section_owns_a_deeper_slot(atlas: Atlas) -> None:
    levels = {info.id: info.slot.level for info in atlas.sections()}
    assert levels["gamma"] == levels["alpha"] + 2


def test_codes_ascend_within_a_section(atlas: Atlas) -> None:
    for info in atlas.sections():
        assert (np.diff(np.asarray(atlas.morton[info.rows], np.int64)) >= 0).all()


@pytest.mark.parametrize("fast", [True, False], ids=["mapped", "zarr"])
@pytest.mark.parametrize("name", list(SIZES))
def test_a_loaded_section_is_the_one_written(tiny_path: Path, name: str, fast: bool) -> None:
    loaded, written = Atlas.open(tiny_path, fast).load(name), tiny_section(name)
    place = {cell: i for i, cell in enumerate(written.names)}
    order = [place[cell] for cell in loaded.names]
    assert sorted(order) == list(range(written.n_cells))
    np.testing.assert_array_equal(loaded.xy, written.xy[order])
    columns = [written.genes.index(g) for g in loaded.genes]
    assert set(loaded.genes) == set(written.genes)
    np.testing.assert_array_equal(
        loaded.counts.toarray(), written.counts.toarray()[order][:, columns]
    )
    for label in written.labels:
        ours, theirs = loaded.labels[label], written.labels[label]
        names = [*(c.name for c in ours.categories), None]
        others = [*(c.name for c in theirs.categories), None]
        assert [names[c] for c in ours.codes] == [others[c] for c in theirs.codes[order]]
    for key, values in written.numbers.items():
        np.testing.assert_allclose(loaded.numbers[key], values[order], atol=1e-3)
    assert (loaded.unit, loaded.technology) == (written.unit, written.technology)


def test_both_paths_read_the_same(tiny_path: Path) -> None:
    fast, slow = Atlas.open(tiny_path), Atlas.open(tiny_path, fast=False)
    assert isinstance(fast.morton, np.ndarray)
    assert not isinstance(slow.morton, np.ndarray)
    for a, b in [
        (fast.morton, slow.morton),
        (fast.xy, slow.xy),
        *((fast.label(n).codes, slow.label(n).codes) for n in fast.labels()),
        *((fast.number(k).values, slow.number(k).values) for k in fast.numbers()),
    ]:
        np.testing.assert_array_equal(a[5:300], b[5:300])
    one, two = fast.embedding("cell"), slow.embedding("cell")
    assert one is not None
    assert two is not None
    np.testing.assert_array_equal(one.values[:], two.values[:])
    assert fast.names(slice(3, 9)) == slow.names(slice(3, 9))


def test_names_by_slice_and_by_rows_agree(atlas: Atlas) -> None:
    assert atlas.names(slice(200, 260)) == atlas.names(np.arange(200, 260))
    assert atlas.names(slice(0, 0)) == []


def test_layers_are_those_a_section_has(atlas: Atlas) -> None:
    assert LayerKey("label", "region") in atlas.layers("beta")
    assert LayerKey("label", "region") not in atlas.layers("gamma")
    assert LayerKey("confidence", "type") in atlas.layers("alpha")
    assert LayerKey("confidence", "type") not in atlas.layers("beta")


def test_genes_are_found_by_symbol_or_id_in_any_case(atlas: Atlas) -> None:
    place = atlas.genes.index("gad1")
    assert atlas.genes.symbol[place] == "Gad1"
    assert atlas.genes.index(["ENSMUSG00000070880", "3"][0]) == place
    assert sorted(atlas.genes.symbol) == sorted(GENES)
    assert atlas.genes.has_imputation


def test_unknown_names_come_with_the_nearest_known(atlas: Atlas) -> None:
    with pytest.raises(UnknownGene, match="Slc17a7"):
        atlas.genes.index("SLC17A")
    with pytest.raises(UnknownSection, match="alpha"):
        atlas.section("alfa")
    with pytest.raises(UnknownLayer, match="label:region"):
        atlas.label("regions")
    with pytest.raises(UnknownLayer, match="score:hand"):
        atlas.number(LayerKey("score", "hands"))


def test_a_section_without_counts_has_no_expression(atlas: Atlas) -> None:
    assert atlas.expression("gamma") is None
    assert atlas.section("gamma").unit == "none"


def test_an_embedding_says_whom_it_speaks_of(atlas: Atlas) -> None:
    embedding = atlas.embedding("cell")
    assert embedding is not None
    assert embedding.sections == {"alpha", "beta"}
    assert not np.asarray(embedding.values[atlas.section("gamma").rows]).any()
    assert atlas.embedding("niche") is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "other"}, "not an atlas"),
        ({"format_version": 99}, "newer program: format version 99.*Update"),
        ({"format_version": 0}, "format version 0.*Build the atlas again"),
    ],
    ids=["format", "newer", "older"],
)
def test_other_formats_are_refused(
    tiny_path: Path, tmp_path: Path, change: dict[str, object], words: str
) -> None:
    shutil.copytree(tiny_path, tmp_path / "a.zarr")
    file = tmp_path / "a.zarr" / "zarr.json"
    header = json.loads(file.read_text())
    header["attributes"] |= change
    file.write_text(json.dumps(header))
    with pytest.raises(BadStore, match=words):
        Atlas.open(tmp_path / "a.zarr")


def test_a_missing_folder_is_no_atlas(tmp_path: Path) -> None:
    with pytest.raises(BadStore, match="no atlas at"):
        Atlas.open(tmp_path / "none.zarr")
