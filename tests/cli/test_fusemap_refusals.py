"""What train and annotate refuse: one clear error each, exit status 2, nothing written."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.cli.main import main
from backend.models.fusemap.train import TrainParams
from backend.runs import train as run
from backend.runs.train import train_fusemap
from tests.tiny import GENES, tiny_atlas

PLAIN = TrainParams(k=2, scale="log1p", refine=False, iterations=3, trust=False, label_cells=300)
Edit = Callable[[anndata.AnnData], None]


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refused")
    made = tiny_atlas(folder / "tiny.zarr")
    train_fusemap(made, folder / "tiny.ckpt", PLAIN)
    return made


def query(path: Path, edit: Edit | None = None, genes: tuple[str, ...] = GENES) -> Path:
    rng = np.random.default_rng(0)
    data = anndata.AnnData(csr_matrix(rng.poisson(2.0, (60, len(genes))).astype(np.float32)))
    data.obs_names, data.var_names = [f"c{i}" for i in range(60)], list(genes)
    data.obsm["spatial"] = rng.uniform(0, 500, (60, 2))
    if edit is not None:
        edit(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.write_h5ad(path)
    return path


def human(data: anndata.AnnData) -> None:
    data.uns["organism"] = "human"


def scaled(data: anndata.AnnData) -> None:
    data.X = csr_matrix(data.X.toarray() - 1.5)


def changed_card(atlas: Path, to: Path, **fields: object) -> Path:
    """Return a copy of the checkpoint whose card says something else."""
    made = atlas.with_suffix(".ckpt")
    to.mkdir()
    (to / "weights.safetensors").write_bytes((made / "weights.safetensors").read_bytes())
    card = json.loads((made / "card.json").read_text())
    (to / "card.json").write_text(json.dumps({**card, **fields}))
    return to


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(a) for a in arguments]) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (human, "is of species human; the checkpoint was trained on mouse"),
        (scaled, "values are below zero"),
    ],
    ids=["another species", "no counts"],
)
def test_a_query_that_cannot_be_read_with_the_checkpoint_is_refused(
    atlas: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], edit: Edit, words: str
) -> None:
    out = tmp_path / "out.h5ad"
    assert words in refused(capsys, "annotate", atlas, query(tmp_path / "q.h5ad", edit), "-o", out)
    assert not out.exists()


def test_too_few_shared_genes_are_counted_with_the_threshold(
    atlas: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    genes = (*GENES[:4], *(f"Novel{i}" for i in range(20)))
    file = query(tmp_path / "q.h5ad", genes=genes)
    said = refused(capsys, "annotate", atlas, file, "-o", tmp_path / "out.h5ad")
    assert "Only 4 of the 24 genes" in said
    assert "10 are needed" in said


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"version": "2.0"}, "is of fusemap 2.0; this program reads 1."),
        ({"head_format": 1}, "classifiers have format 1"),
        ({"genes": ["Gad1", "Sst"]}, "damaged"),
        ({"model": "inspire"}, "of model 'inspire', not 'fusemap'"),
    ],
    ids=["version", "classifiers", "gene list", "model"],
)
def test_a_checkpoint_of_another_kind_is_refused(
    atlas: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    fields: dict[str, object],
    words: str,
) -> None:
    checkpoint = changed_card(atlas, tmp_path / "other.ckpt", **fields)
    out = tmp_path / "out.h5ad"
    file = query(tmp_path / "q.h5ad")
    said = refused(capsys, "annotate", atlas, file, "-o", out, "--checkpoint", checkpoint)
    assert words in said
    assert not out.exists()


def test_a_checkpoint_of_another_atlas_is_refused(
    atlas: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sections = json.loads((atlas.with_suffix(".ckpt") / "card.json").read_text())["sections"]
    other = [{**s, "id": f"other-{s['id']}"} for s in sections]
    checkpoint = changed_card(atlas, tmp_path / "other.ckpt", sections=other)
    file, out = query(tmp_path / "q.h5ad"), tmp_path / "out.h5ad"
    said = refused(capsys, "annotate", atlas, file, "-o", out, "--checkpoint", checkpoint)
    assert "trained on another atlas" in said


def test_memory_that_runs_out_advises_a_smaller_batch(
    atlas: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(run, "train", full)
    said = refused(capsys, "train", "fusemap", atlas, "-o", tmp_path / "new.ckpt")
    assert "--cells-per-section 20000" in said
    assert not (tmp_path / "new.ckpt").exists()


def test_a_taxonomy_is_named_per_label(
    atlas: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = query(tmp_path / "q.h5ad"), tmp_path / "out.h5ad"
    asked = ["annotate", atlas, file, "-o", out, "--taxonomy"]
    assert "is not LABEL=NAME" in refused(capsys, *asked, "type")
    assert "no taxonomy 'strange' of label 'type'" in refused(capsys, *asked, "type=strange")
    assert not out.exists()


def test_a_device_that_is_not_there_is_refused(
    atlas: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for mode in ("default", "parity"):
        out = tmp_path / mode
        asked = ["train", "fusemap", str(atlas), "-o", str(out), "--device", "tpu"]
        assert main([*asked, "--mode", mode]) == 2
        assert "There is no device 'tpu'" in capsys.readouterr().err
        assert not out.exists()
