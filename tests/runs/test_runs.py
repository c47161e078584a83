"""Train, embed, annotate and impute from files to files."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path

import anndata
import numpy as np
import pytest

from backend.cli.main import main
from backend.core.errors import (
    BadRequest,
    Cancelled,
    StoreExists,
    UnknownGene,
    UnknownSection,
)
from backend.core.job import RunContext
from backend.core.layers import LayerKey
from backend.core.settings import Settings
from backend.models.common.checkpoint import load_checkpoint
from backend.models.fusemap.tasks import AnnotateParams, embed
from backend.runs import embed as embedding
from backend.runs.annotate import annotate_file
from backend.runs.embed import embed_atlas
from backend.runs.impute import impute_section
from backend.runs.train import train_fusemap
from backend.service import Backend
from backend.service.layers import annotation_test
from backend.store.atlas import Atlas
from tests.runs.conftest import Trained


def test_embedded_atlas_holds_z_to_within_half_a_step(trained: Trained) -> None:
    atlas = Atlas.open(trained.atlas)
    stored = atlas.embedding("cell")
    assert stored is not None
    rows = atlas.section("s0").rows
    z = embed(atlas.load("s0"), load_checkpoint(trained.checkpoint)).z
    clipped = np.clip(z, -127 * stored.scale, 127 * stored.scale)
    assert np.abs(np.asarray(stored.values[rows]) * stored.scale - clipped).max() <= (
        0.5001 * stored.scale.max()
    )


def test_section_with_labels_only_is_not_embedded(trained: Trained) -> None:
    atlas = Atlas.open(trained.atlas)
    stored = atlas.embedding("cell")
    assert stored is not None
    assert not np.asarray(stored.values[atlas.section("bare").rows]).any()
    assert np.asarray(stored.values[atlas.section("s0").rows]).any()
    assert embed_atlas(trained.atlas, trained.checkpoint)["passed_over"] == ["bare"]


def test_few_shared_genes_are_said_by_train_info_section_and_imputed_gene(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "d0 shares only 40 genes with other data sets"
    made = str(tmp_path / "quick.ckpt")
    assert main(["train", "fusemap", str(trained.atlas), "-o", made, "--quick"]) == 0
    assert said in capsys.readouterr().out
    assert main(["info", str(trained.atlas)]) == 0
    assert said in capsys.readouterr().out
    backend = Backend(Settings(data=tmp_path / "data"), trained.atlas)
    gene = LayerKey("imputed", backend.planes.main.atlas.genes.symbol[0])
    assert said in backend.section_entry("s0")["few_bridges"]
    assert backend.bridges_note("s0", gene).startswith(said)
    assert "d1 shares" in backend.bridges_note("atlas", gene)
    assert backend.bridges_note("s0", LayerKey("label", "type")) == ""


def test_an_embedding_that_was_killed_goes_on_to_the_same_values(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    atlas = Path(shutil.copytree(trained.atlas, tmp_path / "a.zarr"))
    whole = Atlas.open(atlas).embedding("niche")
    assert whole is not None
    expected, calls = np.asarray(whole.values[:]), []

    def stop(*args: object) -> object:
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return embed(*args)

    monkeypatch.setattr(embedding, "embed", stop)
    with pytest.raises(KeyboardInterrupt):
        embedding.embed_atlas(atlas, trained.checkpoint)
    assert (tmp_path / "a.zarr.embedding").is_dir()
    monkeypatch.setattr(embedding, "embed", lambda *a: (calls.append(a), embed(*a))[1])
    found = embedding.embed_atlas(atlas, trained.checkpoint)
    assert len(calls) == 2 + len(found["embedded"]) - 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]
    again = Atlas.open(atlas).embedding("niche")
    assert again is not None
    np.testing.assert_array_equal(again.values[:], expected)


def test_steps_of_parts_are_those_of_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    z = np.random.default_rng(0).normal(size=(103, 3)).astype(np.float32)
    monkeypatch.setattr(embedding, "_SAMPLE", 20)
    whole = embedding.scale_of([z])
    np.testing.assert_array_equal(embedding.scale_of([z[:7], z[7:8], z[8:60], z[60:]]), whole)
    np.testing.assert_allclose(whole, np.quantile(np.abs(z[::5]), 0.9995, axis=0) / 127, rtol=1e-6)


def test_gene_table_predicts_on_the_log_scale(trained: Trained) -> None:
    atlas = Atlas.open(trained.atlas)
    genes, measured = atlas.genes, atlas.load("s0")
    g = genes.index("Gene0")
    counts = measured.counts.toarray()
    total = counts.sum(axis=1, keepdims=True)
    scaled = np.log1p(counts * np.median(total) / np.maximum(total, 1))
    z = embed(measured, load_checkpoint(trained.checkpoint)).z
    predicted = np.maximum(0, genes.offset[g] + z @ genes.embedding[g])
    truth = scaled[:, measured.genes.index("Gene0")]
    assert abs(predicted.mean() - truth.mean()) < 0.4
    assert np.corrcoef(predicted, truth)[0, 1] > 0.2


def test_annotation_leaves_the_query_alone_and_writes_all_three(
    trained: Trained, tmp_path: Path
) -> None:
    before = hashlib.sha256(trained.query.read_bytes()).hexdigest()
    out = tmp_path / "out.h5ad", tmp_path / "out.csv", tmp_path / "q.zarr"
    said = annotate_file(
        trained.atlas, trained.query, trained.checkpoint, *out, section_id="query-7"
    )
    assert hashlib.sha256(trained.query.read_bytes()).hexdigest() == before
    assert said["sections"] == ["query-7"]
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    assert {p.name for p in tmp_path.iterdir()} == {"out.h5ad", "out.csv", "q.zarr"}

    copy, truth = anndata.read_h5ad(out[0]), trained.simulation.types[2]
    guess = copy.obs["type_fusemap"].astype(str).to_numpy()
    kept = guess != "unassigned"
    right = guess[kept] == np.array([f"type {t}" for t in truth])[kept]
    assert kept.mean() > 0.3
    assert right.mean() > 0.8
    assert copy.obsm["X_fusemap"].shape == (400, 6)
    assert copy.obs["region_fusemap_confidence"].between(0, 1).all()
    assert json.loads(copy.uns["fusemap"])["provenance"]["model"] == "fusemap"
    made = Atlas.open(out[2])
    units = {str(key): made.number(key).unit for key in made.numbers()}
    assert units["confidence:type"] == "calibrated probability"
    assert units["score:novelty"].endswith("deviations above known cells")


def test_table_is_safe_and_has_mapmycells_columns(trained: Trained, tmp_path: Path) -> None:
    annotate_file(trained.atlas, trained.query, trained.checkpoint, out_csv=tmp_path / "out.csv")
    lines = (tmp_path / "out.csv").read_text().splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert lines[0].startswith("# algorithm = fusemap")
    assert rows[0]["cell_id"] == "'=s2-0"
    assert {"type_label", "type_name", "type_probability", "type_abstained"} <= set(rows[0])
    assert len(rows) == 400


def test_json_file_has_the_parts_of_mapmycells(trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    annotate_file(trained.atlas, trained.query, trained.checkpoint, out_json=out)
    made = json.loads(out.read_text())
    assert {"results", "config", "log", "marker_genes", "taxonomy_tree"} <= set(made)
    assert len(made["results"]) == 400
    level = made["results"][0]["type"]
    assert {"assignment", "probability", "aggregate_probability", "abstained"} <= set(level)
    assert len(level["runner_up_assignment"]) == len(level["runner_up_probability"]) == 2
    assert level["best_guess"] not in level["runner_up_assignment"]
    assert "Gene0" in made["marker_genes"]["None"]
    assert "Novel1" not in made["marker_genes"]["None"]
    assert "no bootstrap" in made["config"]["probability"]
    assert any("held-out" in line for line in made["log"])


def test_neighbours_label_where_they_are_asked_for_and_every_output_says_so(
    trained: Trained, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv", tmp_path / "q.zarr"
    asked = AnnotateParams(prefer="knn")
    annotate_file(trained.atlas, trained.query, trained.checkpoint, None, *out, params=asked)
    head = [line for line in out[0].read_text().splitlines() if line.startswith("#")]
    assert sum("by kNN in shared genes (asked for" in line for line in head) == 2
    query = Atlas.open(out[1])
    test = annotation_test(query, query.sections()[0].id, "type")
    assert test is not None
    assert test["method"] == "kNN in shared genes"
    assert test["accuracy"] == test["compared"]["kNN in shared genes"]["accuracy"]
    assert test["baselines"]["FuseMap"] == test["compared"]["FuseMap"]


def test_cells_without_coordinates_get_types_but_no_regions(
    trained: Trained, tmp_path: Path
) -> None:
    query = anndata.read_h5ad(trained.query)
    del query.obsm["spatial"]
    query.write_h5ad(tmp_path / "bare.h5ad")
    out = tmp_path / "out.h5ad", tmp_path / "out.csv", tmp_path / "q.zarr"
    said = annotate_file(trained.atlas, tmp_path / "bare.h5ad", trained.checkpoint, *out)
    figures = next(iter(said["figures"].values()))
    assert figures["has_places"] is False
    assert "no coordinates" in figures["labels"]["region"]["skipped"]
    copy = anndata.read_h5ad(out[0])
    guess = copy.obs["type_fusemap"].astype(str).to_numpy()
    kept = guess != "unassigned"
    truth = np.array([f"type {t}" for t in trained.simulation.types[2]])
    assert (guess[kept] == truth[kept]).mean() > 0.8
    assert "region_fusemap" not in copy.obs
    info = Atlas.open(out[2]).sections()[0]
    assert any("no coordinates" in note for note in info.notes)


def test_query_atlas_shares_categories_space_and_genes(trained: Trained, tmp_path: Path) -> None:
    said = annotate_file(
        trained.atlas,
        trained.query,
        trained.checkpoint,
        out_atlas=tmp_path / "q.zarr",
        section_id="query-1",
    )
    atlas, query = Atlas.open(trained.atlas), Atlas.open(tmp_path / "q.zarr")
    assert query.label("type").categories == atlas.label("type").categories
    info = query.section("query-1")
    assert info.parent == said["figures"]["query-1"]["nearest"][0]["section"]
    assert LayerKey("confidence", "region") in query.layers("query-1")
    assert set(atlas.genes.symbol) <= set(query.genes.symbol)
    assert query.genes.embedding[query.genes.index("Novel1")].any()
    unmeasured = query.genes.index("Gene50")
    np.testing.assert_allclose(
        query.genes.embedding[unmeasured], atlas.genes.embedding[atlas.genes.index("Gene50")]
    )
    assert query.embedding("cell").checkpoint == "checkpoint"


def test_query_atlas_labels_sit_on_their_cells(trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "out.h5ad", None, tmp_path / "q.zarr"
    annotate_file(trained.atlas, trained.query, trained.checkpoint, *out)
    copy, query = anndata.read_h5ad(out[0]), Atlas.open(out[2])
    label = query.label("type")
    names = np.array([c.name for c in label.categories] + ["unassigned"])
    stored = dict(zip(query.names(slice(0, 400)), names[np.asarray(label.codes[:])], strict=True))
    assert stored == dict(zip(copy.obs_names, copy.obs["type_fusemap"].astype(str), strict=True))


def test_cancelled_annotation_writes_nothing(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        annotate_file(
            trained.atlas,
            trained.query,
            trained.checkpoint,
            tmp_path / "out.h5ad",
            ctx=RunContext(cancelled=lambda: True),
        )
    assert list(tmp_path.iterdir()) == []


def test_output_over_the_input_is_refused(trained: Trained) -> None:
    with pytest.raises(BadRequest, match="overwrite the input"):
        annotate_file(trained.atlas, trained.query, trained.checkpoint, trained.query)


def test_training_onto_an_existing_folder_is_refused(trained: Trained) -> None:
    with pytest.raises(StoreExists):
        train_fusemap(trained.atlas, trained.checkpoint)


def test_training_can_leave_a_section_out(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(UnknownSection):
        train_fusemap(trained.atlas, tmp_path / "c", leave_out=("s9",))


def test_imputed_genes_are_written_with_their_trust(trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "imputed.h5ad"
    impute_section(trained.atlas, "s0", ["gene130"], trained.checkpoint, out)
    made = anndata.read_h5ad(out)
    assert list(made.var_names) == ["Gene130"]
    assert made.shape == (400, 1)
    assert made.uns["imputed"]
    assert made.X.min() >= 0


def test_unknown_gene_is_refused_with_a_hint(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(UnknownGene, match="Did you mean"):
        impute_section(trained.atlas, "s0", ["Gen1"], trained.checkpoint, tmp_path / "x.h5ad")
