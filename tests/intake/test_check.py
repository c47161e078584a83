"""The preflight of an upload: good files pass, hostile and broken ones say all that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csc_matrix, csr_matrix

from backend.core.errors import BadFile
from backend.core.settings import Limits
from backend.intake.check import inspect, preflight, preview
from backend.intake.findings import Finding, Preflight

SYMBOLS = tuple(f"Gene{i}" for i in range(60))
ATLAS = SimpleNamespace(symbol=SYMBOLS, ensembl=tuple(f"ENSMUSG{i:011d}" for i in range(60)))
Edit = Callable[[h5py.File], None]


def section(n: int = 240, g: int = 60, seed: int = 0) -> ad.AnnData:
    rng = np.random.default_rng(seed)
    counts = csr_matrix(rng.poisson(0.5, (n, g)).astype(np.float32))
    found = ad.AnnData(counts)
    found.obs_names = [f"cell{i}" for i in range(n)]
    found.var_names = [f"Gene{i}" for i in range(g)]
    found.obsm["spatial"] = rng.uniform(0, 10 * np.sqrt(n), (n, 2))
    return found


def look(tmp_path: Path, data: ad.AnnData, edit: Edit | None = None, **limits: int) -> Preflight:
    path = tmp_path / "data.h5ad"
    data.write_h5ad(path)
    if edit is not None:
        with h5py.File(path, "r+") as file:
            edit(file)
    return inspect(path, "query.h5ad", ATLAS, Limits(**limits))


def only(found: Preflight, key: str, state: str) -> Finding:
    hits = [f for f in found.findings if f.key == key and f.state == state]
    assert len(hits) == 1, found.findings
    return hits[0]


def test_a_good_file_passes_every_question(tmp_path: Path) -> None:
    found = look(tmp_path, section())
    assert found.ok
    assert {f.key for f in found.findings} == {
        "file",
        "cells",
        "genes",
        "species",
        "coordinates",
        "orientation",
        "counts",
    }
    assert {f.state for f in found.findings} == {"ok"}
    assert (found.n_cells, found.n_genes, found.n_matched) == (240, 60, 60)
    assert (found.coordinates_in, found.counts_in, found.xy_unit) == ("obsm/spatial", "X", "um")
    found.raise_if_blocked()


def test_the_card_survives_json(tmp_path: Path) -> None:
    found = look(tmp_path, section(n=30))
    assert Preflight.from_json(found.as_json()) == found


def test_a_child_process_finds_the_same(tmp_path: Path) -> None:
    here = look(tmp_path, section())
    assert preflight(tmp_path / "data.h5ad", "query.h5ad", ATLAS, Limits()) == here


def test_preview_has_positions_and_genes_per_cell(tmp_path: Path) -> None:
    data = section(n=50)
    look(tmp_path, data)
    found = preview(tmp_path / "data.h5ad")
    assert np.allclose(found["xy"], data.obsm["spatial"], atol=1e-3)
    assert sum(found["genes_per_cell"]["counts"]) == 50


def test_a_preview_of_rubbish_is_a_readable_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"rubbish")
    with pytest.raises(BadFile, match="could not be read"):
        preview(tmp_path / "x")


@pytest.mark.parametrize(
    ("content", "title"),
    [
        (b"", "empty"),
        (b"cell,gene\n1,2\n", "not an .h5ad"),
        (b"\x1f\x8b\x08abc", "gzip"),
        (b"PK\x03\x04abc", "zip"),
        (b"PAR1abc", "Parquet"),
    ],
    ids=["empty", "csv", "gzip", "zip", "parquet"],
)
def test_other_files_are_named_and_refused(tmp_path: Path, content: bytes, title: str) -> None:
    path = tmp_path / "data.h5ad"
    path.write_bytes(content)
    found = inspect(path, "query.h5ad", ATLAS, Limits())
    assert title in only(found, "file", "blocked").title
    with pytest.raises(BadFile, match=r"query\.h5ad: 1 problem"):
        found.raise_if_blocked()


def test_a_truncated_file_is_said_to_be_cut_short(tmp_path: Path) -> None:
    look(tmp_path, section())
    path = tmp_path / "data.h5ad"
    path.write_bytes(path.read_bytes()[:-2000])
    assert "cut short" in inspect(path, "q", ATLAS, Limits()).findings[0].title


def test_a_10x_matrix_is_told_apart(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("matrix")
    found = inspect(tmp_path / "x.h5", "x.h5", ATLAS, Limits())
    assert "10x" in only(found, "file", "blocked").title


def test_missing_coordinates_name_what_is_there(tmp_path: Path) -> None:
    data = section()
    del data.obsm["spatial"]
    data.obsm["X_pca"] = np.zeros((240, 5))
    finding = only(look(tmp_path, data), "coordinates", "warning")
    assert "no coordinates" in finding.title
    assert "Types can still be annotated" in finding.text
    assert "X_pca" in finding.value


def test_coordinates_are_found_in_columns(tmp_path: Path) -> None:
    data = section()
    xy = data.obsm.pop("spatial")
    data.obs["x_centroid"], data.obs["y_centroid"] = xy[:, 0], xy[:, 1]
    found = look(tmp_path, data)
    assert found.ok
    assert found.coordinates_in == "obs/x_centroid, obs/y_centroid"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_coordinates_that_are_not_finite_are_counted(tmp_path: Path, bad: float) -> None:
    data = section()
    data.obsm["spatial"][:3, 0] = bad
    assert only(look(tmp_path, data), "coordinates", "blocked").value == "3 of 240 cells"


def test_cells_all_at_one_place_are_refused(tmp_path: Path) -> None:
    data = section()
    data.obsm["spatial"][:] = 7.0
    assert "one place" in only(look(tmp_path, data), "coordinates", "blocked").title


@pytest.mark.parametrize(
    ("scale", "unit"), [(1.0, "um"), (0.001, "mm"), (30.0, "px")], ids=["um", "mm", "px"]
)
def test_the_unit_is_told_from_the_spacing(tmp_path: Path, scale: float, unit: str) -> None:
    data = section()
    data.obsm["spatial"] *= scale
    assert look(tmp_path, data).xy_unit == unit


@pytest.mark.parametrize(
    ("pitch", "unit"), [(100.0, "um"), (289.0, "px"), (1.0, "px"), (0.1, "mm")]
)
def test_spot_arrays_are_known_by_their_pitch(tmp_path: Path, pitch: float, unit: str) -> None:
    data = section(n=225)
    i, j = np.divmod(np.arange(225), 15)
    data.obsm["spatial"] = np.stack([i, j], axis=1) * pitch
    found = look(tmp_path, data)
    assert found.xy_unit == unit
    assert any("lattice" in f.value for f in found.findings)


def test_duplicate_cells_are_a_warning(tmp_path: Path) -> None:
    data = section()
    data.obs_names = ["same"] * 3 + [f"cell{i}" for i in range(237)]
    finding = only(look(tmp_path, data), "cells", "warning")
    assert finding.value == "2 repeats"


def test_duplicate_genes_are_a_warning(tmp_path: Path) -> None:
    data = section()
    data.var_names = ["Gene0", "Gene0"] + [f"Gene{i}" for i in range(2, 60)]
    finding = only(look(tmp_path, data), "genes", "warning")
    assert finding.value == "1 repeats"


def test_no_shared_genes_shows_both_spellings(tmp_path: Path) -> None:
    data = section()
    data.var_names = [f"AT1G{i:05d}" for i in range(60)]
    finding = only(look(tmp_path, data), "genes", "blocked")
    assert finding.value == "0 of 60"
    assert "Gene0" in finding.text
    assert "AT1G00000" in finding.text


def test_genes_match_without_case_and_by_ensembl_id_with_version(tmp_path: Path) -> None:
    upper = section()
    upper.var_names = [f"GENE{i}" for i in range(60)]
    found = look(tmp_path, upper)
    assert found.n_matched == 60
    assert "look human" in only(found, "species", "warning").title
    ids = section()
    ids.var_names = [f"ENSMUSG{i:011d}.4" for i in range(60)]
    assert look(tmp_path, ids).n_matched == 60


def test_a_column_that_names_more_genes_wins(tmp_path: Path) -> None:
    data = section()
    data.var_names = [f"probe{i}" for i in range(60)]
    data.var["gene_name"] = [f"Gene{i}" for i in range(60)]
    found = look(tmp_path, data)
    assert (found.genes_in, found.n_matched) == ("var/gene_name", 60)


@pytest.mark.parametrize(
    ("value", "title"), [(-1.0, "negative"), (np.inf, "not finite"), (np.nan, "not finite")]
)
def test_values_that_cannot_be_counts_are_refused(tmp_path: Path, value: float, title: str) -> None:
    data = section()
    data.X.data[:2] = value
    finding = only(look(tmp_path, data), "counts", "blocked")
    assert title in finding.title
    assert finding.value == "2 values"


def test_a_layer_of_counts_is_preferred(tmp_path: Path) -> None:
    data = section()
    data.layers["counts"] = data.X.copy()
    data.X = data.X.toarray() - 3.0
    found = look(tmp_path, data)
    assert found.ok
    assert found.counts_in == "layers/counts"


def test_transformed_values_are_a_warning(tmp_path: Path) -> None:
    data = section()
    data.X = np.log1p(data.X.toarray())
    found = look(tmp_path, data)
    assert found.ok
    assert "log-normalised" in only(found, "counts", "warning").title


def test_columnwise_matrices_are_read(tmp_path: Path) -> None:
    data = section()
    data.X = csc_matrix(data.X)
    found = look(tmp_path, data)
    assert found.ok
    assert preview(tmp_path / "data.h5ad")["genes_per_cell"]["median"] == np.median(
        data.X.getnnz(axis=1)
    )


@pytest.mark.parametrize(("n", "title"), [(0, "no cells"), (1, "one cell"), (19, "Too few")])
def test_too_few_cells_are_refused(tmp_path: Path, n: int, title: str) -> None:
    assert title in only(look(tmp_path, section(n)), "cells", "blocked").title


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    data = section(n=10)
    data.obsm["spatial"][0] = np.nan
    data.X.data[:] = -1
    data.var_names = [f"x{i}" for i in range(60)]
    found = look(tmp_path, data)
    assert {f.key for f in found.findings if f.state == "blocked"} == {
        "cells",
        "coordinates",
        "counts",
        "genes",
    }
    with pytest.raises(BadFile) as caught:
        found.raise_if_blocked()
    assert len(caught.value.faults) == 4


def test_a_small_file_that_declares_terabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "bomb.h5ad"
    with h5py.File(path, "w") as file:
        file.create_dataset("X", (30_000_000, 1_000_000), "f8", chunks=(1000, 1000))
    assert path.stat().st_size < 10_000
    finding = only(inspect(path, "bomb", ATLAS, Limits()), "file", "blocked")
    assert "declares 2.4e+14 bytes" in finding.title


def test_a_chunk_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    def bomb(file: h5py.File) -> None:
        n = 200_000_000
        file.create_dataset("uns/z", (n,), "f8", chunks=(n,), compression="gzip")

    assert "chunks" in only(look(tmp_path, section(), bomb), "file", "blocked").title


def _external_link(file: h5py.File) -> None:
    file["obsm/stolen"] = h5py.ExternalLink("/etc/passwd", "/")


def _soft_link(file: h5py.File) -> None:
    file["obsm/loop"] = h5py.SoftLink("/obsm")


def _external_storage(file: h5py.File) -> None:
    file.create_dataset("obsm/s", (4,), "u1", external=[("/etc/passwd", 0, 4)])


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    file.create_virtual_dataset("obsm/v", layout)


@pytest.mark.parametrize(
    ("edit", "title"),
    [
        (_external_link, "leads elsewhere"),
        (_soft_link, "leads elsewhere"),
        (_external_storage, "another file"),
        (_virtual, "other files"),
    ],
    ids=["external link", "soft link", "external storage", "virtual"],
)
def test_data_of_other_files_is_refused(tmp_path: Path, edit: Edit, title: str) -> None:
    assert title in only(look(tmp_path, section(), edit), "file", "blocked").title


def test_a_group_inside_itself_is_walked_once(tmp_path: Path) -> None:
    def loop(file: h5py.File) -> None:
        file["uns/again"] = file["uns"]

    assert look(tmp_path, section(), loop).ok


def _indptr_falls(file: h5py.File) -> None:
    file["X/indptr"][5] = 10_000


def _index_outside(file: h5py.File) -> None:
    file["X/indices"][0] = 60


def _index_negative(file: h5py.File) -> None:
    file["X/indices"][0] = -1


@pytest.mark.parametrize(
    ("edit", "what"),
    [(_indptr_falls, "indptr"), (_index_outside, "indices"), (_index_negative, "indices")],
)
def test_a_damaged_sparse_matrix_is_refused(tmp_path: Path, edit: Edit, what: str) -> None:
    assert what in only(look(tmp_path, section(), edit), "counts", "blocked").title


def test_a_matrix_that_disagrees_with_its_tables_is_refused(tmp_path: Path) -> None:
    def shrink(file: h5py.File) -> None:
        file["X"].attrs["shape"] = (239, 60)

    assert "disagree" in only(look(tmp_path, section(), shrink), "file", "blocked").title


@pytest.mark.parametrize("limit", ["cells", "genes", "nonzeros"])
def test_declared_sizes_above_a_limit_are_refused(tmp_path: Path, limit: str) -> None:
    found = look(tmp_path, section(), **{limit: 50 if limit != "nonzeros" else 2000})
    assert not found.ok
    assert any("at most" in f.text.lower() for f in found.findings)


def test_script_in_labels_and_names_is_only_text(tmp_path: Path) -> None:
    data = section()
    hostile = "<script>alert(1)</script>"
    data.obs["type"] = pd.Categorical([hostile] * 240)
    data.obs_names = [f"=cmd|{i}" for i in range(240)]
    found = look(tmp_path, data)
    assert found.ok
    assert hostile not in str(found.as_json())


def test_several_sections_in_one_file_are_told(tmp_path: Path) -> None:
    data = section()
    data.obs["section"] = pd.Categorical(["a", "b"] * 120)
    assert "2 sections" in only(look(tmp_path, data), "cells", "warning").title
    data.obs["section"] = pd.Categorical(["a"] * 240)
    assert {f.state for f in look(tmp_path, data).findings} == {"ok"}


def test_ten_thousand_classes_are_left_out_with_a_warning(tmp_path: Path) -> None:
    data = section(n=240)

    def many(file: h5py.File) -> None:
        group = file.create_group("obs/many")
        group.create_dataset("categories", data=np.array([f"c{i}" for i in range(10_001)], "S"))
        group.create_dataset("codes", data=np.zeros(240, "i2"))

    finding = only(look(tmp_path, data, many), "file", "warning")
    assert finding.value == "10,001, at most 10,000"


def test_a_label_as_long_as_a_book_is_left_out(tmp_path: Path) -> None:
    data = section()
    data.obs["type"] = pd.Categorical(["x" * 5000] * 240)
    assert "names" in only(look(tmp_path, data), "file", "warning").title
