from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from backend.core.errors import BadRequest, Cancelled
from backend.core.job import RunContext
from backend.models.soscope.generative.enhance import enhance_generative, shared_out, standardised
from backend.models.soscope.generative.fit import Model, Settings
from backend.models.soscope.generative.inputs import (
    Inputs,
    Modality,
    around,
    compressed,
    neighbour_edges,
)
from backend.models.soscope.generative.likelihood import log_likelihood
from backend.models.soscope.generative.network import linked
from backend.models.soscope.generative.pairs import image_pairs
from backend.models.soscope.measures import spot_sums, within_correlations

QUICK = Settings(epochs=60, rate=1e-2)


def planted(side=7, genes=10, seed=0, law="poisson"):
    """Spots of 2 x 2 subspots whose image decides what they express."""
    rng = np.random.default_rng(seed)
    fine = np.array([(x, y) for x in range(2 * side) for y in range(2 * side)]) / 2
    spot = np.floor(fine).astype(int) @ [side, 1]
    order = np.argsort(spot, kind="stable")
    fine, spot = fine[order] + 0.25, spot[order]
    image = rng.normal(size=(len(fine), 2)).astype(np.float32)
    root = 3 + image @ rng.normal(scale=0.6, size=(2, genes))
    truth = np.maximum(root, 0.2) ** 2
    counts = rng.poisson(truth) if law != "gaussian" else root + 0.2 * rng.normal(size=root.shape)
    totals = spot_sums(counts, spot) / (4 if law == "gaussian" else 1)
    places = np.array([(x, y) for x in range(side) for y in range(side)]) + 0.5
    inputs = Inputs(
        (Modality(law, totals.astype(np.float32)),), spot, places.astype(float), fine, image
    )
    return inputs, truth if law != "gaussian" else root


def test_the_sum_of_poisson_subspots_has_its_exact_likelihood():
    made, x = torch.tensor([[3.0, 2.0], [0.5, 7.0]]), torch.tensor([[2.0, 2.0], [0.0, 9.0]])
    got = log_likelihood("poisson", made, x, torch.zeros(2), torch.ones(2))
    exact = stats.poisson.logpmf(x.numpy(), made.numpy())
    constant = -torch.lgamma(x + 1).numpy()
    assert np.allclose(got.numpy(), (exact - constant).sum(axis=1), atol=1e-5)


def test_the_sum_of_negative_binomial_subspots_has_its_exact_likelihood():
    phi = torch.tensor([0.5, 2.0])
    made, x = torch.tensor([[3.0, 2.0]]), torch.tensor([[1.0, 4.0]])
    got = log_likelihood("nb", made, x, phi.log(), torch.tensor([4.0]))
    exact = stats.nbinom.logpmf(x.numpy(), (made / phi).numpy(), (1 / (1 + phi)).numpy())
    constant = -torch.lgamma(x + 1).numpy()
    assert np.allclose(got.numpy(), (exact - constant).sum(axis=1), atol=1e-5)
    # The variance of that law is mean (1 + phi).
    law = stats.nbinom((made / phi).numpy(), (1 / (1 + phi)).numpy())
    assert np.allclose(law.var(), made * (1 + phi))


def test_the_sum_of_gaussian_subspots_has_its_exact_likelihood():
    made, x = torch.tensor([[1.0]]), torch.tensor([[2.0]])
    got = log_likelihood("gaussian", made, x, torch.tensor([0.3]), torch.tensor([4.0]))
    wanted = stats.norm.logpdf(2, 1, np.exp(0.3) * 2) + 0.5 * np.log(2 * np.pi)
    assert got.item() == pytest.approx(wanted, abs=1e-5)


def test_expectations_stay_above_zero_and_follow_the_square_of_the_root():
    made = linked(
        torch.tensor([[0.0], [10.0], [-10.0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([2.0, 3.0])
    )
    assert (made > 0).all()
    assert made[1, 0] == pytest.approx(144, rel=1e-3)
    assert made[0, 1] == pytest.approx(9, rel=0.02)


def test_weights_of_the_spots_around_sum_to_one_and_favour_the_nearest():
    spots = np.array([(x, y) for x in range(4) for y in range(4)], float)
    weights = around(spots, np.array([[1.1, 1.0], [40.0, 40.0]])).toarray()
    assert np.allclose(weights.sum(axis=1), 1)
    assert weights[0].argmax() == 5
    assert weights[1].argmax() == 15


def test_edges_join_near_spots_and_every_spot_to_itself():
    spots = np.array([[0.0, 0], [1, 0], [5, 0], [6, 0]])
    pairs = set(map(tuple, neighbour_edges(spots).T.tolist()))
    assert pairs == {(0, 0), (1, 1), (2, 2), (3, 3), (0, 1), (1, 0), (2, 3), (3, 2)}


def test_pairs_are_sparse_and_alike_where_the_image_is():
    xy = np.array([(x, y) for x in range(10) for y in range(10)], float)
    image = (xy[:, :1] > 4).astype(np.float32)
    pairs = image_pairs(xy, image, seed=0)
    assert len(pairs.i) <= 2 * 6 * 100
    same = image[pairs.i, 0] == image[pairs.j, 0]
    assert (pairs.likeness[same] == 1).all()
    assert pairs.likeness[~same].max() < 0.7


def test_factors_give_back_the_roots_of_the_spots():
    inputs, _ = planted(genes=5)
    part = compressed(inputs.modalities[0], np.full(49, 4))
    roots = np.sqrt(inputs.modalities[0].values / 4 + 0.025)
    assert np.allclose(part.centre + part.scores @ part.loadings, roots, atol=1e-3)


@pytest.mark.parametrize("law", ["poisson", "nb", "gaussian"])
def test_what_the_image_decides_is_recovered_within_spots(law):
    inputs, truth = planted(law=law)
    found = enhance_generative(inputs, RunContext(), QUICK, n_seeds=1)
    within = np.median(within_correlations(found.rates[0], truth, inputs.parents))
    blind = replace(inputs, image=np.zeros((196, 0), np.float32))
    without = enhance_generative(blind, RunContext(), QUICK, n_seeds=1)
    assert within > 0.6
    assert np.median(within_correlations(without.rates[0], truth, inputs.parents)) < 0.3
    assert not found.is_collapsed
    # The likelihood is in the objective and rises.
    assert found.record[-1, 0] > found.record[0, 0]


def test_two_modalities_are_learnt_together_and_the_same_seed_gives_the_same():
    inputs, _ = planted(genes=4)
    other, _ = planted(genes=3, seed=1, law="gaussian")
    both = replace(inputs, modalities=(*inputs.modalities, *other.modalities))
    short = Settings(epochs=5)
    found = enhance_generative(both, RunContext(seed=2), short, n_seeds=2)
    again = enhance_generative(both, RunContext(seed=2), short, n_seeds=2)
    assert [r.shape for r in found.rates] == [(196, 4), (196, 3)]
    assert all(np.array_equal(a, b) for a, b in zip(found.rates, again.rates, strict=True))
    assert all((s > 0).any() for s in found.spread)


def test_every_parameter_has_a_gradient():
    inputs, _ = planted(side=4, genes=4, law="nb")
    model = Model(standardised(inputs), Settings(), 0)
    mu, log_spread = model.encoder(model.scores, model.edges)
    scores = model.subspot_scores(mu + log_spread.exp())
    (model.image_term(scores) - model.log_likelihood(model.rates(scores)).mean()).backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    # A key's bias moves all scores of a softmax alike: its gradient is zero in exact arithmetic.
    assert [n for n in idle if not n.endswith("key.bias")] == []


def test_shares_keep_the_sums_of_the_spots():
    rates = np.array([[1.0, 0.0], [3.0, 0.0], [2.0, 5.0]])
    totals = np.array([[8.0, 2.0], [6.0, 1.0]])
    shared = shared_out(rates, totals, np.array([0, 0, 1]))
    assert shared[:, 0].tolist() == [2, 6, 6]
    assert shared[:, 1].tolist() == pytest.approx([1, 1, 1])


def test_inputs_that_cannot_serve_are_all_named():
    inputs, _ = planted(side=4, genes=3)
    halves = Modality("nb", inputs.modalities[0].values + 0.5)
    odd = Modality("weibull", inputs.modalities[0].values[1:])
    bad = replace(inputs, modalities=(halves, odd), parents=inputs.parents[1:])
    with pytest.raises(BadRequest, match="needs counts") as caught:
        enhance_generative(bad, RunContext())
    assert len(caught.value.hints) == 4


def test_a_run_can_be_cancelled():
    with pytest.raises(Cancelled):
        enhance_generative(planted(4)[0], RunContext(cancelled=lambda: True))
