"""What cannot be done is refused before work starts: a message, exit status 2, nothing written."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.build import run
from backend.cli.main import main
from backend.store import room
from backend.store.atlas import Atlas
from tests.tiny import tiny_atlas


def section(path: Path, width: int = 0, **uns: str) -> str:
    rng = np.random.default_rng(len(path.stem))
    data = anndata.AnnData(csr_matrix(rng.poisson(1.0, (30, 4)).astype(np.float32)), uns=uns)
    data.obs_names = [f"{path.stem}-{i}" for i in range(30)]
    data.var_names = ["Gad1", "Sst", "Vip", "Aqp4"]
    data.obsm["spatial"] = rng.uniform(0, 500, (30, 2))
    if width:
        data.obsm["X_latent"] = rng.normal(size=(30, width)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.write_h5ad(path)
    return str(path)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(a) for a in arguments]) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("what", "words"), [("free_disk", "of disk"), ("free_memory", "of memory")], ids=str
)
@pytest.mark.parametrize("command", ["build", "demo", "layout"])
def test_too_little_room_is_said_with_the_estimate(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    what: str,
    words: str,
) -> None:
    tiny = tiny_atlas(tmp_path / "tiny.zarr")
    out = tmp_path / "out.zarr"
    arguments = {
        "build": ["build", out, section(tmp_path / "a.h5ad")],
        "demo": ["demo", out, "--cells", 200, "--sections", 1, "--genes", 40],
        "layout": ["layout", tiny],
    }[command]
    before = sorted(p.name for p in tmp_path.iterdir())
    monkeypatch.setattr(room, what, lambda *_: 1000)
    said = refused(capsys, *arguments)
    assert words in said
    assert "takes about" in said
    assert "are free" in said
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_sections_of_several_species_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [section(tmp_path / f"{n}.h5ad", organism=n) for n in ("mouse", "human")]
    said = refused(capsys, "build", tmp_path / "out.zarr", *files)
    assert "human, mouse" in said
    assert "one atlas per species" in said
    assert not list(tmp_path.glob("out.zarr*"))


def test_embeddings_of_several_widths_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [section(tmp_path / f"w{n}.h5ad", n) for n in (8, 16)]
    out = tmp_path / "out.zarr"
    said = refused(capsys, "build", out, *files, "--embedding", "obsm/X_latent")
    assert "8 in w8.h5ad, 16 in w16.h5ad" in said
    assert "one model" in said
    said = refused(capsys, "build", out, *files, "--embedding", "obsm/X_scvi")
    assert "obsm/X_scvi" in said
    assert "obsm/X_latent" in said  # what there is
    assert not list(tmp_path.glob("out.zarr*"))


def test_an_embedding_that_files_bring_along_is_kept(tmp_path: Path) -> None:
    file = section(tmp_path / "w.h5ad", 8)
    bare = section(tmp_path / "bare.h5ad")
    both = tmp_path / "out.zarr"
    assert main(["build", str(both), file, "--embedding", "obsm/X_latent"]) == 0
    atlas = Atlas.open(both)
    stored = atlas.embedding("cell")
    assert stored is not None
    assert stored.provenance is not None
    assert stored.provenance.model == "given with the files"
    order = [int(name.partition("-")[2]) for name in atlas.names(slice(0, 30))]
    z = anndata.read_h5ad(file).obsm["X_latent"][order]
    assert (np.abs(stored.values[:] * stored.scale - z) <= 0.51 * stored.scale).all()
    assert main(["build", str(tmp_path / "plain.zarr"), bare]) == 0
    assert Atlas.open(tmp_path / "plain.zarr").embedding("cell") is None


@pytest.mark.parametrize("command", ["info", "ask", "layout", "tile"])
def test_a_half_built_atlas_says_how_to_go_on(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    files = [section(tmp_path / f"{n}.h5ad") for n in "abc"]
    out = tmp_path / "out.zarr"
    write, done = run.write_part, []

    def stop(writer: Any, part: Any) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(part)
        write(writer, part)

    monkeypatch.setattr(run, "write_part", stop)
    monkeypatch.setattr(run.os, "cpu_count", lambda: 1)
    assert main(["build", str(out), *files]) == 130
    assert "Run the same command again" in capsys.readouterr().err
    picture = tmp_path / "t.png"
    more = {
        "ask": ["gene", "Gad1"],
        "tile": ["a", "density:cells", 0, 0, 0, "-o", picture],
    }.get(command, [])
    said = refused(capsys, command, out, *more)
    assert "half built: 2 of 3 sections are written" in said
    assert "Repeat the command that began it" in said
    monkeypatch.undo()
    assert main(["build", str(out), *files]) == 0
    assert Atlas.open(out).n_cells == 90


@pytest.mark.parametrize(("version", "status"), [(1, 0), (2, 0), (3, 2), ("x", 2)])
def test_a_newer_format_is_refused_and_an_older_one_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], version: object, status: int
) -> None:
    path = Path(shutil.copytree(tiny_atlas(tmp_path / "a.zarr"), tmp_path / "b.zarr"))
    header = json.loads((path / "zarr.json").read_text())
    header["attributes"]["format_version"] = version
    (path / "zarr.json").write_text(json.dumps(header))
    assert main(["info", str(path)]) == status
    said = capsys.readouterr().err
    if version == 3:
        assert "written by a newer program: format version 3" in said
        assert "Update this program" in said
    elif status:
        assert "Build the atlas again" in said
