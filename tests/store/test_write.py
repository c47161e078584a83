"""Writing: streamed, resumable, whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.core.data import Label, SectionData, TaskResult
from backend.core.errors import BadRequest, BadStore, StoreExists, TooLarge
from backend.core.layers import Category
from backend.store import finish, pyramid, room
from backend.store.atlas import Atlas
from backend.store.write import AtlasWriter, plan_of, write_atlas, write_result
from tests.tiny import GENES, SIZES, tiny_section


def files_of(folder: Path) -> dict[str, bytes]:
    """All files but the root attributes, which hold the time of writing."""
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {name: data for name, data in found.items() if name != "zarr.json"}


def writer_of(path: Path, sections: list[SectionData]) -> AtlasWriter:
    symbols = sorted(GENES)
    return AtlasWriter(path, "t", True, (symbols, [""] * 12), [plan_of(s) for s in sections])


@pytest.fixture
def sections() -> list[SectionData]:
    return [tiny_section(name) for name in SIZES]


def test_the_order_of_sections_does_not_change_the_bytes(
    tmp_path: Path, sections: list[SectionData]
) -> None:
    for name, order in (("a", sections), ("b", sections[::-1])):
        writer = writer_of(tmp_path / name, sections)
        for data in order:
            writer.add(data)
        writer.finish()
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def test_a_killed_writer_leaves_no_atlas_and_goes_on(
    tmp_path: Path, sections: list[SectionData]
) -> None:
    path = tmp_path / "a.zarr"
    writer_of(path, sections).add(sections[0])
    assert not path.exists()
    with pytest.raises(BadStore):
        Atlas.open(path)
    again = writer_of(path, sections)
    assert set(again.pending) == {"beta", "gamma"}
    with pytest.raises(BadRequest, match="2 sections are not written"):
        again.finish()
    for data in sections[1:]:
        again.add(data)
    again.finish()
    write_atlas(tmp_path / "b.zarr", "t", sections, plan=[plan_of(s) for s in sections])
    assert files_of(path) == files_of(tmp_path / "b.zarr")
    assert not again.staging.exists()


@pytest.mark.parametrize("step", ["_join_names", "_write_pyramid", "section_to_json"])
def test_an_interrupted_finish_can_be_repeated(
    tmp_path: Path, sections: list[SectionData], step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = writer_of(tmp_path / "a", sections)
    for data in sections:
        writer.add(data)
    with monkeypatch.context() as patch:
        patch.setattr(finish, step, lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            writer.finish()
    assert not (tmp_path / "a").exists()
    writer_of(tmp_path / "a", sections).finish()
    write_atlas(tmp_path / "b", "t", sections, plan=[plan_of(s) for s in sections])
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def test_half_an_atlas_of_another_plan_is_not_thrown_away(
    tmp_path: Path, sections: list[SectionData]
) -> None:
    path = tmp_path / "a.zarr"
    writer_of(path, sections)
    writer_of(path, sections[:1]).add(sections[0])  # nothing was written by the one before
    with pytest.raises(StoreExists, match=r"1 of 1 sections.*Repeat the command"):
        writer_of(path, sections)
    plan = [plan_of(s) for s in sections]
    again = AtlasWriter(path, "t", True, (sorted(GENES), [""] * 12), plan, anew=True)
    assert len(again.pending) == 3


def test_half_an_atlas_says_how_to_go_on(tmp_path: Path, sections: list[SectionData]) -> None:
    writer_of(tmp_path / "a.zarr", sections).add(sections[0])
    for name in ("a.zarr", "a.zarr.partial"):
        with pytest.raises(BadStore, match=r"half built: 1 of 3 .*Repeat the command"):
            Atlas.open(tmp_path / name)


def test_sections_of_several_species_are_refused(
    tmp_path: Path, sections: list[SectionData]
) -> None:
    human = replace(sections[1], species="human")
    with pytest.raises(BadRequest, match="several species: human, mouse"):
        writer_of(tmp_path / "a", [sections[0], human])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("short", ["disk", "memory"])
def test_what_will_not_fit_is_refused_before_anything_is_written(
    tmp_path: Path, sections: list[SectionData], short: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, f"free_{short}", lambda *_: 1000)
    with pytest.raises(TooLarge, match=rf"takes about .*MB|GB of {short}.*0.0 MB are free"):
        writer_of(tmp_path / "a", sections)
    assert not list(tmp_path.iterdir())


def test_an_atlas_behind_a_url_cannot_be_written(sections: list[SectionData]) -> None:
    with pytest.raises(BadRequest, match="memory://a/b is not possible"):
        write_atlas("memory://a/b", "t", sections)


@pytest.mark.parametrize("dense", [100, 250_000], ids=["with overview", "without"])
def test_embeddings_given_with_sections_are_those_written_afterwards(
    tmp_path: Path, sections: list[SectionData], dense: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyramid, "DENSE_TILE", dense)
    rng = np.random.default_rng(3)
    given = {s.id: rng.integers(-127, 128, (s.n_cells, 5)).astype(np.int8) for s in sections[:2]}
    scale = np.linspace(0.1, 0.2, 5, dtype=np.float32)
    tables = (rng.normal(size=(12, 5)), rng.normal(size=12), np.full((12, 3), np.nan))
    genes, plan = (sorted(GENES), [""] * 12), [plan_of(s) for s in sections]
    writer = AtlasWriter(
        tmp_path / "a", "t", True, genes, plan, scale={"cell": scale, "niche": scale},
        gene_embedding=tables, checkpoint="c",
    )  # fmt: skip
    for data in sections:
        cell = given.get(data.id)
        writer.add(data, None if cell is None else (cell, -cell))
    one = Atlas.open(writer.finish())

    two = Atlas.open(write_atlas(tmp_path / "b", "t", sections, simulated=True, plan=plan))
    cells = np.zeros((two.n_cells, 5), np.int8)
    for data in sections[:2]:
        place = {str(name): i for i, name in enumerate(data.names)}
        rows = two.section(data.id).rows
        cells[rows] = given[data.id][[place[name] for name in two.names(rows)]]
    two = write_result(
        two.path, TaskResult(), embeddings={"cell": (cells, scale), "niche": (-cells, scale)},
        genes=tables, checkpoint="c", embedded=list(given),
    )  # fmt: skip
    assert one.version == 1
    for name in ("cell", "niche"):
        a, b = one.embedding(name), two.embedding(name)
        assert a is not None
        assert b is not None
        np.testing.assert_array_equal(a.values[:], b.values[:])
        np.testing.assert_array_equal(a.scale, b.scale)
        assert (a.sections, a.checkpoint) == (b.sections, b.checkpoint) == (set(given), "c")
    np.testing.assert_array_equal(one.genes.embedding, two.genes.embedding)
    np.testing.assert_array_equal(one.genes.trust, two.genes.trust)
    assert one.genes.symbol == two.genes.symbol
    assert one.pyramid_levels() == two.pyramid_levels()
    for level in one.pyramid_levels():
        np.testing.assert_array_equal(
            one.pyramid(level).embedding[:], two.pyramid(level).embedding[:]
        )


def test_an_embedding_of_another_dimension_is_refused(
    tmp_path: Path, sections: list[SectionData]
) -> None:
    plan = [plan_of(s) for s in sections]
    genes = (sorted(GENES), [""] * 12)
    writer = AtlasWriter(tmp_path / "a", "t", True, genes, plan, scale={"cell": np.ones(5)})
    for cell in (np.zeros((240, 4), np.int8), np.zeros((240, 5), np.float32)):
        with pytest.raises(BadRequest, match=r"'alpha' is .*this atlas has int8 \(240, 5\)"):
            writer.add(sections[0], (cell, None))
    with pytest.raises(BadRequest, match="niche embedding"):
        writer.add(sections[0], (np.zeros((240, 5), np.int8), np.zeros((240, 5), np.int8)))
    assert len(writer.pending) == 3


def test_no_trace_of_the_work_stays(tmp_path: Path, sections: list[SectionData]) -> None:
    path = write_atlas(tmp_path / "a", "t", sections)
    assert sorted(p.name for p in path.iterdir()) == ["cells", "expression", "genes", "zarr.json"]


def test_an_existing_folder_is_not_overwritten(tmp_path: Path, sections: list[SectionData]) -> None:
    with pytest.raises(StoreExists, match="exists"):
        writer_of(tmp_path, sections)


def test_what_was_not_planned_is_refused(tmp_path: Path, sections: list[SectionData]) -> None:
    writer = writer_of(tmp_path / "a", sections[:1])
    with pytest.raises(BadRequest, match="'beta' was not planned"):
        writer.add(sections[1])
    with pytest.raises(BadRequest, match="planned were 240"):
        writer.add(replace(sections[1], id="alpha"))
    with pytest.raises(BadRequest, match="1 genes that were not planned, such as Xist"):
        writer.add(replace(sections[0], genes=("Xist", *GENES[1:])))


def test_labels_of_sections_are_joined_by_name(tmp_path: Path) -> None:
    def section(name: str, categories: tuple[Category, ...]) -> SectionData:
        return SectionData(
            id=name,
            title=name,
            xy=np.array([[0, 0], [10, 10]], np.float32),
            counts=csr_matrix((2, 0), dtype=np.float32),
            genes=(),
            names=np.array(["c0", "c1"]),
            labels={"type": Label(np.array([1, -1], np.int16), categories)},
        )

    one = section("one", (Category("x", "#101010"), Category("b", "")))
    two = section("two", (Category("b", "#202020", "p"), Category("a", "#303030")))
    atlas = Atlas.open(write_atlas(tmp_path / "a", "t", [one, two]))
    label = atlas.label("type")
    assert [c.name for c in label.categories] == ["a", "b", "x"]
    assert label.categories[1] == Category("b", "#202020", "p")
    codes = {s.id: np.asarray(label.codes[s.rows]).tolist() for s in atlas.sections()}
    assert codes == {"one": [1, -1], "two": [0, -1]}


def test_an_atlas_of_many_cells_has_a_pyramid_that_sums_to_them(
    tmp_path: Path, sections: list[SectionData], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyramid, "DENSE_TILE", 100)
    atlas = Atlas.open(write_atlas(tmp_path / "a", "t", sections))
    assert atlas.pyramid_levels()[:3] == (8, 9, 10)
    for level in atlas.pyramid_levels():
        bins = atlas.pyramid(level)
        assert bins is not None
        assert int(np.asarray(bins.count[:]).sum()) == atlas.n_cells
        top, count = bins.top["type"]
        known = int((np.asarray(atlas.label("type").codes[:]) >= 0).sum())
        assert np.asarray(count[:]).sum() <= known
        assert top.shape == (len(bins.code), 3)
    assert atlas.pyramid(7) is None
