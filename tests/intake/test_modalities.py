"""A look at multi-omics files: what they hold, how spots can be joined, what is wrong."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from backend.core.settings import Limits
from backend.intake.modalities import look_at_modalities


def written(path: Path, names: list[str], features: list[str], seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    data = anndata.AnnData(
        csr_matrix(rng.poisson(3.0, (len(names), len(features))).astype(np.float32)),
        obs=pd.DataFrame({"region": ["a", "b"] * (len(names) // 2)}, index=names),
        var=pd.DataFrame(index=features),
        obsm={"spatial": rng.random((len(names), 2)) * 100},
    )
    data.write_h5ad(path)
    return path


SPOTS = [f"spot{i}" for i in range(20)]


@pytest.fixture
def rna(tmp_path: Path) -> Path:
    return written(tmp_path / "rna.h5ad", SPOTS, [f"g{i}" for i in range(30)])


def test_files_of_the_same_spots_are_taken_as_they_are(rna: Path, tmp_path: Path) -> None:
    protein = written(tmp_path / "protein.h5ad", SPOTS, ["CD3", "CD4"], 1)
    found = look_at_modalities([rna, protein], Limits())
    assert found.ok
    assert (found.align, found.n_spots, found.ways) == ("strict", 20, ())
    assert [(m["name"], m["kind"], m["features"]) for m in found.modalities] == [
        ("rna", "rna", 30),
        ("protein", "protein", 2),
    ]
    assert found.labels == (("region", 2),)


def test_spots_in_another_order_are_offered_by_name(rna: Path, tmp_path: Path) -> None:
    protein = written(tmp_path / "protein.h5ad", SPOTS[::-1], ["CD3", "CD4"], 1)
    found = look_at_modalities([rna, protein], Limits())
    assert found.ok
    assert found.align == "name"
    assert "order" in found.differ


def test_spots_that_differ_are_counted_for_both_ways(rna: Path, tmp_path: Path) -> None:
    protein = written(tmp_path / "protein.h5ad", SPOTS[:10], ["CD3", "CD4"], 1)
    found = look_at_modalities([rna, protein], Limits())
    assert dict(found.ways) == {"name": 10, "union": 20}


def test_files_that_cannot_be_read_are_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "notes.h5ad"
    path.write_text("no section")
    found = look_at_modalities([path], Limits())
    assert not found.ok
    assert found.faults
    assert found.as_json()["ok"] is False
