"""The pair model: symmetry, a planted arrangement, seeds, and the closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.core.errors import NoSharedGenes
from backend.models.spatialformer.measures import auc, jensen_shannon, pair_aucs
from backend.models.spatialformer.pair_features import Described, pair_features, products
from backend.models.spatialformer.pairs import sample_pairs
from backend.models.spatialformer.partners import fit_pairs, make_training
from tests.models.spatialformer.planted import patches, section_of


def _described(seed: int) -> Described:
    random = np.random.default_rng(seed)
    h, n, t = random.normal(size=(5, 4)), random.normal(size=(5, 4)), random.normal(size=(5, 3))
    return Described(h, [n, n + 1], [t, t - 1], random.normal(size=(5, 2)))


def test_the_order_of_two_cells_does_not_matter() -> None:
    a, b = _described(0), _described(1)
    assert np.array_equal(pair_features(a, b), pair_features(b, a))
    assert np.allclose(products(a, b), products(b, a))


def test_thirty_components_make_133_features() -> None:
    h, t = np.ones((1, 30)), np.ones((1, 10))
    one = Described(h, [h, h], [t, t])
    assert pair_features(one, one).shape == (1, 133)


def test_neighbours_of_an_unseen_section_score_higher() -> None:
    train, _ = patches(1)
    test, _ = patches(2)
    model = fit_pairs(make_training([train], 0))
    cells, pairs = model.describe(test), sample_pairs(test.xy, 9)
    found = pair_aucs(model.logits(cells.rows(pairs.a), cells.rows(pairs.b)), pairs)
    assert found["hard"] > 0.75
    quick = pair_aucs(model.quick_scores(cells.rows(pairs.a), cells.rows(pairs.b)), pairs)
    assert quick["hard"] > 0.7
    one = cells.rows(np.array([4]))
    assert np.allclose(
        model.logits(one, cells)[7], model.logits(cells.rows(np.array([7])), one)[0], atol=1e-5
    )


def test_one_seed_gives_one_model() -> None:
    train, _ = patches(1, 700)
    first, again = (fit_pairs(make_training([train], 5)) for _ in range(2))
    assert np.array_equal(first.head.weight, again.head.weight)


def test_a_section_without_shared_genes_is_refused() -> None:
    train, _ = patches(1, 700)
    model = fit_pairs(make_training([train], 5))
    other = section_of(np.ones((3, 2)), np.zeros((3, 2)))
    other = type(other)(other.id, "foreign", other.xy, csr_matrix(other.counts), ("x", "y"),
                        other.names)  # fmt: skip
    with pytest.raises(NoSharedGenes):
        model.describe(other)


def test_auc_and_divergence_of_known_values() -> None:
    assert auc(np.array([2.0, 3.0]), np.array([1.0, 2.0])) == 0.875
    p = np.array([[1.0, 0.0], [0.5, 0.5]])
    q = np.array([[0.0, 1.0], [0.5, 0.5]])
    assert jensen_shannon(p, q) == pytest.approx([np.log(2), 0.0])
