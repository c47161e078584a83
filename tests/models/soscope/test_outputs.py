import numpy as np

from backend.models.soscope import outputs
from backend.models.soscope.layouts import subdivided
from tests.models.soscope.planted import grid


def test_split_keeps_the_counts_of_every_spot() -> None:
    rng = np.random.default_rng(0)
    layout = subdivided(grid(3), 2)
    totals = rng.poisson(3, (9, 5)).astype(np.float64)
    rates, linear = rng.gamma(1, 1, (36, 5)), rng.gamma(1, 1, (36, 5))
    linear[:4] = 0
    found = outputs.split(layout, rates, linear, totals, 0.5)
    np.testing.assert_allclose(layout.sums() @ found, totals, rtol=1e-12, atol=1e-12)


def test_without_weight_on_the_model_split_is_rescaled_interpolation() -> None:
    layout = subdivided(grid(3), 2)
    linear = np.tile([1.0, 2.0, 3.0, 4.0], 9)[:, None]
    found = outputs.split(layout, np.ones((36, 1)), linear, np.full((9, 1), 20.0), 0.0)
    np.testing.assert_allclose(found[:4, 0], [2, 4, 6, 8])


def test_kappa_is_the_shape_that_counts_were_drawn_with() -> None:
    rng = np.random.default_rng(0)
    model = np.full((20_000, 2), 10.0)
    totals = rng.poisson(model * np.column_stack([rng.gamma(5, 1 / 5, 20_000), np.ones(20_000)]))
    found = outputs.kappa(model, totals.astype(np.float64))
    assert 4.5 < found[0] < 5.5
    assert found[1] > 100


def test_rate_is_the_mean_of_the_posterior() -> None:
    layout = subdivided(grid(3), 2)
    rates = np.full((36, 1), 2.0)
    totals = np.array([0, 4, 6, 8, 8, 8, 10, 12, 16], np.float64)[:, None]
    found, kappa = outputs.rate(layout, rates, rates, totals)
    weight = float(kappa[0])
    np.testing.assert_allclose(found[:4, 0], 2 * weight / (weight + 8))
    np.testing.assert_allclose(found[-4:, 0], 2 * (weight + 16) / (weight + 8))


def test_a_copy_has_no_detail_and_a_difference_is_told_in_counting_noise() -> None:
    layout = subdivided(grid(3), 2)
    copy = np.full((36, 2), 4.0)
    assert outputs.squared_detail(layout, copy).max() == 0
    copy[0] = 8.0  # the mean of its spot is 5, so the others are 1 below
    found = outputs.squared_detail(layout, copy)
    np.testing.assert_allclose(found[:5], [2 * 9 / 5, 2 / 5, 2 / 5, 2 / 5, 0])


def test_residuals_are_told_in_the_variance_of_the_model() -> None:
    found = outputs.squared_residuals(
        np.array([[12.0, 4.0]]), np.array([[8.0, 4.0]]), np.array([8.0, 1.0])
    )
    np.testing.assert_allclose(found, [16 / (8 + 8)])
