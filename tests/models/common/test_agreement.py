from __future__ import annotations

import numpy as np
import pytest

from backend.models.common.agreement import (
    agreement,
    cluster_agreement,
    cluster_ari,
    cross_section_accuracy,
    effective_sections,
    gene_r,
    mixing,
)

RNG = np.random.default_rng(0)
CODES = np.repeat([0, 1], 60)
APART = RNG.normal(0, 0.1, (120, 3)) + 5 * CODES[:, None]
SECTIONS = np.tile([0, 1], 60)


def test_separate_classes_agree_with_their_clusters_and_noise_does_not() -> None:
    assert cluster_ari(APART, CODES) == 1.0
    assert abs(cluster_ari(RNG.normal(size=(120, 3)), CODES)) < 0.1


def test_mixing_is_near_one_where_sections_coincide_and_zero_where_they_are_apart() -> None:
    assert mixing(APART, SECTIONS, k=20) > 0.9
    assert mixing(APART, CODES, k=20) == 0.0


def test_information_of_the_same_classes_under_other_names_is_one() -> None:
    assert agreement(1 - CODES, CODES) == (1.0, pytest.approx(1.0))
    assert cluster_agreement(APART, CODES) == (1.0, pytest.approx(1.0))


def test_there_are_two_effective_sections_where_two_coincide_and_one_where_they_are_apart() -> None:
    assert np.median(effective_sections(APART, SECTIONS, 10)) > 1.8
    np.testing.assert_allclose(effective_sections(APART, CODES, 10), 1.0)


def test_neighbours_that_are_equally_far_count_alike() -> None:
    ring = np.stack([np.cos(np.arange(12) * np.pi / 6), np.sin(np.arange(12) * np.pi / 6)], 1)
    star = np.vstack([np.zeros((1, 2)), ring])
    sections = np.r_[0, np.repeat([0, 1, 2], 4)]
    assert effective_sections(star, sections, 4)[0] == pytest.approx(3.0, rel=1e-3)


def test_cells_of_other_sections_vote() -> None:
    assert cross_section_accuracy(APART, CODES, SECTIONS, k=5) == 1.0
    # Every class lives in one section: all neighbours are of the other class.
    assert cross_section_accuracy(APART, CODES, CODES, k=5) == 0.0


def test_r_is_per_gene_and_zero_for_a_constant() -> None:
    truth = np.array([[1.0, 1.0, 1.0], [2.0, 5.0, 2.0], [3.0, 0.0, 3.0]])
    guess = np.array([[2.0, 7.0, 3.0], [4.0, 7.0, 2.0], [6.0, 7.0, 1.0]])
    assert gene_r(guess, truth).tolist() == pytest.approx([1.0, 0.0, -1.0])
