"""The verbs: columns, figures, refusals, the probe and predicted niches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backend.core.errors import BadRequest, TooFewCells
from backend.core.job import RunContext
from backend.core.layers import LayerKey
from backend.models.spatialformer.annotate import annotate, feature_sets
from backend.models.spatialformer.colocalise import ColocaliseParams, colocalise
from backend.models.spatialformer.perturb import PerturbParams, perturb
from backend.models.spatialformer.probe import fit_probe, macro_f1
from tests.models.spatialformer.planted import contacts, patches


def test_partners_of_a_chosen_cell_come_with_layers_and_figures() -> None:
    section, label = patches(3)
    result = colocalise(section, label, np.array([5]), ColocaliseParams(), RunContext())
    layers = {c.layer: c.values for c in result.columns}
    assert {str(k) for k in layers} == {
        "score:partner", "score:niche divergence", "weight:niche A", "weight:niche B",
    }  # fmt: skip
    shares = layers[LayerKey("weight", "niche A")] + layers[LayerKey("weight", "niche B")]
    assert np.allclose(shares, 1, atol=1e-5)
    figures = result.figures
    assert figures["auc"]["Pair model"]["hard"] > figures["auc"]["Pairs of clusters"]["hard"] - 0.05
    assert set(figures["auc_by_radius"]) == {"10", "30", "60"}
    assert np.shape(figures["matrix"]) == (2, 2)
    assert len(figures["niche"]) == 2
    assert 0 <= figures["jsd"] < np.log(2)
    near = np.linalg.norm(section.xy - section.xy[5], axis=1) < 40
    score = layers[LayerKey("score", "partner")]
    assert score[near].mean() > score[~near].mean() + 0.1


def test_dissociated_cells_can_be_the_query() -> None:
    section, label = patches(3)
    query, _ = patches(4, 250)
    query = replace(query, xy=np.full((250, 2), np.nan, np.float32))
    none = np.zeros(0, np.int64)
    result = colocalise(section, label, none, ColocaliseParams(), RunContext(), query=query)
    assert result.figures["query"]["n_cells"] == 250
    assert "without places" in result.figures["query"]["said"]
    assert result.figures["jsd"] is None


def test_gene_pairs_are_listed_with_ligands_and_receptors() -> None:
    section, label = contacts(1, 4.0)
    everywhere = np.ones(section.n_cells, bool)
    pair = {"g3", "g7"}
    params = PerturbParams("A", "B")
    result = perturb(section, label, everywhere, params, RunContext(), lambda a, b: {a, b} == pair)
    first = result.figures["rows"][0]
    assert (first["gene_a"], first["gene_b"]) == ("g3", "g7")
    assert first["is_ligand_receptor"]
    assert first["q_ligand_receptor"] < first["q"]
    assert result.figures["n_ligand_receptor"] == 2


def test_both_missing_types_are_named_at_once() -> None:
    section, label = contacts(1)
    with pytest.raises(BadRequest) as caught:
        perturb(section, label, np.ones(section.n_cells, bool), PerturbParams("X", "Y"),
                RunContext())  # fmt: skip
    assert "no type 'X'" in str(caught.value)
    assert "no type 'Y'" in str(caught.value)


def test_a_section_without_places_is_refused() -> None:
    section, label = contacts(1)
    lost = replace(section, xy=np.full_like(section.xy, np.nan))
    with pytest.raises(BadRequest, match="have no coordinates"):
        colocalise(lost, label, np.zeros(0, np.int64), ColocaliseParams(), RunContext())


def test_the_probe_takes_the_better_features_and_the_scale_of_training() -> None:
    random = np.random.default_rng(0)
    codes = random.integers(0, 3, 300)
    good = np.eye(3)[codes] + random.normal(0, 0.3, (300, 3))
    noise = random.normal(size=(300, 4))
    sets = {"noise": noise, "good": good}
    probe = fit_probe(sets, codes, 0)
    assert set(probe.parts) == {"good"}
    assert macro_f1(codes, probe.codes(sets)) > 0.9
    # One cell by itself is called as it is among others: nothing of the query is standardised.
    alone = {name: x[:1] for name, x in sets.items()}
    assert probe.codes(alone)[0] == probe.codes(sets)[0]
    assert np.allclose(probe(sets).sum(axis=1), 1)


def test_types_of_a_query_without_places_are_named() -> None:
    (train, label), (query, truth) = patches(1), patches(2, 300)
    query = replace(query, xy=np.full((300, 2), np.nan, np.float32))
    result = annotate([train], [label], query, RunContext())
    assert (result.columns[0].values == truth.codes).mean() > 0.9
    assert result.columns[1].values.min() >= 0.5 - 1e-6


def test_blocks_of_cells_and_fewer_genes_do_not_change_what_a_cell_is_called(monkeypatch) -> None:
    (train, label), (query, _) = patches(1), patches(2, 300)
    whole = annotate([train], [label], query, RunContext())
    monkeypatch.setattr("backend.models.spatialformer.annotate.ROWS", 70)
    blocks = annotate([train], [label], query, RunContext())
    assert np.array_equal(whole.columns[0].values, blocks.columns[0].values)
    monkeypatch.setattr("backend.models.spatialformer.annotate.MOST_GENES", 5)
    sets, asked = feature_sets([train], query)
    assert sets.dense()["genes"].shape == (1500, 5)
    assert asked.dense(slice(0, 2))["genes"].shape == (2, 5)


def test_a_probe_needs_two_types() -> None:
    with pytest.raises(TooFewCells, match="two are needed"):
        fit_probe({"x": np.zeros((9, 2))}, np.zeros(9, np.int64), 0)
