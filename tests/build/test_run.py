"""Building atlases: from files alone, by configuration, resumed, in parallel, and refused."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from backend.build import plan, run
from backend.build.config import BuildConfig
from backend.build.run import build_atlas
from backend.build.size import stored_values
from backend.core.errors import (
    BadFile,
    BadRequest,
    BadStore,
    Cancelled,
    StoreExists,
    TooLarge,
)
from backend.core.job import RunContext
from backend.intake import stored
from backend.intake.mapping import ReadMapping
from backend.store import parallel, room
from backend.store.atlas import Atlas
from backend.store.write import AtlasWriter


def write_file(path: Path, genes: list[str], sections: list[str] | None = None, **uns: str) -> Path:
    n, rng = 30, np.random.default_rng(len(genes))
    obs = pd.DataFrame({"cell_type": rng.choice(["Excitatory", "Astro"], n)})
    obs.index = [f"{path.stem}-{i}" for i in range(n)]
    if sections:
        obs["section"] = [sections[i % len(sections)] for i in range(n)]
    content = anndata.AnnData(
        X=sparse.csr_matrix(rng.poisson(2, (n, len(genes))).astype(np.int32)),
        obs=obs,
        var=pd.DataFrame(index=genes),
        obsm={"spatial": rng.uniform(0, 500, (n, 2))},
        uns=uns,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content.write_h5ad(path)
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [
        write_file(tmp_path / "a.h5ad", ["Gad1", "Sst"], ["s1", "s2", "s3"], technology="MERFISH"),
        write_file(tmp_path / "b.h5ad", ["GAD1", "Vip", "Aqp4"], organism="Mus musculus"),
        write_file(tmp_path / "c.h5ad", ["Gad1"]),
    ]


def files_of(folder: Path) -> dict[str, bytes]:
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {name: content for name, content in found.items() if name != "zarr.json"}


def test_files_alone_are_enough(tmp_path: Path, files: list[Path]) -> None:
    atlas = Atlas.open(build_atlas(tmp_path / "out.zarr", files))
    assert {s.id for s in atlas.sections()} == {"s1", "s2", "s3", "b", "c"}
    assert atlas.n_cells == 90
    assert atlas.section("s1").technology == "MERFISH"
    assert atlas.section("b").species == "mouse"
    assert atlas.name == "out"
    # Spelt as most files spell it, and one gene whatever the case.
    assert atlas.genes.symbol == ("Aqp4", "Gad1", "Sst", "Vip")
    measured = atlas.expression("b")
    assert measured is not None
    assert measured.has(atlas.genes.index("Gad1"))
    assert [c.name for c in atlas.label("type").categories] == ["Astro", "Excitatory"]
    assert not (tmp_path / "out.zarr.partial").exists()


def test_a_stopped_build_writes_only_what_is_missing_and_the_same_bytes(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run.os, "cpu_count", lambda: 1)
    with pytest.raises(Cancelled):
        build_atlas(tmp_path / "a.zarr", files, ctx=_stops_early(), name="x")
    assert not (tmp_path / "a.zarr").exists()
    written = {p.stem for p in (tmp_path / "a.zarr.partial/.build/done").iterdir()}
    assert {"s1", "s2", "s3"} <= written
    assert "c" not in written
    added: list[str] = []
    add = AtlasWriter.add
    monkeypatch.setattr(
        AtlasWriter,
        "add",
        lambda writer, data, *z: (added.append(data.id), add(writer, data, *z))[1],
    )
    build_atlas(tmp_path / "a.zarr", files, name="x")
    assert set(added) == {"s1", "s2", "s3", "b", "c"} - written
    monkeypatch.undo()
    build_atlas(tmp_path / "b.zarr", files, name="x")
    assert files_of(tmp_path / "a.zarr") == files_of(tmp_path / "b.zarr")


def _stops_early() -> RunContext:
    """Ask to stop once a part is written; those being written by then are finished."""
    messages: list[str] = []
    return RunContext(
        report=lambda _, message: messages.append(message),
        cancelled=lambda: any(m.startswith("Wrote ") for m in messages),
    )


def test_a_finished_build_is_left_alone(tmp_path: Path, files: list[Path]) -> None:
    path = build_atlas(tmp_path / "a.zarr", files)
    before, told = (path / "zarr.json").read_bytes(), []
    build_atlas(path, files, ctx=RunContext(report=lambda _, m: told.append(m)))
    assert told == [f"{path} is finished; nothing to do."]
    assert (path / "zarr.json").read_bytes() == before
    with pytest.raises(StoreExists, match="another atlas"):
        build_atlas(path, files[:1])


def test_all_bad_files_are_told_at_once(tmp_path: Path, files: list[Path]) -> None:
    files[0].write_bytes(b"")
    files[2].write_bytes(b"x" * 5000)
    with pytest.raises(BadFile, match="2 files: 2 problems") as caught:
        build_atlas(tmp_path / "a.zarr", files)
    assert [f.where.split(",")[0] for f in caught.value.faults] == ["a.h5ad", "c.h5ad"]
    assert not list(tmp_path.glob("a.zarr*"))


def test_ids_that_two_files_use_get_the_name_of_their_data_set(
    tmp_path: Path, files: list[Path]
) -> None:
    twin = Path(shutil.copy(files[0], tmp_path / "twin.h5ad"))
    atlas = Atlas.open(build_atlas(tmp_path / "out.zarr", [files[0], twin]))
    assert {"a_s1", "twin_s1"} <= {s.id for s in atlas.sections()}
    sets = [(file, ReadMapping(id="same", dataset="d")) for file in files[1:]]
    with pytest.raises(BadRequest, match="more than once"):
        build_atlas(tmp_path / "o.zarr", config=BuildConfig("t", tuple(sets)))


def test_one_atlas_holds_one_species(tmp_path: Path, files: list[Path]) -> None:
    human = write_file(tmp_path / "h.h5ad", ["GAD1"], organism="human")
    with pytest.raises(BadRequest, match="human, mouse"):
        build_atlas(tmp_path / "o.zarr", [files[0], human])


def test_what_will_not_fit_is_refused_before_anything_is_written(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "free_disk", lambda _: 1000)
    with pytest.raises(TooLarge, match="of disk"):
        build_atlas(tmp_path / "o.zarr", files)
    assert not list(tmp_path.glob("o.zarr*"))


def test_half_an_atlas_of_other_files_is_kept(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run.os, "cpu_count", lambda: 1)
    with pytest.raises(Cancelled):
        build_atlas(tmp_path / "a.zarr", files, ctx=_stops_early())
    with pytest.raises(BadStore, match="half built"):
        Atlas.open(tmp_path / "a.zarr")
    with pytest.raises(StoreExists, match="another plan"):
        build_atlas(tmp_path / "a.zarr", files[1:])
    assert Atlas.open(build_atlas(tmp_path / "a.zarr", files)).n_cells == 90


def test_the_values_of_a_file_are_counted_without_reading_them(tmp_path: Path) -> None:
    counts = sparse.csr_matrix(np.eye(4, 10, dtype=np.float32))
    content = anndata.AnnData(X=np.zeros((4, 10), np.float32), layers={"counts": counts})
    content.write_h5ad(tmp_path / "dense.h5ad")
    assert stored_values(tmp_path / "dense.h5ad") == 12
    anndata.AnnData(X=counts).write_h5ad(tmp_path / "sparse.h5ad")
    assert stored_values(tmp_path / "sparse.h5ad") == 4
    (tmp_path / "bad.h5ad").write_bytes(b"x")
    assert stored_values(tmp_path / "bad.h5ad") == stored_values(tmp_path / "a.csv") == 0


def test_nothing_to_build_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="nothing to build"):
        build_atlas(tmp_path / "o.zarr")


def test_a_cluster_gives_the_same_bytes(tmp_path: Path, files: list[Path]) -> None:
    distributed = pytest.importorskip("dask.distributed")
    build_atlas(tmp_path / "a.zarr", files, name="x")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with distributed.LocalCluster(
            n_workers=1, processes=False, dashboard_address=None
        ) as cluster:
            address = cluster.scheduler_address
            build_atlas(tmp_path / "b.zarr", files, name="x", scheduler=address)
    assert files_of(tmp_path / "a.zarr") == files_of(tmp_path / "b.zarr")


@pytest.mark.parametrize("kind", ["dense", "csr", "csc"])
def test_a_file_in_parts_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    make = {"dense": np.asarray, "csr": sparse.csr_matrix, "csc": sparse.csc_matrix}[kind]
    counts = np.random.default_rng(5).poisson(1, (40, 6)).astype(np.float32)
    obs = pd.DataFrame({"section": ["s1"] * 10 + ["s2", "s3"] * 10 + ["s4"] * 10})
    obs.index = [f"c{i}" for i in range(40)]
    content = anndata.AnnData(make(counts), obs, obsm={"spatial": np.arange(80).reshape(-1, 2)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content.write_h5ad(tmp_path / "f.h5ad")
    build_atlas(tmp_path / "a.zarr", [tmp_path / "f.h5ad"], name="x")
    monkeypatch.setattr(plan, "PART_CELLS", 1)
    monkeypatch.setattr(stored, "BLOCK", 20)
    build_atlas(tmp_path / "b.zarr", [tmp_path / "f.h5ad"], name="x")
    assert files_of(tmp_path / "a.zarr") == files_of(tmp_path / "b.zarr")
    for section, rows in (("s1", range(10)), ("s2", range(10, 30, 2)), ("s4", range(30, 40))):
        found = Atlas.open(tmp_path / "b.zarr").load(section)
        order = [int(name[1:]) for name in found.names]
        assert sorted(order) == list(rows)
        places = [content.var_names.get_loc(gene) for gene in found.genes]
        np.testing.assert_array_equal(found.counts.toarray(), counts[order][:, places])


def test_a_scheduler_that_is_not_there_is_named(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cluster:
        @staticmethod
        def Client(*_: object, **__: object) -> None:
            raise OSError("refused")

    monkeypatch.setattr(parallel, "import_module", lambda _: Cluster)
    with pytest.raises(BadRequest, match="no Dask scheduler at 'tcp://nowhere:1'"):
        build_atlas(tmp_path / "a.zarr", files, scheduler="tcp://nowhere:1")


@pytest.mark.slow
def test_the_brain_is_built_from_the_real_sets(tmp_path: Path, datasets: Path) -> None:
    config = Path(run.__file__).with_name("brain.yaml")
    atlas = Atlas.open(build_atlas(tmp_path / "brain.zarr", config=config, root=datasets))
    assert len(atlas.sections()) == 205
    assert atlas.n_cells == 1_127_356
    assert atlas.pyramid_levels() == (8, 9, 10)
    assert {s.unit for s in atlas.sections()} == {
        "counts",
        "expected counts",
        "volume-normalised",
        "none",
    }
