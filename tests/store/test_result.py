"""Results become visible whole or not at all."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from backend.core.data import Column, Provenance, TaskResult
from backend.core.errors import BadRequest, TooLarge
from backend.core.layers import Category, LayerKey
from backend.store import pyramid, result, room
from backend.store.atlas import Atlas
from backend.store.result import write_result
from backend.store.write import write_atlas
from tests.tiny import SIZES, tiny_section

MADE = Provenance("test", "1", {"k": 3}, 5, ("tiny",))


@pytest.fixture
def path(tiny_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_path, tmp_path / "a.zarr"))


def state_of(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def a_result(n: int = SIZES["beta"]) -> TaskResult:
    domain = Column(
        "beta",
        LayerKey("label", "domain"),
        np.arange(n) % 2,
        (Category("p", ""), Category("q", "")),
    )
    factor = Column("beta", LayerKey("factor", "1"), np.linspace(0, 2, n), unit="share")
    return TaskResult(columns=(domain, factor), provenance=MADE)


def test_columns_become_layers_of_their_section(path: Path) -> None:
    before = Atlas.open(path)
    after = write_result(path, a_result())
    assert after.version == before.version + 1
    key = LayerKey("factor", "1")
    assert key in after.layers("beta")
    assert key not in after.layers("alpha")
    number = after.number(key)
    np.testing.assert_allclose(
        number.values[after.section("beta").rows], np.linspace(0, 2, 160), atol=2e-3
    )
    assert np.isnan(number.values[after.section("alpha").rows]).all()
    assert number.spans == {"beta": (0.0, 2.0)}
    assert (number.unit, number.provenance) == ("share", MADE)
    label = after.label("domain")
    assert np.asarray(label.codes[after.section("beta").rows])[:3].tolist() == [0, 1, 0]
    assert (np.asarray(label.codes[after.section("alpha").rows]) == -1).all()
    assert all(c.colour for c in label.categories)


def test_a_label_keeps_its_values_in_other_sections(path: Path) -> None:
    before = Atlas.open(path)
    new = Column(
        "beta", LayerKey("label", "type"), np.zeros(SIZES["beta"]), (Category("Aaa", "#111111"),)
    )
    after = write_result(path, TaskResult(columns=(new,), provenance=MADE))

    def names(atlas: Atlas, section: str) -> list[str]:
        label = atlas.label("type")
        known = [*(c.name for c in label.categories), "missing"]
        return [known[c] for c in label.codes[atlas.section(section).rows]]

    assert names(after, "alpha") == names(before, "alpha")
    assert set(names(after, "beta")) == {"Aaa"}


@pytest.mark.parametrize(
    "where", ["_Update.publish", "_Update.embedding", "_Update._number", "flat.write_group"]
)
def test_a_failure_at_any_step_changes_nothing(
    path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state_of(path)
    owner, name = where.split(".")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(getattr(result, owner), name, fail)
    cells = np.zeros((sum(SIZES.values()), 2), np.int8)
    with pytest.raises(OSError, match="disk full"):
        write_result(path, a_result(), embeddings={"niche": (cells, np.ones(2, np.float32))})
    assert state_of(path) == before


def test_a_write_that_was_killed_is_written_over(path: Path) -> None:
    version = Atlas.open(path).version + 1
    (path / f"cells/label/domain@{version}").mkdir()
    assert "domain" in write_result(path, a_result()).labels()


def test_an_open_atlas_still_reads_its_version_and_refresh_opens_the_new(path: Path) -> None:
    old = Atlas.open(path)
    assert old.refresh() is old
    codes = np.array(old.label("type").codes[:])
    new = Column(
        "alpha", LayerKey("label", "type"), np.zeros(SIZES["alpha"]), (Category("Aaa", ""),)
    )
    write_result(path, TaskResult(columns=(new,)))
    np.testing.assert_array_equal(old.label("type").codes[:], codes)
    np.testing.assert_array_equal(Atlas.open(path, fast=False).xy[:], old.xy[:])
    fresh = old.refresh()
    assert fresh.version == old.version + 1
    assert (np.asarray(fresh.label("type").codes[fresh.section("alpha").rows]) == 0).all()


def test_the_edition_changes_with_every_version_and_every_rebuild(tmp_path: Path) -> None:
    def build() -> Atlas:
        return Atlas.open(write_atlas(tmp_path / "a", "t", [tiny_section("beta")]))

    first = build()
    assert first.edition == Atlas.open(first.path).edition
    second = write_result(first.path, a_result())
    shutil.rmtree(first.path)
    rebuilt = build()
    assert rebuilt.version == first.version
    assert len({first.edition, second.edition, rebuilt.edition}) == 3
    assert first.refresh().edition == rebuilt.edition
    assert re.fullmatch(r"[\w-]{3,20}", first.edition)


def test_replaced_arrays_are_removed_one_write_later(path: Path) -> None:
    def folders() -> list[str]:
        return sorted(p.name for p in (path / "cells" / "label").iterdir() if "domain" in p.name)

    for _ in range(3):
        write_result(path, a_result())
    assert folders() == ["domain@4", "domain@5"]


def test_means_of_a_new_embedding_are_those_of_its_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyramid, "DENSE_TILE", 100)
    path = write_atlas(tmp_path / "a", "t", [tiny_section(name) for name in SIZES])
    rng = np.random.default_rng(0)
    cells = rng.integers(-127, 128, (sum(SIZES.values()), 5)).astype(np.int8)
    atlas = write_result(
        path, TaskResult(), embeddings={"cell": (cells, np.ones(5, np.float32))}, checkpoint="c"
    )
    for level in atlas.pyramid_levels():
        bins = atlas.pyramid(level)
        assert bins is not None
        assert bins.embedding is not None
        edges = [*np.asarray(bins.first[:]).tolist(), atlas.n_cells]
        expected = [np.rint(cells[a:b].mean(0)) for a, b in zip(edges, edges[1:], strict=False)]
        np.testing.assert_array_equal(bins.embedding[:], expected)


def test_a_layout_orders_all_cells_along_its_own_curve(path: Path) -> None:
    places = np.random.default_rng(1).normal(size=(sum(SIZES.values()), 2)).astype(np.float32)
    layout = write_result(path, TaskResult(), layouts={"umap": places}).layout("umap")
    assert layout is not None
    order, codes = (np.asarray(part[:]) for part in layout)
    assert sorted(order.tolist()) == list(range(len(places)))
    assert (np.diff(codes.astype(np.int64)) >= 0).all()
    assert Atlas.open(path).layout("tsne") is None


def test_a_result_that_will_not_fit_on_disk_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state_of(path)
    monkeypatch.setattr(room, "free_disk", lambda _: 10)
    with pytest.raises(TooLarge, match="of disk"):
        write_result(path, a_result())
    assert state_of(path) == before


def test_results_of_the_wrong_shape_are_refused(path: Path) -> None:
    before = state_of(path)
    with pytest.raises(BadRequest, match="the section has 160 cells"):
        write_result(path, a_result(7))
    column = Column("beta", LayerKey("imputed", "Gad1"), np.zeros(160))
    with pytest.raises(BadRequest, match="cannot be stored"):
        write_result(path, TaskResult(columns=(column,)))
    embeddings = {"cell": (np.zeros((3, 2), np.int8), np.ones(2, np.float32))}
    with pytest.raises(BadRequest, match="has shape"):
        write_result(path, TaskResult(), embeddings=embeddings)
    with pytest.raises(BadRequest, match="12 genes"):
        write_result(path, TaskResult(), genes=(np.zeros((3, 2)), np.zeros(3), np.zeros((3, 3))))
    with pytest.raises(BadRequest, match="atlas of their own"):
        write_result(path, TaskResult(sections=(tiny_section("beta"),)))
    assert state_of(path) == before
