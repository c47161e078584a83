from __future__ import annotations

import numpy as np
import torch

from backend.core.job import RunContext
from backend.models.common.factors import FactorFit, balance_weights, fit
from backend.models.common.moments import CorrelationMoments, SparseMoments, moments_of
from backend.models.common.online import fit_online
from tests.models.common.test_factors import planted


def wide(sections) -> list[SparseMoments]:
    """Moments that pass over the cells, as those of wide panels."""
    return [SparseMoments(s, torch.from_numpy(s.genes)) for s in sections]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Least cosine between the spaces that the columns of two tables span."""
    qa, qb = np.linalg.qr(a)[0], np.linalg.qr(b)[0]
    return float(np.linalg.svd(qa.T @ qb, compute_uv=False).min())


def test_batches_find_the_space_that_made_the_cells() -> None:
    sections, e, _ = planted([list(range(12)), list(range(4, 16))])
    weights = balance_weights([2000, 2000], ["a", "b"])
    settings = FactorFit(2, 60, batch=200)
    found = fit_online(wide(sections), 16, weights, settings, RunContext())
    plain = fit(wide(sections), 16, weights, settings, RunContext())
    scaled = e / np.sqrt((e**2).sum(axis=1, keepdims=True) + 0.36)  # per unit of the gene's sd
    assert overlap(plain.embedding.numpy(), scaled) > 0.98
    assert overlap(found.embedding.numpy(), scaled) > 0.97
    assert overlap(found.embedding.numpy(), plain.embedding.numpy()) > 0.98


def test_same_seed_draws_the_same_batches() -> None:
    sections, _, _ = planted([list(range(8))], n=400)
    runs = [
        fit_online(wide(sections), 8, np.ones(1), FactorFit(2, 5, batch=50, seed=s), RunContext())
        for s in (0, 0, 1)
    ]
    np.testing.assert_array_equal(runs[0].embedding, runs[1].embedding)
    assert not np.array_equal(runs[0].embedding, runs[2].embedding)


def test_a_batch_of_all_cells_of_a_narrow_panel_is_the_plain_fit_at_first() -> None:
    sections, _, _ = planted([list(range(8))], n=400)
    moments = [moments_of(s) for s in sections]
    assert isinstance(moments[0], CorrelationMoments)
    settings = FactorFit(2, 1, batch=50)
    one = fit_online(moments, 8, np.ones(1), settings, RunContext())
    np.testing.assert_allclose(
        one.embedding, fit(moments, 8, np.ones(1), settings, RunContext()).embedding
    )
