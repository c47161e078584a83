"""The enhance command: what it says of a run, and options that do not go together."""

from __future__ import annotations

import json
from pathlib import Path

import anndata
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file
from scipy.sparse import csr_matrix

from backend.cli.main import main
from tests.models.soscope.planted import grid, random_weights


@pytest.fixture
def spots(tmp_path: Path) -> Path:
    """Write 64 spots with an image beside them."""
    rng = np.random.default_rng(0)
    data = anndata.AnnData(csr_matrix(rng.poisson(6, (64, 8)), dtype=np.float32))
    data.obs_names = [f"s{i}" for i in range(64)]
    data.obsm["spatial"] = grid(8)
    data.obsm["pixel"] = grid(8) / 5 + 10
    data.write_h5ad(tmp_path / "spots.h5ad")
    rgb = rng.integers(0, 255, (160, 160, 3)).astype(np.uint8)
    Image.fromarray(rgb).save(tmp_path / "slide.tif")
    return tmp_path / "spots.h5ad"


def test_a_network_describes_the_image_and_the_run_says_so(
    spots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file(random_weights(), tmp_path / "w.safetensors")
    out, image = tmp_path / "fine.h5ad", str(tmp_path / "slide.tif")
    asked = ["enhance", str(spots), "--image", image, "-o", str(out), "--no-check"]
    network = ["--image-features", "cnn", "--weights", str(tmp_path / "w.safetensors")]
    assert main([*asked, *network, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["image"]["weights"]["name"] == "w.safetensors"
    assert len(figures["gate"]["controls"]) == 19
    assert main([*asked[:-2], str(tmp_path / "again.h5ad"), "--no-check"]) == 0
    said = capsys.readouterr().out
    assert "of 19 controls at most: shuffled" in said


@pytest.mark.parametrize("more", [["--image-features", "cnn"], ["--weights", "w.safetensors"]])
def test_a_network_and_its_weights_go_together(
    spots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    out = tmp_path / "fine.h5ad"
    assert main(["enhance", str(spots), "-o", str(out), *more]) == 2
    assert "go together" in capsys.readouterr().err
    assert not out.exists()
