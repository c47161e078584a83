"""Reading h5ad files and tables, and saying all that is wrong with one."""

from __future__ import annotations

import warnings
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from backend.core.errors import BadFile
from backend.core.layers import LayerKey
from backend.intake.mapping import LabelMap, ReadMapping, safe_id
from backend.intake.read import read_h5ad, read_table, scan_file

COUNTS = np.array([[1, 0, 3], [0, 2, 0], [0, 0, 0], [5, 1, 1]], np.float32)
XY = np.array([[0, 0], [10, 0], [0, 20], [10, 20]], np.float64)


def data(**more: object) -> anndata.AnnData:
    obs = pd.DataFrame({"cell_type": ["a", "b", "a", None]}, index=["c0", "c1", "c2", "c3"])
    var = pd.DataFrame(index=["Gad1", "Sst", "Vip"])
    made = {"X": sparse.csr_matrix(COUNTS), "obs": obs, "var": var, "obsm": {"spatial": XY}}
    return anndata.AnnData(**{**made, **more})


def saved(path: Path, content: anndata.AnnData) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content.write_h5ad(path / "file.h5ad")
    return path / "file.h5ad"


@pytest.mark.parametrize(
    "kind", [np.asarray, sparse.csr_matrix, sparse.csc_matrix], ids=["dense", "csr", "csc"]
)
@pytest.mark.parametrize("dtype", ["int32", "float32", "float64"])
def test_counts_are_read_whatever_their_layout(tmp_path: Path, kind: type, dtype: str) -> None:
    (section,) = read_h5ad(saved(tmp_path, data(X=kind(COUNTS.astype(dtype)))))
    np.testing.assert_array_equal(section.counts.toarray(), COUNTS)
    assert section.counts.dtype == np.float32
    assert section.unit == "counts"
    assert section.genes == ("Gad1", "Sst", "Vip")
    assert section.names.tolist() == ["c0", "c1", "c2", "c3"]
    np.testing.assert_array_equal(section.xy, XY)


@pytest.mark.parametrize("as_categories", [True, False], ids=["categories", "text"])
def test_a_label_is_guessed_and_missing_stays_missing(tmp_path: Path, as_categories: bool) -> None:
    content = data()
    if as_categories:
        content.obs["cell_type"] = content.obs["cell_type"].astype("category")
    (section,) = read_h5ad(saved(tmp_path, content))
    assert list(section.labels) == ["type"]
    label = section.labels["type"]
    assert label.codes.tolist() == [0, 1, 0, -1]
    assert [c.name for c in label.categories] == ["a", "b"]


def test_colours_of_the_file_are_honoured(tmp_path: Path) -> None:
    content = data()
    content.obs["cell_type"] = pd.Categorical(["b", "a", "b", "a"], categories=["b", "a"])
    content.uns["cell_type_colors"] = ["#ff0000", "#00ff00ff"]
    (section,) = read_h5ad(saved(tmp_path, content))
    colours = {c.name: c.colour for c in section.labels["type"].categories}
    assert colours == {"a": "#00ff00", "b": "#ff0000"}


def test_sections_of_one_file_are_told_apart_by_a_column(tmp_path: Path) -> None:
    content = data()
    content.obs["section"] = ["s 1", "s 2", "s 1", "s 2"]
    path = saved(tmp_path, content)
    one, two = read_h5ad(path)
    assert (one.id, one.names.tolist()) == ("s_1", ["c0", "c2"])
    np.testing.assert_array_equal(two.counts.toarray(), COUNTS[[1, 3]])
    assert [s.id for s in read_h5ad(path, only={"s_2"})] == ["s_2"]
    assert [s.id for s in read_h5ad(path, ReadMapping(skip=frozenset({"s 1"})))] == ["s_2"]


def test_a_mapping_renames_drops_and_adopts(tmp_path: Path) -> None:
    content = data()
    content.obs["cell_type"] = ["a", "b", "x", "A"]
    labels = {
        "class": LabelMap("cell_type", {"a": "One", "A": "One", "b": "Two"}, frozenset({"x"})),
        "type": LabelMap("cell_type", parents={"b": "Stated"}, parent_from="class"),
    }
    (section,) = read_h5ad(saved(tmp_path, content), ReadMapping(labels=labels))
    coarse = section.labels["class"]
    assert [coarse.categories[c].name if c >= 0 else None for c in coarse.codes] == [
        "One", "Two", None, "One",
    ]  # fmt: skip
    parents = {c.name: c.parent for c in section.labels["type"].categories}
    assert parents == {"a": "One", "A": "One", "b": "Stated", "x": None}


def test_coordinates_are_scaled_mirrored_and_turned(tmp_path: Path) -> None:
    path = saved(tmp_path, data())

    def places(**how: object) -> list[list[float]]:
        return np.round(read_h5ad(path, ReadMapping(**how))[0].xy, 3).tolist()

    assert places(scale=2.0)[3] == [20, 40]
    assert places(flip_y=True)[3] == [10, -20]
    # Clockwise on a screen, y down: what is right goes to the bottom, what is below to the left.
    assert places(rotate=90)[1] == [0, 10]
    assert places(rotate=90)[2] == [-20, 0]
    assert places(rotate=180)[3] == [-10, -20]


def test_raw_counts_are_found_in_a_layer(tmp_path: Path) -> None:
    scaled = np.log1p(COUNTS)
    path = saved(tmp_path, data(X=scaled, layers={"counts": sparse.csr_matrix(COUNTS)}))
    (section,) = read_h5ad(path)
    np.testing.assert_array_equal(section.counts.toarray(), COUNTS)
    (other,) = read_h5ad(path, ReadMapping(counts="X"))
    assert other.unit == "normalised"
    assert not other.is_counts


def test_symbols_and_ensembl_ids_come_from_var(tmp_path: Path) -> None:
    content = data()
    content.var = pd.DataFrame(
        {"symbol": ["Gad1", None, "Vip"]}, index=["ENSMUSG01.4", "ENSMUSG02.1", "ENSMUSG03.2"]
    )
    path = saved(tmp_path, content)
    assert read_h5ad(path)[0].genes == ("Gad1", "ENSMUSG02.1", "Vip")
    assert scan_file(path).genes["Vip"] == "ENSMUSG03"


def test_columns_of_one_gene_are_added_up_with_a_note(tmp_path: Path) -> None:
    path = saved(tmp_path, data(var=pd.DataFrame(index=["Gad1", "Sst", "GAD1"])))
    (section,) = read_h5ad(path)
    assert section.genes == ("Gad1", "Sst")
    np.testing.assert_array_equal(section.counts.toarray()[:, 0], COUNTS[:, 0] + COUNTS[:, 2])
    assert "added up" in scan_file(path).sections[0].fields["notes"][0]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_table_gives_sections_without_genes(tmp_path: Path, suffix: str) -> None:
    table = pd.DataFrame(
        {"section": ["a", "a", "b", "b"], "x_um": XY[:, 0], "y_um": XY[:, 1],
         "region": ["L1", "L2", "L1", "L1"], "score": [0.1, 0.2, 0.3, np.nan], "mm": [1, 1, 2, 2]}
    )  # fmt: skip
    path = tmp_path / f"t{suffix}"
    table.to_parquet(path) if suffix == ".parquet" else table.to_csv(path, index=False)
    mapping = ReadMapping(numbers={"confidence:region": "score"}, position="mm")
    one, two = read_table(path, mapping)
    assert (one.n_cells, one.genes, one.unit) == (2, (), "none")
    assert [c.name for c in one.labels["region"].categories] == ["L1", "L2"]
    assert np.isnan(two.numbers[LayerKey("confidence", "region")][1])
    assert [s.fields["position"] for s in scan_file(path, mapping).sections] == [1.0, 2.0]


def test_all_faults_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    bad = COUNTS.copy()
    bad[0, 0], bad[1, 1] = np.nan, -4
    xy = XY.copy()
    xy[2, 0] = np.nan
    content = data(X=sparse.csr_matrix(bad), obsm={"spatial": xy})
    content.obs_names = ["c0", "c0", "c2", "c3"]
    with pytest.raises(BadFile) as caught:
        scan_file(saved(tmp_path, content), ReadMapping(labels={"type": LabelMap("cell_typ")}))
    told = " ".join(str(fault) for fault in caught.value.faults)
    for words in ("cell_typ'", "no coordinates (NaN)", "not finite", "below zero", "c0"):
        assert words in told
    assert len(caught.value.faults) == 5


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_cells_are_refused(tmp_path: Path, n: int) -> None:
    with pytest.raises(BadFile, match=f"there are {n} cells"):
        read_h5ad(saved(tmp_path, data()[:n].copy()))


def test_a_file_without_coordinates_says_what_there_is(tmp_path: Path) -> None:
    path = saved(tmp_path, data(obsm={"X_umap": XY}))
    with pytest.raises(BadFile, match="obsm has X_umap"):
        read_h5ad(path)


@pytest.mark.parametrize(
    "content", [b"", b"not hdf5 at all", b"\x89HDF\r\n\x1a\n" + b"\0" * 60], ids=repr
)
def test_what_is_no_h5ad_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.h5ad"
    path.write_bytes(content)
    with pytest.raises(BadFile, match="not an HDF5 file, or cut short"):
        read_h5ad(path)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, data())
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(BadFile):
        read_h5ad(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="no such file"):
        read_h5ad(tmp_path / "none.h5ad")


def test_ids_are_safe_as_file_names() -> None:
    assert safe_id("a/b ../c:d") == "a_b_.._c_d"
    assert safe_id("../..") == "section"
