"""From multi-omics files to a file with domains and weights, by function and by command."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from backend.cli.main import main
from backend.core.data import Modality
from backend.core.errors import BadRequest
from backend.core.job import RunContext
from backend.demo.multiomics import simulate, two_modalities
from backend.models.spatialglue.tasks import IntegrateParams
from backend.runs.weights import weigh_files


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("weights")
    made = simulate(two_modalities(2), seed=41)
    truth = pd.Categorical([f"shape {k}" for k in made.truth])
    return [_write(folder, m, made.section.xy, truth) for m in made.section.modalities]


def _write(folder: Path, m: Modality, xy: np.ndarray, truth: pd.Categorical) -> Path:
    data = anndata.AnnData(m.values, obsm={"spatial": xy})
    data.obs_names = [f"spot{i}" for i in range(len(xy))]
    data.var_names = list(m.features)
    data.obs["=odd"] = truth
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.write_h5ad(folder / f"{m.name}.h5ad")
    return folder / f"{m.name}.h5ad"


def test_a_run_writes_one_file_that_can_be_read_again(files: list[Path], tmp_path: Path) -> None:
    before = [path.read_bytes() for path in files]
    params = IntegrateParams(clusters=5, seeds=1, starts=1)
    _, result = weigh_files(files, params, tmp_path / "out.h5ad", save_model=tmp_path / "model")
    assert [path.read_bytes() for path in files] == before
    out = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert out.shape == (1296, 1100)
    assert out.var["feature_type"].value_counts().to_dict() == {"rna": 1000, "protein": 100}
    both = out.obs["weight:rna"] + out.obs["weight:protein"]
    np.testing.assert_allclose(both, 1, rtol=1e-5)
    assert out.obs["domain"].cat.categories.tolist() == [f"domain {k}" for k in range(1, 6)]
    assert out.obsm["X_spatialglue"].shape[0] == 1296
    about = json.loads(out.uns["spatialglue"])
    assert about["provenance"]["parameters"]["clusters"] == 5
    assert about["figures"]["baselines"].keys() == result.figures["baselines"].keys()
    again, placed = weigh_files(
        [tmp_path / "out.h5ad"], IntegrateParams(), model=tmp_path / "model"
    )
    assert [m.kind for m in again.modalities] == ["rna", "protein"]
    labels = next(c for c in placed.columns if str(c.layer) == "label:domain")
    np.testing.assert_array_equal(labels.values, out.obs["domain"].cat.codes)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "out.h5ad"]


def test_an_input_is_never_overwritten(files: list[Path]) -> None:
    with pytest.raises(BadRequest, match="overwrite"):
        weigh_files(files, IntegrateParams(), files[0], RunContext())


def test_the_command_reports_figures_as_json(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o.h5ad"
    names = [str(f) for f in files]
    command = ["weights", *names, "-o", str(out), "--seeds", "1", "--truth", "=odd", "--json"]
    assert main([*command, "--clusters", "5"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["count"] == 5
    assert figures["model"]["ari"] > 0.98
    assert figures["model"]["ari"] > figures["baselines"]["rna alone"]["ari"]
    assert main(command) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--technology", "Visium"], "Known are SPOTS, 10x"),
        (["--kinds", "rna"], "--kinds is 'rna'"),
        (["--clusters", "1"], "clusters is 1"),
    ],
)
def test_the_command_refuses_with_a_remedy(
    more: list[str], words: str, files: list[Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "o.h5ad"
    assert main(["weights", *[str(f) for f in files], "-o", str(out), *more]) == 2
    assert words in capsys.readouterr().err
    assert not out.exists()
