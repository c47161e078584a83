from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.core.job import RunContext
from backend.models.inspire.em import (
    SHAPES,
    Settings,
    State,
    fit,
    likelihood_of,
    mean_profile,
    one_pass,
)
from backend.models.inspire.inputs import Cells, Joined, join, neighbours
from backend.models.inspire.kernels import allot, information, log_likelihood, weigh_exposure
from tests.models.inspire.planted import plant

COUNTS = np.array([[2, 0, 1], [0, 3, 0]], dtype=np.float32)
T = np.array([[1.0, 2.0], [0.5, 0.5]])
V = np.array([[0.5, 0.1], [0.3, 0.4], [0.2, 0.5]])


def _csr() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = csr_matrix(COUNTS)
    return x.indptr, x.indices, x.data


def test_counts_are_allotted_in_proportion_to_rates() -> None:
    own, programs = np.zeros((2, 2)), np.zeros((3, 2))
    likelihood = allot(*_csr(), T, V, own, programs)
    rates = T @ V.T
    share = COUNTS[:, :, None] * T[:, None, :] * V[None] / rates[:, :, None]
    np.testing.assert_allclose(own, share.sum(axis=1), rtol=1e-9)
    np.testing.assert_allclose(programs, share.sum(axis=0), rtol=1e-9)
    assert likelihood == pytest.approx(float((COUNTS * np.log(rates)).sum()))


def test_exposure_under_noise_weighs_zeros_too() -> None:
    size = np.array([2.0, 1.0, 4.0])
    exposure, genes = np.zeros((2, 2)), np.zeros((3, 2))
    weigh_exposure(*_csr(), T, V, size, exposure, genes)
    u = (size + COUNTS) / (size + T @ V.T)
    np.testing.assert_allclose(exposure, u @ V, rtol=1e-9)
    np.testing.assert_allclose(genes, u.T @ T, rtol=1e-9)


def test_likelihood_is_negative_binomial_and_poisson_in_the_limit() -> None:
    from scipy.stats import nbinom, poisson

    rates, size = T @ V.T, np.array([2.0, 1.0, 4.0])
    expected = nbinom.logpmf(COUNTS, size, size / (size + rates)).sum()
    assert log_likelihood(*_csr(), T, V, size, SHAPES[1]) == pytest.approx(expected)
    plain = log_likelihood(*_csr(), T, V, np.full(3, SHAPES[1]), SHAPES[1])
    assert plain == pytest.approx(poisson.logpmf(COUNTS, rates).sum())


def test_information_is_the_curvature_of_the_likelihood() -> None:
    out = np.zeros((2, 2, 2))
    information(*_csr(), T, V, np.full(3, SHAPES[1]), out)
    rates = T @ V.T
    expected = np.einsum("ig,ga,gb->iab", COUNTS / rates**2, V, V)
    np.testing.assert_allclose(out, expected, rtol=1e-5)


def _joined(counts: list[np.ndarray], genes: list[list[int]], n_genes: int) -> Joined:
    sections = []
    for i, (c, g) in enumerate(zip(counts, genes, strict=True)):
        x = csr_matrix(c.astype(np.float32))
        depth = np.asarray(x.sum(axis=1), dtype=np.float64).ravel()
        near = csr_matrix((len(c), len(c)))
        sections.append(Cells(f"s{i}", x, np.array(g), near, depth))
    return Joined(tuple(sections), tuple(f"G{j}" for j in range(n_genes)))


def test_the_mean_profile_puts_panels_of_other_sizes_on_one_scale() -> None:
    # The second section is twice as deep and lacks gene 2.
    data = _joined([np.array([[2, 4, 2]]), np.array([[4, 8]])], [[0, 1, 2], [0, 1]], 3)
    np.testing.assert_allclose(mean_profile(data), [0.25, 0.5, 0.25], rtol=1e-6)


def test_every_pass_raises_the_likelihood_without_priors() -> None:
    planted = plant(3)
    data = join(planted.sections)
    rng = np.random.default_rng(0)
    programs = rng.dirichlet(np.ones(len(data.genes)), 5)
    loadings = tuple(rng.gamma(2.0, 20.0, (s.n, 5)) for s in data.sections)
    state = State(
        loadings, programs, np.ones((3, len(data.genes))), np.full(len(data.genes), SHAPES[1])
    )
    settings = Settings(iterations=1, borrow=0.0, shrink=1e-9, hold=1e-9)
    found = []
    for _ in range(15):
        state = fit(data, state, settings, RunContext())
        found.append(likelihood_of(data, state))
    assert np.all(np.diff(found) > -1e-6 * abs(found[0]))


def test_genes_that_a_section_lacks_drop_out_of_its_sums() -> None:
    data = _joined([np.array([[2, 4, 2]]), np.array([[4, 8]])], [[0, 1, 2], [0, 1]], 3)
    loadings = (np.array([[4.0, 4.0]]), np.array([[6.0, 6.0]]))
    programs = np.array([[0.2, 0.3, 0.5], [0.4, 0.4, 0.2]])
    state = State(loadings, programs, np.ones((2, 3)), np.full(3, SHAPES[1]))
    found = one_pass(data, state, 1)
    assert found.programs.shape == (2, 2)
    np.testing.assert_allclose(found.exposure[0], [0.5, 0.8])
    assert found.own.sum() == pytest.approx(12.0)


def test_frozen_programs_stay() -> None:
    planted = plant(4)
    data = join(planted.sections)
    place = [int(g[1:]) for g in data.genes]
    programs = planted.programs[:, place]
    programs = programs / programs.sum(axis=1, keepdims=True)
    loadings = tuple(np.full((s.n, 5), 40.0) for s in data.sections)
    shapes = np.full(len(place), SHAPES[1])
    begin = State(loadings, programs, np.ones((3, len(place))), shapes)
    state = fit(data, begin, Settings(iterations=15), RunContext(), frozen=5)
    np.testing.assert_allclose(state.programs, programs, rtol=1e-9)
    truth, found = np.vstack(planted.proportions), np.vstack(state.proportions())
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(truth.T, found.T, strict=True)]
    assert np.mean(r) > 0.95


def test_neighbours_are_the_nearest_others_and_unplaced_cells_have_none() -> None:
    xy = np.array([[0, 0], [1, 0], [5, 0], [np.nan, 0]], dtype=np.float32)
    near = neighbours(xy, 1).toarray()
    np.testing.assert_allclose(near, [[0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]])


def test_a_cell_is_not_its_own_neighbour_where_two_share_a_place() -> None:
    near = neighbours(np.zeros((3, 2), dtype=np.float32), 1).toarray()
    assert np.all(np.diag(near) == 0)
    np.testing.assert_allclose(near.sum(axis=1), 1.0)
