from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from backend.models.inspire.fields import frequencies, hellinger, kinds_of, strength, tie
from backend.models.inspire.inputs import are_spots, neighbours


def _grid(side: int) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2).astype(float)


def _ones(codes: np.ndarray) -> csr_matrix:
    return csr_matrix((np.ones(len(codes)), (np.arange(len(codes)), codes)))


def test_ties_are_strong_where_neighbours_agree_and_none_where_they_do_not() -> None:
    rng = np.random.default_rng(0)
    near = neighbours(_grid(20))
    halves = np.eye(2)[(np.arange(400) >= 200).astype(int)]
    chance = np.eye(2)[rng.integers(0, 2, 400)]
    assert strength(halves, near @ halves, 3.0) > 5
    assert strength(chance, near @ chance, 3.0) < 1


def test_a_domain_is_a_mixture_of_kinds_that_neighbours_share() -> None:
    rng = np.random.default_rng(1)
    xy = _grid(24)
    truth = (xy[:, 0] >= 12).astype(int)
    kinds = np.where(rng.random(len(xy)) < 0.85, truth, 1 - truth)
    wrong = np.where(rng.random(len(xy)) < 0.35, 1 - truth, truth)
    found = tie(neighbours(xy), _ones(kinds), wrong, 2).likely.argmax(axis=1)
    assert (found == truth).mean() > 0.97
    assert (kinds == truth).mean() < 0.9


def test_the_commoner_kind_of_a_domain_speaks_for_it() -> None:
    likely = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    said = frequencies(_ones(np.array([0, 0, 0, 1])), likely)
    # Pseudo-cells: 3/4 and 1/4 of one. Domain 1 has (2.75, .25) of 3, domain 2 (1.75, 1.25).
    expected = np.log([[2.75 / 3 / 0.75, 1.75 / 3 / 0.75], [0.25 / 3 / 0.25, 1.25 / 3 / 0.25]])
    np.testing.assert_allclose(said[[0, 3]], expected)


def test_kinds_are_groups_of_shares() -> None:
    shares = np.repeat([[0.9, 0.1], [0.1, 0.9]], 30, axis=0)
    codes = kinds_of([shares], 0).toarray().argmax(axis=1)
    assert len(set(codes[:30])) == 1
    assert codes[0] != codes[-1]
    np.testing.assert_allclose(hellinger([np.array([[0.25, 0.75]])])[0], [[0.5, 0.75**0.5]])


def test_spots_lie_evenly_and_far_apart_and_cells_do_not() -> None:
    rng = np.random.default_rng(2)
    assert are_spots(100 * _grid(12))
    assert are_spots(100 * _grid(12) + rng.normal(0, 2, (144, 2)))
    assert not are_spots(8 * _grid(12))
    assert not are_spots(rng.uniform(0, 1_200, (144, 2)))
    assert not are_spots(np.full((5, 2), np.nan))
