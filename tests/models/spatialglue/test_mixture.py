from __future__ import annotations

import numpy as np
from sklearn.mixture import GaussianMixture

from backend.core.job import RunContext
from backend.models.spatialglue.consensus import adjusted_rand
from backend.models.spatialglue.domains import knee_of, suggest_count
from backend.models.spatialglue.mixture import fit_mixture, refit, shared_gaussians


def _blobs(n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, n)
    centres = np.array([[0, 0, 0], [4, 0, 1], [0, 5, -1]], float)
    skew = np.array([[1, 0.6, 0], [0, 1, 0], [0, 0.3, 0.5]])
    return centres[labels] + rng.normal(size=(n, 3)) @ skew, labels


def test_blobs_with_one_covariance_are_found() -> None:
    x, truth = _blobs()
    found = fit_mixture(x, 3, np.random.default_rng(1))
    assert adjusted_rand(found.posterior(x).argmax(axis=1), truth) > 0.95
    np.testing.assert_allclose(found.posterior(x).sum(axis=1), 1)


def test_likelihood_and_criterion_are_those_of_the_tied_mixture() -> None:
    x, truth = _blobs()
    ours = refit(x, np.eye(3)[truth])
    theirs = GaussianMixture(3, covariance_type="tied", random_state=0, n_init=3, tol=1e-8).fit(x)
    np.testing.assert_allclose(ours.log_likelihood / len(x), theirs.score(x), atol=1e-4)
    np.testing.assert_allclose(ours.bic(len(x)), -theirs.bic(x), rtol=1e-4)


def test_far_from_the_origin_nothing_is_lost() -> None:
    x, _ = _blobs()
    near, far = (fit_mixture(x + s, 3, np.random.default_rng(2)) for s in (0.0, 1e5))
    # equally good starts may name the components otherwise
    a, b = (np.sort(p, axis=1) for p in (near.posterior(x), far.posterior(x + 1e5)))
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_given_classes_are_described_without_iterating() -> None:
    x = np.array([[0.0], [2.0], [10.0], [12.0]])
    found = shared_gaussians(x, np.eye(2)[[0, 0, 1, 1]])
    np.testing.assert_allclose(found.means, [[1], [11]])
    np.testing.assert_allclose(found.covariance, [[1]], rtol=1e-5)
    np.testing.assert_allclose(found.share, [0.5, 0.5])


def test_the_same_seed_gives_the_same_mixture() -> None:
    x, _ = _blobs()
    a, b = (fit_mixture(x, 4, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(a.means, b.means)


def test_the_knee_is_where_a_curve_bends() -> None:
    assert knee_of({1: 0.0, 2: 10, 3: 20, 4: 30, 5: 31, 6: 32, 7: 33}) == 4
    assert knee_of({1: 5.0, 2: 5, 3: 5}) == 1


def test_the_number_of_blobs_is_suggested_and_confirmed() -> None:
    x, _ = _blobs()
    found = suggest_count(x, 0, RunContext(), most=6)
    assert (found.count, found.knee, found.is_confirmed) == (3, 3, True)
    assert set(found.bic) == {1, 2, 3, 4, 5, 6}
    assert found.as_json()["silhouette_choice"] == 3
