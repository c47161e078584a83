import json

import anndata
import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.sparse import csr_matrix

from backend.core.errors import BadCheckpoint, BadFile, NoSharedGenes, StoreExists
from backend.core.job import RunContext
from backend.models.spatialformer.transformer.train import TrainParams
from backend.runs.former_corpus import half_rows, read_corpus
from backend.runs.former_embed import embed_file
from backend.runs.former_train import train_former
from backend.runs.transcripts import points_inside, read_transcripts

GENES = [f"G{i}" for i in range(12)]
PARAMS = TrainParams(steps=2, windows=1, cells=10, second=4, every=1, half=False)


@pytest.fixture
def folder(tmp_path):
    """A file of cells, a table of transcripts, and the list of both."""
    random = np.random.default_rng(0)
    counts = csr_matrix(random.poisson(1.5, (80, 12)).astype(np.float32))
    data = anndata.AnnData(counts, var=pd.DataFrame(index=GENES))
    data.obs_names = [f"c{i}" for i in range(80)]
    data.obsm["spatial"] = random.uniform(0, 300, (80, 2))
    data.write_h5ad(tmp_path / "cells.h5ad")
    centre = np.repeat(random.uniform(0, 30, (60, 2)), 30, axis=0)
    table = pd.DataFrame(centre + random.normal(0, 1, centre.shape), columns=["x_px", "y_px"])
    table["gene"] = random.choice([*GENES, "Blank-1", "NegPrb3"], len(table))
    table["cell"] = np.repeat(np.arange(60), 30)
    table.to_parquet(tmp_path / "spots.parquet")
    sources = [
        {"name": "one", "file": "cells.h5ad", "meta": {"species": "mouse"}, "licence": "MIT"},
        {"name": "two", "file": "spots.parquet", "outside": 0, "scale": 10.0,
         "columns": {"x": "x_px", "y": "y_px", "cell": "cell"}, "meta": {"species": "mouse"}},
    ]  # fmt: skip
    (tmp_path / "corpus.yaml").write_text(yaml.safe_dump({"sources": sources}))
    return tmp_path


def test_a_corpus_of_cells_and_transcripts_is_read_and_says_that_depth_is_missing(folder):
    found = read_corpus(folder / "corpus.yaml", folder, folder / "kept", RunContext())
    cells, spots = found.sources
    assert (cells.counts.shape, len(cells.together)) == ((80, 12), 0)
    assert spots.counts.shape == (59, 12)
    assert set(spots.genes) == set(GENES)
    assert found.notes == (
        "two: The transcripts have no depth: co-occurrence is in 2 dimensions (circles).",
    )
    assert len(list((folder / "kept").iterdir())) == 1
    again = read_corpus(folder / "corpus.yaml", folder, folder / "kept", RunContext())
    assert (again.sources[1].together == spots.together).all()


def test_all_faults_of_a_corpus_are_told_at_once(folder):
    text = yaml.safe_dump({"sources": [{"name": "a", "file": "no.h5ad"}, {"file": "cells.h5ad"}]})
    (folder / "bad.yaml").write_text(text)
    with pytest.raises(BadFile) as caught:
        read_corpus(folder / "bad.yaml", folder, None, RunContext())
    assert "'no.h5ad' is not there" in str(caught.value)
    assert "'name' is missing" in str(caught.value)
    (folder / "bad.yaml").write_text("- 1")
    with pytest.raises(BadFile, match="no list of sources"):
        read_corpus(folder / "bad.yaml", folder, None, RunContext())


def test_a_table_without_a_named_column_is_refused(folder):
    entry = {"columns": {"x": "x_um", "y": "y_px"}}
    with pytest.raises(BadFile, match="'x_um' is missing"):
        read_transcripts(folder / "spots.parquet", folder, entry)


def test_points_inside_a_polygon_with_a_notch():
    ring = np.array([[0.0, 0], [4, 0], [4, 4], [2, 1], [0, 4]])
    points = np.array([[1.0, 1], [2, 3], [3.5, 2], [9, 9]])
    assert points_inside(points, ring).tolist() == [True, False, True, False]


def test_halves_keep_off_the_cut():
    xy = np.stack([np.arange(0, 1001, 100.0), np.zeros(11)], axis=1)
    assert half_rows(xy, "low").tolist() == [0, 1, 2, 3, 4]
    assert half_rows(xy, "high").tolist() == [6, 7, 8, 9, 10]


def test_a_training_stops_and_goes_on_to_a_checkpoint_that_embeds_cells(folder):
    out = folder / "former"

    def stop(fraction, message):
        if "Step 1" in message:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_former(folder / "corpus.yaml", folder, out, PARAMS, RunContext(report=stop))
    assert json.loads((out / "card.json").read_text())["metrics"]["steps"] == 1
    with pytest.raises(StoreExists):
        train_former(folder / "corpus.yaml", folder, out, PARAMS, RunContext())
    card = train_former(folder / "corpus.yaml", folder, out, PARAMS, RunContext(), resume=True)
    assert card["metrics"]["steps"] == 2
    assert card["licences"] == ["MIT", "not stated"]
    assert not (folder / "former.training").exists()
    with pytest.raises(BadCheckpoint, match="no unfinished training"):
        train_former(folder / "corpus.yaml", folder, out, PARAMS, RunContext(), resume=True)
    figures = embed_file(folder / "cells.h5ad", out, folder / "e.h5ad", {}, RunContext())
    assert (figures["cells"], figures["dimensions"]) == (80, 128)
    kept = anndata.read_h5ad(folder / "e.h5ad")
    assert kept.obsm["X_spatialformer"].shape == (80, 128)
    assert np.ptp(kept.obsm["X_spatialformer"], axis=0).min() > 0


def test_cells_without_a_known_gene_are_refused(folder):
    train_former(folder / "corpus.yaml", folder, folder / "m", PARAMS, RunContext())
    data = anndata.read_h5ad(folder / "cells.h5ad")
    data.var_names = [f"X{i}" for i in range(12)]
    data.write_h5ad(folder / "other.h5ad")
    with pytest.raises(NoSharedGenes, match="None of the 12 genes"):
        embed_file(folder / "other.h5ad", folder / "m", folder / "e.h5ad", {}, RunContext())
