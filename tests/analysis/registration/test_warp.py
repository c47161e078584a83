import numpy as np

from backend.analysis.registration.warp import LEAST, MOST, Warp, pulled, still


def _still():
    return still(np.array([0.0, 0.0]), np.array([2000.0, 2000.0]), 100.0, 500.0)


def test_pulls_that_cross_never_fold_the_plane():
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 2000, (400, 2))
    pull = np.where(places[:, :1] < 1000, 1, -1) * np.array([[3000.0, 0.0]])  # each over the other
    warp = _still()
    for _ in range(30):
        warp = pulled(warp, places, pull, np.ones(400), 150.0, 2000.0)
    jacobian = warp.jacobian()
    assert jacobian.min() >= LEAST
    assert jacobian.max() <= MOST
    assert np.abs(warp.field).max() > 50.0


def test_the_corner_jacobian_sees_a_fold():
    field = np.zeros((2, 3, 4))
    field[0, :, 1] = 150.0  # the second column passes the third
    assert Warp(field, np.zeros(2), 100.0).jacobian().min() < 0


def test_the_way_back_undoes_the_warp():
    rng = np.random.default_rng(1)
    places = rng.uniform(0, 2000, (300, 2))
    warp = _still()
    for _ in range(10):
        warp = pulled(warp, places, 0.1 * (places[::-1] - places), np.ones(300), 300.0, 400.0)
    assert np.abs(warp.field).max() > 10.0
    np.testing.assert_allclose(warp(warp.back(places)), places, atol=0.5)


def test_a_pull_moves_its_surroundings_and_not_the_border():
    warp = _still()
    for _ in range(20):
        at = np.full((50, 2), 1000.0)
        left = np.array([[80.0, 0.0]]) - warp.at(at)
        warp = pulled(warp, at, left, np.ones(50), 300.0, 400.0)
    assert warp.at(np.array([[1000.0, 1000.0]]))[0, 0] > 40.0
    assert np.abs(warp.field[:, 0]).max() == 0.0
