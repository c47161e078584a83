"""Questions about the whole atlas against brute force over its cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.analysis.sums import add_cells
from backend.core.errors import BadRequest, UnknownGene, UnknownLayer
from backend.core.layers import LayerKey
from backend.service import class_tables
from backend.service.answers import Answers
from backend.service.class_tables import make_tables
from backend.store.atlas import Atlas
from tests.tiny import REGIONS, SIZES, tiny_atlas

REGION, TYPE = LayerKey("label", "region"), LayerKey("label", "type")


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return Atlas.open(tiny_atlas(tmp_path_factory.mktemp("answers") / "tiny.zarr"))


@pytest.fixture(scope="module")
def answers(atlas: Atlas) -> Answers:
    return Answers(atlas, None)


def rows_of(atlas: Atlas, names: tuple[str, ...]) -> np.ndarray:
    return np.concatenate([np.arange(atlas.n_cells)[atlas.section(n).rows] for n in names])


def logged(atlas: Atlas, gene: str) -> np.ndarray:
    """log1p of a gene in every cell of the atlas, nan where it was not measured."""
    out = np.full(atlas.n_cells, np.nan)
    for info in atlas.sections():
        data = atlas.load(info.id)
        if gene in data.genes:
            out[info.rows] = np.log1p(
                data.counts[:, data.genes.index(gene)].toarray().ravel().astype(np.float64)
            )
    return out


def linear(atlas: Atlas, gene: int) -> np.ndarray:
    """What the model predicts of a gene in every cell, without the floor at zero."""
    embedding, table = atlas.embedding("cell"), atlas.genes
    assert embedding is not None
    assert table.embedding is not None
    assert table.offset is not None
    cells = np.asarray(embedding.values[:], np.float64) * embedding.scale
    return table.offset[gene] + cells @ table.embedding[gene]


@pytest.mark.parametrize("label", [REGION, TYPE])
@pytest.mark.parametrize("gene", ["Slc17a7", "Aqp4"])
def test_measured_means_per_class_equal_brute_force(
    atlas: Atlas, answers: Answers, gene: str, label: LayerKey
) -> None:
    values, codes = logged(atlas, gene), np.asarray(atlas.label(label.name).codes[:])
    found = answers.gene_means(gene.lower(), "measured", str(label))
    assert found["kind"] == "measured"
    assert found["unit"] == "log1p counts, measured"
    assert len(found["entries"]) == len(atlas.label(label.name).categories)
    for entry in found["entries"]:
        own = values[(codes == entry["code"]) & np.isfinite(values)]
        assert entry["n"] == len(own)
        assert entry["mean"] == pytest.approx(own.mean(), rel=1e-9)
    assert found["n"] == int(np.isfinite(values).sum())
    assert found["mean"] == pytest.approx(np.nanmean(values), rel=1e-9)


@pytest.mark.parametrize("label", [REGION, TYPE])
def test_imputed_means_per_class_equal_brute_force(
    atlas: Atlas, answers: Answers, label: LayerKey
) -> None:
    embedded = rows_of(atlas, ("alpha", "beta"))
    codes = np.asarray(atlas.label(label.name).codes[:])[embedded]
    values = linear(atlas, atlas.genes.index("Gad1"))[embedded]
    found = answers.gene_means("Gad1", "imputed", str(label))
    assert found["unit"] == "log1p of counts per median depth, imputed"
    for entry in found["entries"]:
        own = values[codes == entry["code"]]
        assert entry["n"] == len(own)
        assert entry["mean"] == pytest.approx(max(0.0, own.mean()), rel=1e-6)
    means = [entry["mean"] for entry in found["entries"]]
    assert means == sorted(means, reverse=True)


@pytest.mark.parametrize("kind", ["measured", "imputed"])
def test_means_per_section_equal_brute_force(atlas: Atlas, answers: Answers, kind: str) -> None:
    gene = "Mbp"
    values = logged(atlas, gene) if kind == "measured" else linear(atlas, atlas.genes.index(gene))
    found = answers.gene_means(gene, kind, "section")
    assert {entry["id"] for entry in found["entries"]} == {"alpha", "beta"}
    for entry in found["entries"]:
        own = values[atlas.section(entry["id"]).rows]
        assert entry["n"] == len(own)
        assert entry["mean"] == pytest.approx(max(0.0, own.mean()), rel=1e-6)
        assert kind in entry["unit"]
    why = "not measured" if kind == "measured" else "not embedded"
    assert found["left_out"] == [{"why": why, "n_sections": 1}]


def test_a_gene_is_taken_as_measured_where_it_was_and_says_so(answers: Answers) -> None:
    assert answers.gene_means("Gad1")["kind"] == "measured"
    assert answers.gene_means("Gad1")["trust"] is None
    imputed = answers.gene_means("Gad1", "imputed")
    assert imputed["trust"]["grade"] == "strong"
    assert imputed["title"] == "Gad1, imputed"


def test_sections_of_another_unit_are_not_pooled(tmp_path: Path) -> None:
    from backend.store.write import write_atlas
    from tests.tiny import tiny_section

    sections = [tiny_section("alpha"), tiny_section("beta", unit="volume-normalised")]
    write_atlas(tmp_path / "two.zarr", "two", sections, simulated=True)
    answers = Answers(Atlas.open(tmp_path / "two.zarr"), None)
    found = answers.gene_means("Mbp", "", "label:region")
    assert (found["n"], found["n_sections"]) == (SIZES["alpha"], 1)
    why = "measured in another unit (volume-normalised)"
    assert found["left_out"] == [{"why": why, "n_sections": 1}]
    entries = answers.gene_means("Mbp")["entries"]
    assert [(e["id"], e["comparable"]) for e in entries] == [("alpha", True), ("beta", False)]


def test_top_genes_are_those_farthest_above_the_atlas(atlas: Atlas, answers: Answers) -> None:
    embedded = rows_of(atlas, ("alpha", "beta"))
    own = np.asarray(atlas.label("type").codes[:])[embedded] == 1
    above = {}
    for gene, symbol in enumerate(atlas.genes.symbol):
        values = linear(atlas, gene)[embedded]
        above[symbol] = max(0.0, values[own].mean()) - max(0.0, values.mean())
    found = answers.top_genes(TYPE, 1, 5)
    assert (found["name"], found["n"]) == (atlas.label("type").categories[1].name, int(own.sum()))
    best = sorted((d for d in above.values() if d > 0), reverse=True)[:5]
    assert [g["difference"] for g in found["genes"]] == pytest.approx(best, rel=1e-5)
    for entry in found["genes"]:
        assert entry["difference"] == pytest.approx(above[entry["gene"]], rel=1e-5)
        assert entry["mean"] - entry["atlas_mean"] == pytest.approx(entry["difference"])
    assert found["kind"] == "imputed"


def test_compositions_count_every_cell_once(atlas: Atlas, answers: Answers) -> None:
    found = answers.compositions(TYPE)
    codes = np.asarray(atlas.label("type").codes[:])
    for section in found["sections"]:
        own = codes[atlas.section(section["id"]).rows]
        assert dict(zip(section["codes"], section["counts"], strict=True)) == {
            int(c): int((own == c).sum()) for c in np.unique(own[own >= 0])
        }
        assert section["missing"] == int((own < 0).sum())
        assert sum(section["counts"]) + section["missing"] == section["n"]
    assert [c["count"] for c in found["classes"]] == [int((codes == i).sum()) for i in range(4)]


def test_a_section_without_a_label_has_only_missing_cells(answers: Answers) -> None:
    sections = {s["id"]: s for s in answers.compositions(REGION)["sections"]}
    assert sections["gamma"]["counts"] == []
    assert sections["gamma"]["missing"] == SIZES["gamma"]


@pytest.mark.parametrize(
    ("ask", "error", "text"),
    [
        (lambda a: a.gene_means("Slc17a8"), UnknownGene, "Slc17a7"),
        (lambda a: a.gene_means("Gad1", "guessed"), BadRequest, "measured or imputed"),
        (lambda a: a.gene_means("Gad1", "", "label:regoin"), UnknownLayer, "label:region"),
        (lambda a: a.top_genes(TYPE, 4), BadRequest, "0 to 3"),
        (lambda a: a.compositions(LayerKey("density", "cells")), UnknownLayer, "label:region"),
    ],
    ids=["gene", "kind", "label", "class", "layer"],
)
def test_what_cannot_be_asked_is_refused(
    answers: Answers, ask: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        ask(answers)


def test_without_an_embedding_only_measured_genes_have_means(tmp_path: Path) -> None:
    atlas = Atlas.open(tiny_atlas(tmp_path / "tiny.zarr", with_embedding=False))
    answers = Answers(atlas, tmp_path / "cache")
    assert answers.gene_means("Gad1", "", "label:type")["kind"] == "measured"
    assert sum(answers.compositions(REGION)["classes"][i]["count"] for i in range(3)) == 400
    with pytest.raises(UnknownLayer, match="cannot be imputed"):
        answers.gene_means("Gad1", "imputed")
    with pytest.raises(UnknownLayer, match="embed"):
        answers.top_genes(REGION, 0)


def test_tables_are_kept_on_disk_per_edition_and_read_back(
    atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Answers(atlas, tmp_path).gene_means("Gad1", "imputed", "label:region")
    assert [p.name for p in tmp_path.iterdir()] == [atlas.edition]

    def fail(*_: object) -> None:
        raise AssertionError("the atlas was read again")

    monkeypatch.setattr(class_tables, "make_tables", fail)
    again = Answers(atlas, tmp_path)
    assert again.gene_means("Gad1", "imputed", "label:region") == first
    assert isinstance(again.sums.table("type").total, np.memmap)


def test_damaged_tables_are_made_again(atlas: Atlas, tmp_path: Path) -> None:
    first = Answers(atlas, tmp_path).compositions(TYPE)
    (tmp_path / atlas.edition / "0" / "count.npy").write_bytes(b"\x93NUMPY")
    (tmp_path / atlas.edition / "1" / "code.npy").unlink()
    assert Answers(atlas, tmp_path).compositions(TYPE) == first


def test_old_editions_are_dropped(atlas: Atlas, tmp_path: Path) -> None:
    for i in range(6):
        (tmp_path / f"old{i}").mkdir()
    Answers(atlas, tmp_path).compositions(TYPE)
    left = {p.name for p in tmp_path.iterdir()}
    assert atlas.edition in left
    assert len(left) == class_tables.MOST_EDITIONS


def test_tables_do_not_depend_on_how_the_rows_are_cut(
    atlas: Atlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_tables(atlas)["region"]
    monkeypatch.setattr(class_tables, "BLOCK", 7)
    cut = make_tables(atlas)["region"]
    assert len(whole.code) == len(REGIONS) * 2 + 1
    for name in ("section", "code", "count", "total"):
        assert np.array_equal(getattr(whole, name), getattr(cut, name))


def test_sums_refuse_shapes_that_do_not_fit() -> None:
    count, total = np.zeros(3, np.int64), np.zeros((3, 2), np.int64)
    with pytest.raises(ValueError, match="shapes"):
        add_cells(np.zeros(4, np.int16), np.zeros((3, 2), np.int8), count, total)


def test_a_code_outside_the_classes_counts_as_missing() -> None:
    count, total = np.zeros(3, np.int64), np.zeros((3, 1), np.int64)
    codes, cells = np.array([-1, 0, 1, 2, -7], np.int16), np.full((5, 1), -128, np.int8)
    add_cells(codes, cells, count, total)
    assert count.tolist() == [3, 1, 1]
    assert total.ravel().tolist() == [-384, -128, -128]
