from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from backend.models.inspire.parity.losses import (
    adversary_loss,
    critic_loss,
    critics_loss,
    dirichlet_loss,
    geometry_loss,
    gram,
    likelihood_loss,
    pulled_loss,
    rebuilt_loss,
    unit_rows,
)
from backend.models.inspire.parity.network import Critics
from backend.models.inspire.parity.settings import Settings


def test_geometry_is_the_sum_over_pairs_without_making_them() -> None:
    rng = np.random.default_rng(0)
    z, x = rng.normal(size=(7, 3)), rng.normal(size=(7, 4))
    cosines = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (z, x)]
    pairs = [a @ a.T for a in cosines]
    expected = ((pairs[0] - pairs[1]) ** 2).sum(axis=1).mean()
    unit = unit_rows(torch.from_numpy(x))
    found = geometry_loss(torch.from_numpy(z), unit, gram(unit)).item()
    assert found == pytest.approx(expected)


def test_the_gram_is_the_same_by_cells_and_by_genes() -> None:
    x = unit_rows(torch.rand(9, 4, generator=torch.Generator().manual_seed(0)))
    assert gram(x).item() == pytest.approx(gram(x.T).item(), rel=1e-6)


def test_beyond_the_margin_nothing_is_pulled_and_critics_stop_learning() -> None:
    fake = torch.tensor([-7.0, -4.0, 7.0], requires_grad=True)
    pulled_loss(fake, 5.0).backward()
    assert fake.grad is not None
    assert (fake.grad != 0).tolist() == [False, True, False]
    real = torch.tensor([6.0, 4.0], requires_grad=True)
    critic_loss(real, torch.zeros(1), 5.0).backward()
    assert real.grad is not None
    assert (real.grad != 0).tolist() == [False, True]


def test_the_second_section_of_a_pair_is_pulled_and_the_first_is_not() -> None:
    critics = Critics(2, Settings(latent=3, hidden=4), seed=0)
    z = [torch.ones(2, 3, requires_grad=True), torch.ones(2, 3, requires_grad=True)]
    adversary_loss(critics, z, 50.0).backward()
    assert z[0].grad is None
    assert z[1].grad is not None


def test_critics_leave_no_gradient_in_the_embedding() -> None:
    critics = Critics(2, Settings(latent=3, hidden=4), seed=0)
    z = [torch.ones(2, 3, requires_grad=True), torch.ones(2, 3, requires_grad=True)]
    critics_loss(critics, z, 50.0).backward()
    assert [part.grad for part in z] == [None, None]


def test_all_pairs_count_as_much_as_a_chain() -> None:
    chain = Critics(4, Settings(latent=3, hidden=4), seed=0)
    pairs = Critics(4, Settings(latent=3, hidden=4, critics="pairs"), seed=0)
    assert chain.pairs == ((0, 1), (1, 2), (2, 3))
    assert len(pairs.pairs) == 6
    assert pairs.share * 6 == pytest.approx(chain.share * 3)
    z = [torch.zeros(2, 3)] * 4
    # Critics without biases know nothing of zeros: every score is 0.
    for critics in (chain, pairs):
        expected = 3 * 2 * softplus(torch.zeros(())).item()
        assert critics_loss(critics, z, 5.0).item() == pytest.approx(expected)


def test_a_cell_without_counts_is_no_loss_beyond_its_rate() -> None:
    rate = torch.zeros(1, 3)
    assert likelihood_loss(torch.zeros(1, 3), torch.zeros(1), rate).item() == 0.0


def test_the_norm_of_what_is_rebuilt_is_not_squared() -> None:
    assert rebuilt_loss(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2)).item() == 5.0


def test_the_published_divisor_shifts_the_dirichlet_term_by_a_constant() -> None:
    total = torch.tensor([100.0, 200.0, 300.0])
    right, published = dirichlet_loss(total, 600), dirichlet_loss(total, 800)
    shift = -4 * 3 * np.log(3 / 4)
    assert (published - right).item() == pytest.approx(shift, abs=1e-4)
