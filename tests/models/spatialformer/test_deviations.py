"""Deviations from type and surroundings, sparse and dense."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.models.spatialformer import deviations as module
from backend.models.spatialformer.deviations import deviations
from backend.models.spatialformer.pair_effects import RIDGE, covariance
from backend.models.spatialformer.type_contacts import find_contacts
from tests.models.spatialformer.planted import contacts


def dense_deviations(x: np.ndarray) -> np.ndarray:
    """Half the standardised values, half the standardised detection, of a type."""
    seen = (x > 0).astype(float)
    values = np.clip((x - x.mean(0)) / x.std(0), -4, 4)
    return 0.5 * values + 0.5 * (seen - seen.mean(0)) / np.maximum(seen.std(0), 0.05)


def some_values() -> np.ndarray:
    random = np.random.default_rng(0)
    return random.poisson(0.8, (60, 7)) * random.uniform(0.5, 2.0, (60, 7))


def test_sparse_deviations_are_the_dense_ones_less_their_surroundings() -> None:
    x = some_values()
    around = csr_matrix(np.random.default_rng(1).uniform(0, 0.01, (60, 60)))
    found = deviations(csr_matrix(x), np.arange(60), np.arange(60), around)
    whole = dense_deviations(x)
    assert found.genes.tolist() == list(range(7))
    np.testing.assert_allclose(
        found.dense(slice(None)), whole - around.toarray() @ whole, atol=1e-6
    )


def test_the_step_is_how_far_removal_lowers_a_cell_that_shows_the_gene() -> None:
    x = some_values()
    none = csr_matrix((60, 60))
    found = deviations(csr_matrix(x), np.arange(60), np.arange(60), none)
    whole, shows = dense_deviations(x), x > 0
    lowered = [whole[shows[:, g], g].mean() - whole[~shows[:, g], g][0] for g in range(7)]
    np.testing.assert_allclose(found.step, lowered, atol=1e-6)


def test_blocks_of_genes_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = deviations(
        csr_matrix(some_values()), np.arange(60), np.arange(60), csr_matrix((60, 60))
    )
    whole = covariance(found)
    plain = np.cov(found.dense(slice(None)).T, bias=True) + RIDGE * np.eye(7)
    np.testing.assert_allclose(whole, plain, atol=1e-9)
    monkeypatch.setattr(module, "GENES", 3)
    np.testing.assert_allclose(covariance(found), whole, atol=1e-12)


def test_a_gene_shown_by_few_is_left_out_and_the_most_shown_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = some_values()
    x[3:, 2] = 0
    x[:2, 2] = 1
    monkeypatch.setattr(module, "MOST_GENES", 4)
    found = deviations(csr_matrix(x), np.arange(60), np.arange(60), csr_matrix((60, 60)))
    assert len(found.genes) == 4
    assert 2 not in found.genes


def test_every_contacting_cell_counts_once_and_surroundings_weigh_less_than_one() -> None:
    section, label = contacts(1)
    found = find_contacts(section.xy, label.codes == 0, label.codes == 1)
    rows = np.asarray(found.margin().sum(axis=1)).ravel()
    np.testing.assert_allclose(rows, 0, atol=1e-6)
    positive = found.margin().multiply(found.margin() > 0)
    np.testing.assert_allclose(np.asarray(positive.sum(axis=1)).ravel(), 1, atol=1e-5)
    weight = np.asarray(found.around_a.sum(axis=1)).ravel()
    assert 0 <= weight.min() <= weight.max() < 1
