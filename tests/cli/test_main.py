from __future__ import annotations

import json
from pathlib import Path

import anndata
import numpy as np
import pytest
from PIL import Image
from scipy.sparse import csr_matrix

from backend.cli.main import main
from backend.core.job import RunContext
from backend.models.fusemap.train import TrainParams
from backend.runs.train import train_fusemap
from tests.tiny import GENES, SIZES, tiny_atlas


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_atlas(tmp_path_factory.mktemp("cli") / "tiny.zarr")


def _h5ad(path: Path, genes: tuple[str, ...], n: int = 60, **changes: bool) -> Path:
    rng = np.random.default_rng(0)
    data = anndata.AnnData(csr_matrix(rng.poisson(2.0, (n, len(genes))).astype(np.float32)))
    data.obs_names = [f"c{i}" for i in range(n)]
    data.var_names = list(genes)
    if changes.get("xy", True):
        data.obsm["spatial"] = rng.uniform(0, 500, (n, 2))
    if changes.get("nan"):
        data.obsm["spatial"][3, 1] = np.nan
    if changes.get("negative"):
        data.X[0, 0] = -1.0
    data.write_h5ad(path)
    return path


def test_info_describes_an_atlas_for_people_and_programs(
    atlas: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(atlas)]) == 0
    assert "tiny (simulated), version" in capsys.readouterr().out
    assert main(["info", str(atlas), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["n_cells"] == sum(SIZES.values())
    assert {s["id"] for s in facts["sections"]} == set(SIZES)


def test_tile_writes_a_picture_with_tissue(atlas: Path, tmp_path: Path) -> None:
    out = tmp_path / "tile.png"
    arguments = ["tile", str(atlas), "alpha", "label:region", "0", "0", "0", "-o", str(out)]
    assert main(arguments) == 0
    with Image.open(out) as picture:
        assert picture.size == (256, 256)
        assert len(picture.convert("RGBA").getcolors(65536) or []) > 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tile", "ATLAS", "alfa", "label:region", "0", "0", "0"], "Did you mean alpha"),
        (["tile", "ATLAS", "alpha", "label:regoin", "0", "0", "0"], "label:region"),
        (["tile", "ATLAS", "alpha", "measured:Slc17a8", "0", "0", "0"], "Slc17a7"),
        (["tile", "ATLAS", "alpha", "region", "0", "0", "0"], "kind:name"),
        (["tile", "ATLAS", "alpha", "label:region", "1", "2", "0"], "out of range"),
        (["tile", "nothing.zarr", "alpha", "label:region", "0", "0", "0"], "no atlas"),
    ],
    ids=["section", "label", "gene", "form", "address", "store"],
)
def test_a_tile_that_cannot_be_drawn_says_why_and_writes_nothing(
    atlas: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    out = tmp_path / "tile.png"
    given = [str(atlas) if a == "ATLAS" else a for a in arguments]
    assert main([*given, "-o", str(out)]) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"xy": False}, ["coordinates"]),
        ({"nan": True, "negative": True}, ["(nan)", "below zero"]),
        ({"n": 1}, ["cell"]),
    ],
    ids=["no coordinates", "two faults at once", "one cell"],
)
def test_a_bad_section_is_refused_with_all_its_faults(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, object],
    words: list[str],
) -> None:
    bad = _h5ad(tmp_path / "bad.h5ad", GENES, **changes)
    assert main(["build", str(tmp_path / "out.zarr"), str(bad)]) == 2
    said = capsys.readouterr().err
    assert "bad.h5ad" in said
    assert all(word in said.lower() for word in words)
    assert [p.name for p in tmp_path.iterdir()] == ["bad.h5ad"]


def test_a_file_that_is_no_h5ad_or_truncated_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.h5ad"
    text.write_text("no HDF5 here")
    whole = _h5ad(tmp_path / "whole.h5ad", GENES).read_bytes()
    cut = tmp_path / "cut.h5ad"
    cut.write_bytes(whole[: len(whole) // 2])
    for path in (text, cut):
        assert main(["build", str(tmp_path / "out.zarr"), str(path)]) == 2
        assert path.name in capsys.readouterr().err
    assert not (tmp_path / "out.zarr").exists()


def test_the_whole_way_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    atlas, checkpoint = tmp_path / "mine.zarr", tmp_path / "mine.ckpt"
    tiny_atlas(atlas, with_embedding=False)
    # Small parameters, so that the test is about the way and not the fit.
    train_fusemap(
        atlas,
        checkpoint,
        TrainParams(k=3, scale="log1p", refine=False, iterations=10, trust=False),
        RunContext(),
    )
    assert main(["embed", str(atlas), "--checkpoint", str(checkpoint), "--no-umap"]) == 0
    query = _h5ad(tmp_path / "query.h5ad", GENES, n=240)
    before = query.read_bytes()
    out, table = tmp_path / "out.h5ad", tmp_path / "out.csv"
    arguments = ["annotate", str(atlas), str(query), "-o", str(out), "--csv", str(table)]
    assert main(arguments) == 0
    assert query.read_bytes() == before
    done = anndata.read_h5ad(out)
    assert "type_fusemap" in done.obs
    assert done.obs_names[0] == "c0"
    lines = [line for line in table.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == 1 + 240
    assert main(arguments) == 2
    assert "exists" in capsys.readouterr().err
    imputed = tmp_path / "imputed.h5ad"
    genes = ["--section", "alpha", "--genes", "Gad1,Slc17a7", "-o", str(imputed)]
    assert main(["impute", str(atlas), *genes]) == 0
    assert list(anndata.read_h5ad(imputed).var_names) == ["Gad1", "Slc17a7"]


def test_a_query_without_shared_genes_is_refused_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    atlas, checkpoint = tmp_path / "mine.zarr", tmp_path / "mine.ckpt"
    tiny_atlas(atlas, with_embedding=False)
    train_fusemap(
        atlas,
        checkpoint,
        TrainParams(k=3, scale="log1p", refine=False, iterations=5, trust=False),
        RunContext(),
    )
    query = _h5ad(tmp_path / "query.h5ad", tuple(f"Other{i}" for i in range(12)))
    out = tmp_path / "out.h5ad"
    assert main(["annotate", str(atlas), str(query), "-o", str(out)]) == 2
    assert "NoSharedGenes" in capsys.readouterr().err
    assert not out.exists()


def test_an_atlas_without_checkpoint_says_how_to_train(
    atlas: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query = _h5ad(tmp_path / "query.h5ad", GENES)
    assert main(["annotate", str(atlas), str(query), "-o", str(tmp_path / "o.h5ad")]) == 2
    assert "train fusemap" in capsys.readouterr().err


def test_a_demo_of_no_cells_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", str(tmp_path / "demo.zarr"), "--cells", "0"]) == 2
    assert "above zero" in capsys.readouterr().err


def test_every_command_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("demo", "build", "info", "tile", "train", "embed", "annotate", "impute", "worker",
                 "bench", "ask"):  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
        assert f"Example: python -m backend {name}" in " ".join(capsys.readouterr().out.split())
