from dataclasses import replace

import numpy as np
import pytest
import torch

from backend.core.errors import BadRequest, Cancelled
from backend.core.job import RunContext
from backend.models.soscope.measures import correlations
from backend.models.soscope.parity.graphs import HEXAGON, SQUARE, lattice_graph
from backend.models.soscope.parity.heads import Sizes
from backend.models.soscope.parity.inputs import Inputs, tensors_of
from backend.models.soscope.parity.losses import residuals_of, subspot_likeness
from backend.models.soscope.parity.settings import (
    BRAIN,
    EMBRYO,
    INTESTINE,
    KIDNEY,
    LIVER,
    SKIN,
    Peculiarities,
    Schedule,
)
from backend.models.soscope.parity.train import enhance_published, pretrained

SIDE = 4


def planted(genes=4, second=0, seed=0):
    """A 4 x 4 grid of spots of 2 x 2 subspots whose image tells the truth."""
    rng = np.random.default_rng(seed)
    fine = np.array([(r, c) for r in range(2 * SIDE) for c in range(2 * SIDE)])
    spot = (fine[:, 0] // 2) * SIDE + fine[:, 1] // 2
    order = np.argsort(spot, kind="stable")
    fine, spot = fine[order], spot[order]
    image = np.column_stack([np.sin(fine[:, 0]), np.cos(fine[:, 1]), rng.normal(size=len(fine))])
    truth = 6 + 5 * image[:, :2] @ rng.normal(size=(2, genes + second))
    truth = np.maximum(truth, 0.1)
    spots = np.array([(r, c) for r in range(SIDE) for c in range(SIDE)])
    profiles = truth.reshape(SIDE * SIDE, 4, -1).mean(axis=1)
    inputs = Inputs(
        profiles.astype(np.float32), image.astype(np.float32), spot,
        lattice_graph(spots, profiles, SQUARE), lattice_graph(fine, image, SQUARE),
        Sizes(genes, second),
    )  # fmt: skip
    return inputs, truth


def short(settings, epochs=3, **peculiar):
    return replace(
        settings, epochs=epochs, pretrain_epochs=epochs,
        peculiar=replace(settings.peculiar, kept_every=1, **peculiar),
    )  # fmt: skip


def test_the_closest_pair_weighs_one_and_the_median_pair_a_fifth():
    places = np.array([(0, 0), (0, 1), (0, 2), (0, 3)])
    graph = lattice_graph(places, np.array([[0.0], [1.0], [3.0], [7.0]]), SQUARE)
    weight = {(int(i), int(j)): w for i, j, w in zip(graph.i, graph.j, graph.weight, strict=True)}
    assert len(weight) == 6
    assert weight[0, 1] == weight[1, 0] == 1
    assert weight[1, 2] == pytest.approx(0.2)
    assert weight[2, 3] == pytest.approx(5.0**-3)


def test_hexagons_have_six_neighbours():
    places = np.array([(2, 2), (2, 4), (2, 0), (1, 1), (1, 3), (3, 1), (3, 3), (2, 3)])
    graph = lattice_graph(places, np.arange(8.0)[:, None], HEXAGON)
    assert (graph.i == 0).sum() == 6
    assert not (graph.i == 7).any()


def test_pairs_that_are_all_alike_weigh_one():
    graph = lattice_graph(np.array([(0, 0), (0, 1)]), np.zeros((2, 3)), SQUARE)
    assert graph.weight.tolist() == [1, 1]


def test_a_schedule_goes_in_equal_ratios():
    schedule = Schedule(1.0, 0.01, 10, 20)
    assert [schedule.at(e) for e in (0, 10, 20, 30, 99)] == pytest.approx([1, 1, 0.1, 0.01, 0.01])


def test_sums_by_reshape_are_sums_by_spot():
    data = tensors_of(planted()[0], "poisson")
    values = torch.randn(64, 4)
    assert data.is_even
    assert data.k == 4
    by_index = torch.zeros(16, 4).index_add(0, data.parents, values)
    assert torch.allclose(data.sum_to_spots(values), by_index, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "second"),
    [(EMBRYO, 0), (INTESTINE, 0), (LIVER, 0), (SKIN, 3), (BRAIN, 4)],
    ids=["poisson", "nb", "gaussian", "poisson+nb", "gaussian+nb"],
)
def test_every_case_runs_and_the_same_seed_gives_the_same_result(settings, second):
    inputs, _ = planted(second=second)
    first = enhance_published(inputs, short(settings), RunContext())
    again = enhance_published(inputs, short(settings), RunContext())
    assert first.values.shape == (64, 4 + second)
    assert np.isfinite(first.values).all()
    assert np.array_equal(first.values, again.values)
    other = enhance_published(inputs, short(replace(settings, seed=9)), RunContext())
    assert not np.array_equal(first.values, other.values)


def test_irregular_cells_are_summed_by_their_spot():
    inputs, _ = planted()
    keep = np.r_[0:2, 4:64]  # the first spot has two cells
    cells = replace(
        inputs, image=inputs.image[keep], parents=inputs.parents[keep],
        subspots=lattice_graph(np.column_stack([keep, keep * 0]), inputs.image[keep], SQUARE),
    )  # fmt: skip
    found = enhance_published(cells, short(KIDNEY), RunContext())
    assert found.values.shape == (62, 4)


def test_the_decoder_of_the_pretraining_learns_only_when_told_to():
    inputs, _ = planted()
    data = tensors_of(inputs, "poisson")
    for untrained in (True, False):
        settings = short(EMBRYO, 4, node_decoder_untrained=untrained)
        torch.manual_seed(0)
        one = pretrained(data, settings, RunContext()).first.query.weight.detach().clone()
        torch.manual_seed(0)
        two = pretrained(data, short(EMBRYO, 5, node_decoder_untrained=untrained), RunContext())
        assert not torch.equal(one, two.first.query.weight)


def test_two_modalities_start_from_an_encoder_that_was_never_trained():
    data = tensors_of(planted(second=3)[0], "poisson+nb")
    torch.manual_seed(3)
    drawn = pretrained(data, replace(short(SKIN), pretrain_epochs=0), RunContext())
    torch.manual_seed(3)
    kept = pretrained(data, short(SKIN, 5), RunContext())
    torch.manual_seed(3)
    trained = pretrained(data, short(SKIN, 5, joint_untrained=False), RunContext())
    assert torch.equal(drawn.first.key.weight, kept.first.key.weight)
    assert not torch.equal(drawn.first.key.weight, trained.first.key.weight)


def test_the_last_kept_state_is_used():
    inputs, _ = planted()
    full = replace(short(EMBRYO, 5), peculiar=Peculiarities(kept_every=3))
    found = enhance_published(inputs, full, RunContext())
    ended = enhance_published(inputs, short(EMBRYO, 5), RunContext())
    assert not np.array_equal(found.values, ended.values)
    assert len(found.record) == 5


def test_an_image_that_tells_the_truth_is_learnt_from():
    inputs, truth = planted()
    settings = replace(short(EMBRYO, 400), rate=3e-3, pretrain_epochs=50)
    found = enhance_published(inputs, settings, RunContext())
    assert np.median(correlations(found.values, truth)) > 0.8
    assert found.record[-1].fit < 0.1 * found.record[0].fit


def test_residuals_are_from_the_spot_and_can_be_crossed():
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    x = torch.tensor([[2.0, 30.0]])
    parents = torch.tensor([0, 0])
    plain = residuals_of(values, x, parents, True, Sizes(1, 1), crossed=False)
    assert plain.tolist() == [[-1, -28], [1, -26]]
    crossed = residuals_of(values, x, parents, True, Sizes(1, 1), crossed=True)
    assert crossed.tolist() == [[-1, 0], [1, 2]]
    alike = subspot_likeness(plain, Sizes(1, 1))
    assert alike.shape == (2, 2)
    assert alike[0, 0] == 1


def test_inputs_that_do_not_fit_are_all_named():
    inputs, _ = planted()
    bad = replace(inputs, sizes=Sizes(3), profiles=-inputs.profiles, parents=inputs.parents[:-1])
    with pytest.raises(BadRequest, match="63 subspots have parents") as caught:
        enhance_published(bad, short(EMBRYO), RunContext())
    assert len(caught.value.hints) == 3
    with pytest.raises(BadRequest, match="does not go with"):
        enhance_published(inputs, short(SKIN), RunContext())


def test_a_run_can_be_cancelled():
    with pytest.raises(Cancelled):
        enhance_published(planted()[0], short(EMBRYO), RunContext(cancelled=lambda: True))
