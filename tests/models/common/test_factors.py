from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from backend.core.errors import Cancelled, Diverged
from backend.core.job import RunContext
from backend.models.common import factors
from backend.models.common.factors import (
    FactorFit,
    adapt_noise,
    balance_weights,
    fit,
    misfit,
    posterior,
    read_cells,
    spectral_start,
)
from backend.models.common.moments import CorrelationMoments, SparseMoments, moments_of
from backend.models.common.prep import Prepared, gene_statistics


def planted(
    panels: list[list[int]], n: int = 2000, k: int = 2, seed: int = 0
) -> tuple[list[Prepared], np.ndarray, list[np.ndarray]]:
    """Sections drawn from the model itself, with the embedding and z that made them."""
    rng = np.random.default_rng(seed)
    g = max(max(p) for p in panels) + 1
    e = rng.normal(size=(g, k)) * 0.6
    sections, places = [], []
    for panel in panels:
        z = rng.normal(size=(n, k))
        y = z @ e[panel].T + rng.normal(size=(n, len(panel))) * 0.6
        x = csr_matrix(y + 3)
        mean, sd = gene_statistics(x)
        sections.append(Prepared(x, np.array(panel), mean, sd))
        places.append(z)
    return sections, e, places


def solved(sections: list[Prepared], n_genes: int, k: int = 2, iterations: int = 60):
    moments = [moments_of(s) for s in sections]
    weights = balance_weights([s.n_cells for s in sections], [str(i) for i in range(len(sections))])
    return fit(moments, n_genes, weights, FactorFit(k, iterations), RunContext())


def test_posterior_equals_gaussian_conditioning_on_a_toy() -> None:
    e = torch.tensor([[1.0, 0.2], [0.3, -0.5], [0.0, 0.9]], dtype=torch.float64)
    noise = torch.tensor([0.5, 0.3, 0.8], dtype=torch.float64)
    y = np.array([0.7, -1.2, 0.4])
    joint = np.block(
        [
            [np.eye(2), e.numpy().T],
            [e.numpy(), e.numpy() @ e.numpy().T + np.diag(noise.numpy())],
        ]
    )
    inverse = np.linalg.inv(joint[2:, 2:])
    mean = joint[:2, 2:] @ inverse @ y
    covariance = joint[:2, :2] - joint[:2, 2:] @ inverse @ joint[2:, :2]
    found = posterior(e, noise)
    np.testing.assert_allclose(y @ found.reader.numpy(), mean, atol=1e-12)
    np.testing.assert_allclose(found.covariance.numpy(), covariance, atol=1e-12)


def test_planted_factors_are_recovered_up_to_rotation() -> None:
    sections, e, places = planted([list(range(12))])
    state = solved(sections, 12)
    z = read_cells(sections[0], posterior(state.embedding, state.noise[0]))
    fitted = np.linalg.lstsq(z, places[0], rcond=None)[0]
    for j in range(2):
        assert np.corrcoef(z @ fitted[:, j], places[0][:, j])[0, 1] > 0.9


def test_gene_missing_from_a_panel_is_predicted_from_the_others() -> None:
    shared = list(range(10))
    sections, e, places = planted([[*shared, 10, 11], [*shared, 12, 13]])
    state = solved(sections, 14)
    for s, missing in ((0, (12, 13)), (1, (10, 11))):
        rows = state.embedding[torch.from_numpy(sections[s].genes)]
        z = read_cells(sections[s], posterior(rows, state.noise[s]))
        for g in missing:
            truth = places[s] @ e[g]
            assert np.corrcoef(z @ state.embedding[g].numpy(), truth)[0, 1] > 0.8


def test_pooled_latent_has_unit_second_moment() -> None:
    sections, *_ = planted([list(range(12)), list(range(4, 16))])
    state = solved(sections, 16, iterations=200)
    total = np.zeros((2, 2))
    for s, noise in zip(sections, state.noise, strict=True):
        post = posterior(state.embedding[torch.from_numpy(s.genes)], noise)
        z = read_cells(s, post)
        total += z.T @ z / len(z) + post.covariance.numpy()
    np.testing.assert_allclose(total / 2, np.eye(2), atol=0.02)


def test_sparse_passes_and_correlations_give_the_same_fit() -> None:
    sections, *_ = planted([list(range(8)), list(range(4, 12))], n=300)
    weights = balance_weights([300, 300], ["a", "b"])
    start = spectral_start([moments_of(s) for s in sections], 12, weights, 2)
    ends = []
    for kind in (CorrelationMoments, SparseMoments):
        moments = [
            moments_of(s) if kind is CorrelationMoments else SparseMoments(s, torch.tensor(s.genes))
            for s in sections
        ]
        ends.append(fit(moments, 12, weights, FactorFit(2, 20), RunContext(), start).embedding)
    np.testing.assert_allclose(ends[0].numpy(), ends[1].numpy(), atol=1e-6)


def test_wide_panel_starts_without_a_dense_correlation() -> None:
    sections, *_ = planted([list(range(8))], n=300)
    sparse = [SparseMoments(sections[0], torch.tensor(sections[0].genes))]
    dense = [moments_of(sections[0])]
    weights = np.array([300.0])
    np.testing.assert_allclose(
        spectral_start(sparse, 8, weights, 2).embedding.numpy(),
        spectral_start(dense, 8, weights, 2).embedding.numpy(),
        atol=1e-4,
    )


def test_fit_continued_from_its_middle_ends_the_same() -> None:
    sections, *_ = planted([list(range(8)), list(range(4, 12))], n=300)
    moments = [moments_of(s) for s in sections]
    weights = balance_weights([300, 300], ["a", "b"])
    saved = []
    settings = FactorFit(2, 20, save_every=7, save=saved.append)
    whole = fit(moments, 12, weights, settings, RunContext())
    assert [s.iteration for s in saved] == [7, 14]
    rest = fit(moments, 12, weights, settings, RunContext(), saved[0])
    assert torch.equal(whole.embedding, rest.embedding)


def test_cancelled_fit_stops() -> None:
    sections, *_ = planted([list(range(8))], n=50)
    with pytest.raises(Cancelled):
        fit(
            [moments_of(sections[0])],
            8,
            np.array([50.0]),
            FactorFit(2, 5),
            RunContext(cancelled=lambda: True),
        )


def test_every_data_set_has_the_same_weight() -> None:
    weights = balance_weights([100, 300, 200], ["a", "a", "b"])
    np.testing.assert_allclose(weights, [75, 225, 300])


def test_adapted_noise_is_close_to_the_fitted_one() -> None:
    sections, *_ = planted([list(range(12))])
    state = solved(sections, 12, iterations=200)
    noise = adapt_noise(moments_of(sections[0]), state.embedding)
    np.testing.assert_allclose(noise.numpy(), state.noise[0].numpy(), atol=0.03)


def test_misfit_is_the_mean_squared_residual_over_noise() -> None:
    sections, *_ = planted([list(range(6))], n=20)
    s, rng = sections[0], np.random.default_rng(1)
    e, z, noise = rng.normal(size=(6, 2)), rng.normal(size=(20, 2)), rng.random(6) + 0.5
    y = (s.x.toarray() - s.mean) / s.sd
    expected = ((y - z @ e.T) ** 2 / noise).mean(axis=1)
    np.testing.assert_allclose(misfit(s, e, noise, z), expected, rtol=1e-9)


def test_fit_that_diverges_keeps_the_last_good_state(monkeypatch: pytest.MonkeyPatch) -> None:
    sections, _, _ = planted([[0, 1, 2, 3, 4, 5]], n=200)
    good = solved(sections, 6, iterations=3)
    step = factors.em_step

    def breaks(*given):
        if given[2].iteration >= 3:
            raise torch.linalg.LinAlgError("not positive-definite")
        return step(*given)

    monkeypatch.setattr(factors, "em_step", breaks)
    np.testing.assert_array_equal(solved(sections, 6, iterations=9).embedding, good.embedding)


def test_fit_that_is_never_finite_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    sections, _, _ = planted([[0, 1, 2, 3, 4, 5]], n=200)
    step = factors.em_step

    def spoilt(*given):
        made = step(*given)
        return factors.FactorState(made.embedding * torch.nan, made.noise, made.iteration)

    monkeypatch.setattr(factors, "em_step", spoilt)
    with pytest.raises(Diverged, match="not finite from the start"):
        solved(sections, 6)
