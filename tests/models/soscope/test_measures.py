import numpy as np
import pytest

from backend.models.soscope.measures import (
    correlations,
    scaled_errors,
    spot_means,
    sum_error,
    within_correlations,
)

PARENTS = np.array([0, 0, 1, 1])
TRUTH = np.array([[1.0], [3.0], [5.0], [9.0]])


def test_copying_the_spot_scores_over_all_but_not_within():
    copied = spot_means(TRUTH, PARENTS)
    assert copied.ravel().tolist() == [2, 2, 7, 7]
    assert correlations(copied, TRUTH)[0] == pytest.approx(0.845, abs=0.001)
    assert within_correlations(copied, TRUTH, PARENTS)[0] == 0


def test_a_multiple_of_the_truth_is_right_but_for_its_sums():
    assert correlations(3 * TRUTH, TRUTH)[0] == pytest.approx(1)
    assert within_correlations(3 * TRUTH, TRUTH, PARENTS)[0] == pytest.approx(1)
    assert scaled_errors(3 * TRUTH, TRUTH)[0] == pytest.approx(0)
    assert sum_error(3 * TRUTH, np.array([[4.0], [14.0]]), PARENTS) == pytest.approx(2)


def test_columns_that_do_not_vary_score_nothing():
    flat = np.ones((4, 1))
    assert correlations(flat, TRUTH)[0] == 0
    assert np.isfinite(scaled_errors(flat, TRUTH)).all()
