import numpy as np
import pytest
import torch

from backend.models.spatialformer.transformer.losses import (
    LEAST,
    Uncertainty,
    balanced_loss,
    co_weight,
    focal_loss,
    masked_loss,
    pair_loss,
)
from backend.models.spatialformer.transformer.masking import masked
from backend.models.spatialformer.transformer.network import Additive, Bilinear
from backend.models.spatialformer.transformer.size import Size


def test_total_loss_is_each_loss_over_its_variance_plus_its_logarithm():
    weigh = Uncertainty()
    with torch.no_grad():
        weigh.s.copy_(torch.tensor([0.5, -0.5, 1.0]))
    losses = {"masked": torch.tensor(2.0), "pair": torch.tensor(3.0), "together": torch.tensor(4.0)}
    expected = np.exp(-0.5) * 2 + 0.5 + np.exp(0.5) * 3 - 0.5 + 0.25 * np.exp(-1.0) * 4 + 1.0
    assert weigh(losses, 0.25).item() == pytest.approx(expected, rel=1e-6)


def test_gradient_of_a_log_variance_is_1_minus_the_weighed_loss():
    weigh = Uncertainty()
    with torch.no_grad():
        weigh.s.copy_(torch.tensor([0.5, -0.5, 1.0]))
    weigh({"masked": torch.tensor(2.0), "together": torch.tensor(4.0)}, 0.25).backward()
    expected = [1 - np.exp(-0.5) * 2, 0.0, 1 - 0.25 * np.exp(-1.0) * 4]
    assert weigh.s.grad.tolist() == pytest.approx(expected, rel=1e-6)


def test_log_variances_are_clamped_so_that_the_total_is_bounded_as_lambda_vanishes():
    weigh = Uncertainty()
    with torch.no_grad():
        weigh.s[2] = -50.0
    total = weigh({"together": torch.tensor(1.0)}, 0.0)
    assert total.item() == LEAST
    total.backward()
    assert float(weigh.s.grad[2]) == 0.0


def test_lambda_is_1_for_100_steps_and_then_falls_to_0():
    assert [co_weight(t, 300) for t in (0, 100, 200, 300, 400)] == [1.0, 1.0, 0.5, 0.0, 0.0]


def test_focal_loss_of_one_positive_and_one_negative_entry_is_by_hand():
    scores = torch.tensor([[[0.0, 1.0], [-1.0, 9.0]]])
    truth = torch.tensor([[[0, 1], [0, 1]]])
    block = torch.tensor([[[False, True], [True, False]]])
    p = 1 / (1 + np.exp(-1.0))
    expected = (0.25 * (1 - p) ** 2 * -np.log(p) + 0.75 * (1 - p) ** 2 * -np.log(p)) / 2
    assert float(focal_loss(scores, truth, block)) == pytest.approx(expected, rel=1e-5)


def test_balanced_loss_weighs_both_classes_alike():
    scores = torch.zeros(1, 2, 2)
    truth = torch.tensor([[[0, 1], [0, 0]]])
    block = torch.ones(1, 2, 2, dtype=torch.bool)
    assert float(balanced_loss(scores, truth, block)) == pytest.approx(np.log(2), rel=1e-6)


def test_a_task_without_targets_has_no_loss():
    nothing = torch.zeros(1, 2, 2, dtype=torch.bool)
    assert masked_loss(torch.zeros(0, 5), torch.zeros(0, dtype=torch.long)) is None
    assert pair_loss(torch.zeros(3, 2), torch.zeros(3), torch.zeros(3)) is None
    assert focal_loss(torch.zeros(1, 2, 2), nothing, nothing) is None
    assert balanced_loss(torch.zeros(1, 2, 2), nothing, ~nothing) is None


def test_pair_loss_is_the_weighted_mean_cross_entropy():
    logits = torch.tensor([[0.0, 0.0], [0.0, 2.0]])
    got = pair_loss(logits, torch.tensor([1.0, 0.0]), torch.tensor([3.0, 1.0]))
    expected = (3 * np.log(2) + np.log(1 + np.exp(2.0))) / 4
    assert float(got) == pytest.approx(expected, rel=1e-6)


def test_masking_hides_15_percent_and_81_10_9_of_them():
    random = np.random.default_rng(0)
    tokens = np.full((400, 500), 7)
    tokens[:, 0], tokens[:, -1], tokens[:, -2] = 1, 0, 3
    hidden, told = masked(tokens, 10, 1000, random)
    assert told[:, 1:-2].mean() == pytest.approx(0.15, abs=0.005)
    assert not told[:, [0, -1, -2]].any()
    assert (hidden[told] == 2).mean() == pytest.approx(0.81, abs=0.01)
    assert (hidden[told] >= 10).mean() == pytest.approx(0.10, abs=0.01)
    assert (hidden[told] == 7).mean() == pytest.approx(0.09, abs=0.01)
    assert (hidden[~told] == tokens[~told]).all()


def test_the_additive_head_has_no_interaction_and_the_bilinear_one_has():
    torch.manual_seed(0)
    h = torch.randn(1, 4, 8)
    size = Size(5, width=8, blocks=1, heads=2, co_rank=3)
    head = Additive(size)
    scores = head(h)[0]
    by_hand = torch.stack([torch.stack([head.weight(torch.cat([a, b]))[0] for b in h[0]])
                           for a in h[0]])  # fmt: skip
    assert torch.allclose(scores, by_hand, atol=1e-6)
    scores = scores.detach()
    interaction = scores[0, 0] - scores[0, 1] - scores[1, 0] + scores[1, 1]
    assert abs(float(interaction)) < 1e-5
    both = Bilinear(size)
    assert torch.allclose(both(h)[0, 1, 2], both.left(h[0, 1]) @ both.right(h[0, 2]), atol=1e-6)
