import numpy as np

from backend.models.soscope.image_features import image_components


def features(n=80, seed=0):
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n, 3))
    return (hidden @ rng.normal(size=(3, 9)) + 0.1 * rng.normal(size=(n, 9))).astype(np.float32)


def test_components_are_at_most_sixteen_and_a_quarter_of_the_parents():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 30)).astype(np.float32)
    one = np.zeros(200, int)
    assert image_components(values, one, 400).shape == (200, 16)
    assert image_components(values, one, 20).shape == (200, 5)


def test_spread_of_a_component_is_the_root_of_its_variance():
    values = features()
    scored = (values - values.mean(0)) / values.std(0)
    variance = np.sort(np.linalg.eigvalsh(np.cov(scored.T, bias=True)))[::-1]
    got = image_components(values, np.zeros(80, int), 12)
    assert np.allclose(got.var(axis=0), np.sqrt(variance[:3]), rtol=1e-3)


def test_a_section_stained_darker_is_not_another_tissue():
    values = features(60)
    both = np.concatenate([values, 3 * values + 5])
    got = image_components(both, np.repeat([0, 1], 60), 40)
    assert np.allclose(got[:60], got[60:], atol=1e-3)


def test_features_that_do_not_vary_add_nothing():
    values = features()
    more = np.column_stack([values, np.full(80, 7, np.float32)])
    assert np.allclose(
        image_components(values, np.zeros(80, int), 12),
        image_components(more, np.zeros(80, int), 12),
        atol=1e-4,
    )


def test_constant_images_give_zeros():
    got = image_components(np.ones((10, 69), np.float32), np.zeros(10, int), 8)
    assert not got.any()
