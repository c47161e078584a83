import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn.functional import softplus

from backend.models.soscope.parity.heads import Sizes, expected, log_likelihood, out_size, split

RAW = torch.tensor([[0.3, -0.2, 0.5, 1.0]])


def positive(raw):
    return softplus(raw).numpy() + 1e-7


@pytest.mark.parametrize(
    ("case", "sizes", "count"),
    [
        ("poisson", Sizes(10), 20),
        ("nb", Sizes(9), 18),
        ("gaussian", Sizes(2), 4),
        ("poisson+nb", Sizes(283, 114), 511),
        ("gaussian+nb", Sizes(25, 25), 100),
    ],
)
def test_a_decoder_gives_what_its_distributions_take(case, sizes, count):
    assert out_size(case, sizes) == count


def test_poisson_takes_its_rate_from_the_second_half():
    got = expected("poisson", RAW, Sizes(2), 1.0, 4, sample=False)
    assert np.allclose(got.numpy(), positive(RAW[:, 2:]))
    like = log_likelihood("poisson", RAW, torch.tensor([[2.0, 0.0]]), Sizes(2))
    assert like.item() == pytest.approx(
        stats.poisson.logpmf([2, 0], positive(RAW[0, 2:])).sum(), abs=1e-5
    )


def test_the_negative_binomial_has_mean_r_times_the_odds():
    r, odds = positive(RAW[0, 2:]), np.exp(RAW[0, :2].numpy())
    got = expected("nb", RAW, Sizes(2), 1.0, 4, sample=False)[0]
    assert np.allclose(got.numpy(), r * odds)
    like = log_likelihood("nb", RAW, torch.tensor([[3.0, 1.0]]), Sizes(2))
    wanted = stats.nbinom.logpmf([3, 1], r, 1 / (1 + odds)).sum()
    assert like.item() == pytest.approx(wanted, abs=1e-5)


def test_gaussian_features_are_drawn_in_training_and_their_mean_is_the_answer():
    assert torch.equal(expected("gaussian", RAW, Sizes(2), 1.0, 4, sample=False), RAW[:, :2])
    torch.manual_seed(0)
    many = expected("gaussian", RAW.repeat(4000, 1), Sizes(2), 1.0, 4, sample=True)
    assert torch.allclose(many.mean(0), RAW[0, :2], atol=0.08)
    assert torch.allclose(many.std(0), softplus(RAW[0, 2:]), rtol=0.05)
    like = log_likelihood("gaussian", RAW, torch.tensor([[1.0, 2.0]]), Sizes(2), spread=2.0)
    wanted = stats.norm.logpdf([1, 2], RAW[0, :2].numpy(), 2.0).sum()
    assert like.item() == pytest.approx(wanted, abs=1e-5)


def test_two_modalities_have_slices_of_their_own():
    raw = torch.arange(1.0, 8.0)[None]
    proteins, genes = split("poisson+nb", raw, Sizes(3, 2))
    assert torch.allclose(proteins.positive, softplus(raw[:, :3]))
    assert torch.allclose(genes.positive, softplus(raw[:, 3:5]))
    assert torch.equal(genes.raw, raw[:, 5:])


def test_huge_logits_give_numbers():
    raw = torch.tensor([[500.0, 0.0]])
    assert torch.isfinite(expected("nb", raw, Sizes(1), 1.0, 4, sample=False)).all()
