from __future__ import annotations

import numpy as np

from backend.models.common.logistic import LARGEST_CLASS_WEIGHT, class_weights, fit_logistic


def test_separable_classes_are_told_apart() -> None:
    x = np.array([[-1.0], [-0.9], [1.0], [1.1]])
    codes = np.array([0, 0, 1, 1])
    w, b = fit_logistic(x, codes, 2, np.ones(4), ridge=0.01)
    assert (x @ w + b).argmax(axis=1).tolist() == [0, 0, 1, 1]


def test_fit_is_a_stationary_point_of_the_stated_loss() -> None:
    rng = np.random.default_rng(0)
    x, codes = rng.normal(size=(200, 3)), rng.integers(0, 3, 200)
    w, b = fit_logistic(x, codes, 3, np.ones(200), ridge=10.0, iterations=500)
    scores = x @ w + b
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    gradient = x.T @ (p - np.eye(3)[codes]) / 200 + 10.0 / 200 * w
    assert np.abs(gradient).max() < 1e-4


def test_rare_class_weighs_more_but_not_without_bound() -> None:
    codes = np.array([0] * 9999 + [1])
    weight = class_weights(codes, 2)
    assert abs(weight.mean() - 1) < 1e-12
    assert 1 < weight[-1] / weight[0] <= LARGEST_CLASS_WEIGHT * 1.5
