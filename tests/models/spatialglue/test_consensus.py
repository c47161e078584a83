from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from backend.models.spatialglue.consensus import adjusted_rand, agree, aligned


def test_renamed_domains_agree() -> None:
    a = np.array([0, 0, 1, 1, 2, 2])
    b = np.array([2, 2, 0, 0, 1, 1])
    np.testing.assert_array_equal(aligned(b, a, 3), a)
    found = agree([a, b, a], 3)
    assert found.pairwise == 1
    np.testing.assert_array_equal(found.agreement, 1)


def test_a_dissenting_member_is_outvoted() -> None:
    a = np.array([0, 0, 0, 1, 1, 1])
    odd = np.array([1, 0, 0, 1, 1, 1])
    found = agree([a, odd, 1 - a], 2)
    np.testing.assert_array_equal(found.labels == found.labels[0], a == 0)
    np.testing.assert_allclose(found.agreement, [2 / 3, 1, 1, 1, 1, 1], rtol=1e-6)


def test_the_rand_index_is_the_usual_one() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, 200), rng.integers(0, 3, 200)
    assert adjusted_rand(a, b) == pytest.approx(adjusted_rand_score(a, b))
    assert adjusted_rand(a, a) == 1
