"""A weighed section as an atlas: layers, measured features, distributions, what stands out."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.core.data import (
    Column,
    Label,
    Modality,
    ModalityKind,
    Provenance,
    SectionData,
    TaskResult,
)
from backend.core.layers import Category, LayerKey
from backend.runs import weights_atlas
from backend.store.atlas import Atlas

DOMAINS = np.array([0, 0, 0, 1, 1, 1], np.int16)
WEIGHT = np.array([0.9, 0.9, 0.8, 0.1, 0.2, 0.1], np.float32)


def modality(name: str, kind: ModalityKind, features: tuple[str, ...], inside: int) -> Modality:
    """Counts of 9 in the spots of domain ``inside`` for the first feature, 1 elsewhere."""
    values = np.ones((6, len(features)), np.float32)
    values[inside == DOMAINS, 0] = 9
    return Modality(name, kind, csr_matrix(values), features, np.ones(6, bool))


RNA = modality("rna", "rna", ("CD3", "Mbp"), 0)
PROTEIN = modality("protein", "protein", ("cd3", "CD4"), 1)


@pytest.fixture
def section() -> SectionData:
    return SectionData(
        id="two",
        title="Two domains",
        xy=np.array([[0, 0], [0, 9], [0, 5], [9, 0], [9, 9], [9, 5]], np.float32),
        counts=csr_matrix(RNA.values),
        genes=RNA.features,
        names=np.array([f"spot{i}" for i in range(6)], object),
        labels={
            "region": Label(
                DOMAINS[::-1].copy(), (Category("a", "#111111"), Category("b", "#222222"))
            )
        },
        species="human",
        modalities=(RNA, PROTEIN),
    )


@pytest.fixture
def result() -> TaskResult:
    classes = (Category("domain 1", "#0072b2"), Category("domain 2", "#e69f00"))
    domain = {
        "name": "domain 1", "spots": 3, "agreement": 1.0, "moran": 0.5,
        **{key: {"rna": 0.5, "protein": 0.5} for key in weights_atlas.PER_MODALITY},
    }  # fmt: skip
    return TaskResult(
        columns=(
            Column("two", LayerKey("label", "domain"), DOMAINS, classes),
            Column("two", LayerKey("label", "baseline rna alone"), 1 - DOMAINS, classes),
            Column("two", LayerKey("weight", "rna"), WEIGHT),
            Column("two", LayerKey("weight", "protein"), 1 - WEIGHT),
            Column("two", LayerKey("weight", "rna.spread"), WEIGHT / 10),
        ),
        figures={
            "count": 2,
            "modalities": [{"name": "rna"}, {"name": "protein"}],
            "domains": [domain],
        },
        provenance=Provenance("spatialglue", "1.0", {}, 0, ("two",)),
    )


def test_layers_of_a_weighing_say_where_they_come_from(
    tmp_path: Path, section: SectionData, result: TaskResult
) -> None:
    atlas = Atlas.open(weights_atlas.write_weights_atlas(tmp_path / "w.zarr", section, result))
    provenance = atlas.label("domain").provenance
    assert provenance is not None
    assert provenance.model == "spatialglue"
    assert atlas.label("region").provenance is None
    assert atlas.number(LayerKey("weight", "rna")).unit == "share of the evidence"
    assert LayerKey("score", "rna.spread") in atlas.numbers()


def test_weights_stay_with_their_spots(
    tmp_path: Path, section: SectionData, result: TaskResult
) -> None:
    atlas = Atlas.open(weights_atlas.write_weights_atlas(tmp_path / "w.zarr", section, result))
    stored = atlas.load("two")
    order = [int(str(name).removeprefix("spot")) for name in stored.names]
    weight = np.asarray(atlas.number(LayerKey("weight", "rna")).values[:], np.float32)
    assert np.allclose(weight, WEIGHT[order], atol=1e-3)
    assert atlas.label("domain").codes[:].tolist() == DOMAINS[order].tolist()


def test_features_of_all_modalities_are_measured_under_names_of_their_own() -> None:
    counts, names = weights_atlas.measured_features([RNA, PROTEIN])
    assert names == ("CD3", "Mbp", "cd3 (protein)", "CD4")
    assert counts.shape == (6, 4)
    assert counts[:, 0].toarray().ravel().tolist() == [9, 9, 9, 1, 1, 1]


def test_the_spread_of_a_weight_is_counted_per_domain() -> None:
    first, second = weights_atlas.distributions(WEIGHT, DOMAINS, 2)
    assert sum(first) == sum(second) == 3
    assert sum(first[24:]) == 3
    assert sum(second[:7]) == 3


def test_a_domain_stands_out_by_the_feature_that_it_has_more_of() -> None:
    first, second = weights_atlas.distinctive(RNA, DOMAINS, 2)
    assert first[0]["feature"] == "CD3"
    assert first[0]["effect"] > 1
    assert second[0]["feature"] == "Mbp"


def test_the_table_has_a_line_per_domain_and_modality(tmp_path: Path, result: TaskResult) -> None:
    weights_atlas.write_domain_table(tmp_path / "w.csv", result.figures)
    with (tmp_path / "w.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["domain"], r["modality"], r["weight"]) for r in rows] == [
        ("domain 1", "rna", "0.5"),
        ("domain 1", "protein", "0.5"),
    ]
