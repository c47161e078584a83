"""Reading multi-omics files, and refusing those whose spots do not fit, with a remedy."""

from __future__ import annotations

import warnings
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from anndata.io import write_elem
from scipy.sparse import csr_matrix

from backend.core.errors import BadFile, BadRequest
from backend.intake.multiomics import kind_of, read_multiomics

N = 5
RNA = np.arange(N * 3).reshape(N, 3) % 4
ADT = np.arange(N * 2).reshape(N, 2) % 3 + 1
NAMES = [f"s{i}" for i in range(N)]
XY = np.stack([np.arange(N), np.arange(N) ** 2], axis=1).astype(float)


def _data(values: np.ndarray, names: list[str], *, xy: np.ndarray | None = XY, prefix: str = "f"):
    data = anndata.AnnData(
        csr_matrix(values.astype(np.float32)),
        obs=pd.DataFrame({"region": pd.Categorical(["a", "b", "a", "b", "a"][: len(names)])},
                         index=names),
        var=pd.DataFrame(index=[f"{prefix}{j}" for j in range(values.shape[1])]),
    )  # fmt: skip
    if xy is not None:
        data.obsm["spatial"] = xy[: len(names)]
    return data


def _write(path: Path, data: anndata.AnnData) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.write_h5ad(path)
    return path


def _pair(folder: Path, adt: anndata.AnnData) -> list[Path]:
    return [_write(folder / "my_rna.h5ad", _data(RNA, NAMES)), _write(folder / "my_adt.h5ad", adt)]


def _h5mu(path: Path, adt_names: list[str], *, shared_places: bool = False) -> Path:
    with h5py.File(path, "w") as file:
        mods = file.create_group("mod")
        xy = None if shared_places else XY
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            write_elem(mods, "rna", _data(RNA, NAMES, xy=xy))
            write_elem(mods, "prot", _data(ADT[: len(adt_names)], adt_names, xy=xy, prefix="p"))
            write_elem(file, "obs", pd.DataFrame(index=NAMES))
            write_elem(file, "var", pd.DataFrame(index=["f0", "f1", "f2", "p0", "p1"]))
            write_elem(file, "obsm", {"spatial": XY} if shared_places else {})
        mods.attrs["mod-order"] = ["rna", "prot"]
    return path


def test_a_pair_of_files_is_one_section(tmp_path: Path) -> None:
    paths = _pair(tmp_path, _data(ADT, NAMES, xy=None, prefix="p"))
    section = read_multiomics(paths)
    rna, protein = section.modalities
    assert (rna.name, rna.kind, protein.name, protein.kind) == ("rna", "rna", "protein", "protein")
    np.testing.assert_array_equal(rna.values.toarray(), RNA)
    np.testing.assert_array_equal(protein.values.toarray(), ADT)
    assert protein.features == ("p0", "p1")
    np.testing.assert_array_equal(section.xy, XY)
    assert section.names.tolist() == NAMES
    assert section.labels["region"].codes.tolist() == [0, 1, 0, 1, 0]
    assert section.genes == rna.features


@pytest.mark.parametrize("shared", [False, True], ids=["own places", "shared places"])
def test_an_h5mu_file_is_read_without_mudata(tmp_path: Path, shared: bool) -> None:
    section = read_multiomics([_h5mu(tmp_path / "d.h5mu", NAMES, shared_places=shared)])
    assert [(m.name, m.kind) for m in section.modalities] == [("rna", "rna"), ("prot", "protein")]
    np.testing.assert_array_equal(section.xy, XY)
    assert all(m.present.all() for m in section.modalities)


@pytest.mark.parametrize("column", ["feature_type", "feature_types"])
def test_one_matrix_is_split_by_the_type_of_its_features(tmp_path: Path, column: str) -> None:
    data = _data(np.hstack([RNA, ADT]), NAMES)
    data.var[column] = ["Gene Expression"] * 3 + ["Antibody Capture"] * 2
    data.obsm["image_features"] = np.ones((N, 4), np.float32)
    section = read_multiomics([_write(tmp_path / "one.h5ad", data)])
    assert [m.name for m in section.modalities] == ["rna", "protein", "image"]
    np.testing.assert_array_equal(section.modalities[1].values.toarray(), ADT)
    assert section.modalities[2].values.shape == (N, 4)


def test_reordered_spots_are_refused_and_sorted_on_demand(tmp_path: Path) -> None:
    order = [2, 0, 1, 4, 3]
    paths = _pair(tmp_path, _data(ADT[order], [NAMES[i] for i in order], xy=XY[order]))
    with pytest.raises(BadFile, match="another order") as caught:
        read_multiomics(paths)
    assert "--align name" in str(caught.value)
    section = read_multiomics(paths, align="name")
    np.testing.assert_array_equal(section.modalities[1].values.toarray(), ADT)


def test_different_spots_are_refused_and_joined_on_demand(tmp_path: Path) -> None:
    paths = _pair(tmp_path, _data(ADT[:4], ["s1", "s2", "s3", "new"], xy=XY[[1, 2, 3, 0]] + 100))
    with pytest.raises(BadFile, match="1 of its 4 spots are not in rna, and 2 of rna") as caught:
        read_multiomics(paths)
    assert "keep the 3 spots that both have" in str(caught.value)
    both = read_multiomics(paths, align="name")
    assert both.names.tolist() == ["s1", "s2", "s3"]
    every = read_multiomics(paths, align="union")
    assert every.names.tolist() == [*NAMES, "new"]
    protein = every.modalities[1]
    assert protein.present.tolist() == [False, True, True, True, False, True]
    np.testing.assert_array_equal(protein.values.toarray()[[0, 1, 5]], [[0, 0], ADT[0], ADT[3]])
    np.testing.assert_array_equal(every.xy[5], XY[0] + 100)
    assert every.modalities[0].present.tolist() == [True] * 5 + [False]


def test_spots_of_other_names_are_no_pair(tmp_path: Path) -> None:
    paths = _pair(tmp_path, _data(ADT, [f"x{i}" for i in range(N)]))
    with pytest.raises(BadFile, match="none of its 5 spots is named like"):
        read_multiomics(paths, align="union")


def test_all_that_is_wrong_with_the_files_is_told_at_once(tmp_path: Path) -> None:
    adt = _data(ADT, NAMES, xy=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adt.obs_names = ["s0", "s0", "s2", "s3", "s4"]
    rna = _write(tmp_path / "rna.h5ad", _data(RNA, NAMES, xy=None))
    with pytest.raises(BadFile, match="4 problems") as caught:
        read_multiomics([rna, _write(tmp_path / "adt.h5ad", adt)])
    said = str(caught.value)
    assert "no coordinates" in said
    assert "names of spots repeat" in said
    assert "are not in rna" in said


def test_links_that_lead_elsewhere_are_refused(tmp_path: Path) -> None:
    path = _h5mu(tmp_path / "d.h5mu", NAMES)
    other = _write(tmp_path / "other.h5ad", _data(ADT, NAMES))
    with h5py.File(path, "a") as file:
        del file["mod/prot/X"]
        file["mod/prot/X"] = h5py.ExternalLink(str(other), "X")
    with pytest.raises(BadFile, match="link that leads elsewhere"):
        read_multiomics([path])


def test_what_is_no_file_of_ours_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "a.h5ad"
    text.write_text("hello")
    with pytest.raises(BadFile, match="not an .h5ad file"):
        read_multiomics([text])
    with pytest.raises(BadFile, match="no such file"):
        read_multiomics([tmp_path / "absent.h5mu"])
    with pytest.raises(BadRequest, match="No file"):
        read_multiomics([])


def test_kinds_follow_names_or_what_a_person_says(tmp_path: Path) -> None:
    assert [kind_of(n) for n in ("Gene Expression", "ADT", "H3K27ac", "Peaks", "qq")] == [
        "rna", "protein", "atac", "atac", None,
    ]  # fmt: skip
    path = _write(tmp_path / "thing.h5ad", _data(RNA, NAMES))
    assert read_multiomics([path]).modalities[0].kind == "rna"
    assert read_multiomics([path], kinds={"rna": "atac"}).modalities[0].kind == "atac"
    with pytest.raises(BadRequest, match="Kind 'xx'"):
        read_multiomics([path], kinds={"rna": "xx"})
    with pytest.raises(BadRequest, match="no modality 'yy'"):
        read_multiomics([path], kinds={"yy": "rna"})


def test_one_type_for_all_features_tells_the_kind(tmp_path: Path) -> None:
    data = _data(ADT, NAMES)
    data.var["feature_type"] = "Antibody Capture"
    (own,) = read_multiomics([_write(tmp_path / "thing.h5ad", data)]).modalities
    assert (own.name, own.kind) == ("protein", "protein")
