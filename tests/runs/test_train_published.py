from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backend.cli.main import main
from backend.core.errors import BadCheckpoint, StoreExists, TooFewCells
from backend.core.job import RunContext
from backend.models.common.checkpoint import load_checkpoint
from backend.models.fusemap.parity.settings import Settings
from backend.runs.train_published import train_published
from tests.tiny import SIZES, tiny_atlas

SMALL = Settings(latent=4, hidden=16, adversary=16, epochs=1)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_atlas(tmp_path_factory.mktemp("published") / "tiny.zarr")


def test_a_checkpoint_says_what_it_is_and_the_default_mode_refuses_it(
    atlas: Path, tmp_path: Path
) -> None:
    out = tmp_path / "parity.ckpt"
    made = train_published(atlas, out, SMALL, RunContext(seed=5))
    loaded = load_checkpoint(out)
    assert loaded.card["model"] == "fusemap-parity"
    assert loaded.card["seed"] == 5
    assert [d["section"] for d in loaded.card["data"]] == ["alpha", "beta"]
    assert loaded.card["metrics"]["epochs"] == 2
    assert loaded.tensors["genes"].shape == (4, len(loaded.card["genes"]))
    assert {n.split(".")[1] for n in loaded.tensors if n.startswith("encoders")} == {"0", "1"}
    np.testing.assert_array_equal(loaded.tensors["genes"], made.tensors["genes"])
    assert not (tmp_path / "parity.ckpt.partial").exists()
    with pytest.raises(BadCheckpoint, match="'fusemap-parity', not 'fusemap'"):
        load_checkpoint(out, "fusemap")
    with pytest.raises(StoreExists):
        train_published(atlas, out, SMALL)


def test_one_section_is_too_few(atlas: Path, tmp_path: Path) -> None:
    with pytest.raises(TooFewCells, match="needs two or more"):
        train_published(atlas, tmp_path / "x", SMALL, leave_out=["beta"])
    assert list(tmp_path.iterdir()) == []


def test_the_command_trains_as_published(atlas: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.ckpt"
    arguments = ["train", "fusemap", str(atlas), "-o", str(out), "--mode", "parity"]
    assert main([*arguments, "--epochs", "1", "--quick"]) == 2
    assert main([*arguments, "--epochs", "0"]) == 2
    assert main([*arguments, "--epochs", "1"]) == 0
    assert load_checkpoint(out).card["params"]["batch"] == 64
    assert sum(SIZES.values()) >= sum(d["cells"] for d in load_checkpoint(out).card["data"])


@pytest.mark.slow
def test_two_processes_write_one_checkpoint(atlas: Path, tmp_path: Path) -> None:
    out = tmp_path / "pair.ckpt"
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "backend", "train", "fusemap", str(atlas), "-o", str(out), "--mode", "parity",
        "--epochs", "1",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Wrote") == 1
    alone = train_published(atlas, tmp_path / "alone.ckpt", Settings(epochs=1), RunContext())
    pair = load_checkpoint(out)
    assert set(pair.tensors) == set(alone.tensors)
    np.testing.assert_allclose(pair.tensors["genes"], alone.tensors["genes"], atol=1e-4)
    assert "RANK" not in os.environ
