from __future__ import annotations

import math

import pytest
import torch

from backend.models.fusemap.parity.losses import divergence, noise_like, section_loss


@pytest.mark.parametrize("sure", [100.0, -100.0])
def test_the_softmax_taken_twice_bounds_the_loss(sure: float) -> None:
    logits = torch.tensor([[sure, 0.0, -abs(sure)]])
    label = torch.tensor([0])
    low, high = math.log(1 + 2 / math.e), math.log(math.e + 2)
    found = section_loss(logits, label).item()
    assert found == pytest.approx(low if sure > 0 else high, abs=1e-6)
    if sure < 0:
        assert section_loss(logits, label, double=False).item() == pytest.approx(100.0)


def test_the_mean_divides_by_rows_not_by_weights() -> None:
    logits, label = torch.zeros(2, 3), torch.tensor([0, 1])
    weights = torch.tensor([0.0, 4.0])
    assert section_loss(logits, label, weights).item() == pytest.approx(2 * math.log(3))


def test_a_standard_normal_has_no_divergence() -> None:
    assert divergence(torch.zeros(4, 3), torch.ones(4, 3), 5).item() == 0.0
    shifted = divergence(torch.full((4, 3), 2.0), torch.ones(4, 3), 5)
    assert shifted.item() == pytest.approx(3 * 2.0 / 5)


def test_noise_is_as_wide_as_each_dimension_and_its_width_has_a_gradient() -> None:
    z = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 9.0])
    z.requires_grad_()
    rng = torch.Generator().manual_seed(1)
    added = noise_like(z, 1.5, rng) - z
    assert added.std(dim=0).tolist() == pytest.approx([1.5, 13.5], rel=0.05)
    added.square().sum().backward()
    assert z.grad is not None
    assert bool((z.grad != 0).any())


def test_no_noise_leaves_the_values_and_a_dead_dimension_is_no_error() -> None:
    z = torch.ones(5, 2)
    rng = torch.Generator().manual_seed(0)
    assert noise_like(z, 0.0, rng) is z
    assert torch.isfinite(noise_like(z, 1.5, rng)).all()
