from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

from backend.models.common.calibration import (
    beyond_chance,
    calibration_error,
    error_by_chance,
    fit_pool,
    fit_temperature,
    negative_log_likelihood,
    pooled,
    probabilities,
    reliability,
    tail_probability,
    threshold_for,
    threshold_table,
)


def overconfident(n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(n, 3))
    p = probabilities(honest, 1.0)
    truth = (rng.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    return 4 * honest, truth


def test_temperature_of_logits_four_times_too_large_is_four() -> None:
    logits, truth = overconfident()
    assert abs(fit_temperature(logits, truth) - 4) < 0.4


def test_temperature_improves_the_likelihood() -> None:
    logits, truth = overconfident()
    t = fit_temperature(logits, truth)
    assert negative_log_likelihood(logits, truth, t) < negative_log_likelihood(logits, truth) - 0.1


def test_pool_of_one_voice_is_a_temperature() -> None:
    logits, truth = overconfident()
    (weight,) = fit_pool([log_softmax(logits, axis=1)], truth)
    assert abs(1 / weight - fit_temperature(logits, truth)) < 0.05


def test_pool_listens_to_the_voice_that_knows() -> None:
    logits, truth = overconfident()
    noise = log_softmax(np.random.default_rng(1).normal(size=logits.shape), axis=1)
    voices = [noise, log_softmax(logits / 4, axis=1)]
    weights = fit_pool(voices, truth)
    assert weights[0] < 0.1
    assert abs(weights[1] - 1) < 0.1
    before = negative_log_likelihood(noise, truth)
    assert negative_log_likelihood(pooled(voices, weights), truth) < before - 0.1


def test_error_of_calibrated_cells_is_what_chance_explains() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1, 1000)
    chance = error_by_chance(confidence)
    assert 0.02 < chance < 0.05
    found = calibration_error(reliability(confidence, rng.random(1000) < confidence))
    assert found < 2 * chance
    assert error_by_chance(np.ones(50)) == 0
    assert abs(beyond_chance(0.05, 0.03) - 0.04) < 1e-12
    assert beyond_chance(0.02, 0.03) == 0


def test_threshold_leaves_at_most_the_stated_error() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    right = np.array([True, True, False, True, False])
    row = threshold_for(confidence, right, 0.25)
    assert (row.threshold, row.kept, row.error) == (0.6, 0.8, 0.25)


def test_threshold_is_zero_where_all_may_be_kept() -> None:
    assert threshold_for(np.array([0.4, 0.3]), np.array([True, True]), 0.1).threshold == 0.0


def test_threshold_is_never_below_the_least() -> None:
    row = threshold_for(np.array([0.9, 0.3]), np.array([True, True]), 0.1, least=0.5)
    assert (row.threshold, row.kept, row.error) == (0.5, 0.5, 0.0)


def test_tied_cells_are_kept_or_left_together() -> None:
    confidence = np.array([0.9, 0.5, 0.5, 0.5])
    right = np.array([True, True, False, False])
    assert threshold_for(confidence, right, 0.4).threshold == 0.9


def test_unreachable_error_gives_the_least_there_is() -> None:
    row = threshold_for(np.array([0.9, 0.8]), np.array([False, True]), 0.1)
    assert row.error == 0.5


def test_table_counts_kept_and_wrong() -> None:
    rows = threshold_table(np.array([0.92, 0.42]), np.array([True, False]))
    assert (rows[0].kept, rows[0].error) == (1.0, 0.5)
    assert (rows[-1].threshold, rows[-1].kept, rows[-1].error) == (0.9, 0.5, 0.0)


def test_tail_is_the_share_of_the_reference_above() -> None:
    tail = tail_probability(np.array([-1.0, 5.0, 10.0, 99.0]), np.linspace(0, 10, 11))
    np.testing.assert_allclose(tail, [1, 0.5, 0, 0])


def test_reliability_of_honest_confidence_lies_on_the_diagonal() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(50_000)
    curve = reliability(confidence, rng.random(50_000) < confidence)
    assert len(curve) == 10
    assert calibration_error(curve) < 0.01
    assert calibration_error(reliability(confidence, rng.random(50_000) < confidence**2)) > 0.1


def test_calibration_error_weighs_ranges_by_their_cells() -> None:
    curve = reliability(np.array([0.95, 0.95, 0.95, 1.0]), np.array([True, True, True, False]))
    assert [(b.n, b.accuracy) for b in curve] == [(4, 0.75)]
    assert abs(calibration_error(curve) - (0.9625 - 0.75)) < 1e-12
