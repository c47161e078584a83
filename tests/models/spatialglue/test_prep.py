from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.core.data import Modality, ModalityKind
from backend.models.spatialglue.prep import (
    apply_recipe,
    centred_log_ratio,
    fit_recipe,
    normalised_rna,
    tf_idf,
)


def _modality(values: np.ndarray, kind: ModalityKind = "rna") -> Modality:
    n, p = values.shape
    names = tuple(f"f{j}" for j in range(p))
    return Modality(kind, kind, csr_matrix(values.astype(np.float32)), names, np.ones(n, bool))


def test_rna_is_scaled_to_ten_thousand() -> None:
    x = normalised_rna(csr_matrix([[1.0, 3.0], [0.0, 2.0]])).toarray()
    np.testing.assert_allclose(x, np.log1p([[2500, 7500], [0, 10000]]), rtol=1e-6)


def test_the_log_ratio_of_proteins_counts_zeros() -> None:
    x = centred_log_ratio(csr_matrix([[1.0, 0.0, 3.0], [0.0, 0.0, 0.0]])).toarray()
    centre = np.exp((np.log(2) + np.log(4)) / 3)
    np.testing.assert_allclose(x, [np.log1p([1 / centre, 0, 3 / centre]), [0, 0, 0]], rtol=1e-6)


def test_peaks_are_weighted_by_rarity() -> None:
    x = tf_idf(csr_matrix([[1.0, 1.0], [0.0, 2.0]]), np.array([2.0, 1.0])).toarray()
    np.testing.assert_allclose(x, np.log1p([[1e4 * 2 / 3, 1e4 / 3], [0, 1e4]]), rtol=1e-6)


@pytest.mark.parametrize("kind", ["rna", "protein", "atac"])
def test_a_recipe_gives_new_spots_what_it_gave_the_old(kind: ModalityKind) -> None:
    m = _modality(np.random.default_rng(0).poisson(2.0, (60, 12)), kind)
    recipe = fit_recipe(m, 4, 0)
    whole = apply_recipe(recipe, m)
    assert whole.shape == (60, 4)
    order = np.arange(12)[::-1]
    turned = replace(
        m, values=m.values[:10][:, order], features=m.features[::-1], present=np.ones(10, bool)
    )
    np.testing.assert_allclose(apply_recipe(recipe, turned), whole[:10], atol=1e-4)


def test_components_are_those_of_scaled_counts() -> None:
    m = _modality(np.random.default_rng(1).poisson(3.0, (50, 6)), "protein")
    scores = apply_recipe(fit_recipe(m, 6, 0), m)
    x = centred_log_ratio(m.values).toarray()
    z = (x - x.mean(0)) / x.std(0)
    np.testing.assert_allclose(scores @ scores.T, z @ z.T, atol=1e-3)
    assert np.all(np.diff(scores.var(axis=0)) <= 0)


def test_lsi_of_the_reference_standardises_each_spot_and_drops_the_first() -> None:
    m = _modality(np.random.default_rng(2).poisson(0.7, (40, 30)), "atac")
    recipe = fit_recipe(m, 5, 0, reference_lsi=True)
    scores = apply_recipe(recipe, m)
    assert scores.shape == (40, 5)
    assert recipe.width == 5
    assert recipe.loadings.shape[1] == 6


def test_spots_without_the_modality_are_zero_and_teach_nothing() -> None:
    values = np.random.default_rng(3).poisson(2.0, (40, 8))
    some = np.arange(40) < 30
    m = _modality(values * some[:, None], "protein")
    partly = replace(m, present=some)
    scores = apply_recipe(fit_recipe(partly, 3, 0), partly)
    assert not scores[30:].any()
    alone = _modality(values[:30], "protein")
    np.testing.assert_allclose(scores[:30], apply_recipe(fit_recipe(alone, 3, 0), alone), atol=1e-4)
