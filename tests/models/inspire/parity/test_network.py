from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from backend.core.errors import BadRequest
from backend.core.job import RunContext
from backend.models.inspire.parity.batches import batches, source
from backend.models.inspire.parity.losses import adversary_loss
from backend.models.inspire.parity.network import Network
from backend.models.inspire.parity.prepare import Published
from backend.models.inspire.parity.settings import Settings
from backend.models.inspire.parity.train import network_terms, start, weighted
from tests.models.inspire.parity.two import SMALL, two_sections

LINEAR = replace(SMALL, encoder="linear")
ATTENTION = replace(SMALL, encoder="attention")
SEES = replace(LINEAR, section_in_factors=True)


@pytest.fixture(scope="module")
def sections() -> list[Published]:
    return two_sections()


@pytest.mark.parametrize("settings", [LINEAR, ATTENTION, SEES], ids=["linear", "attention", "sees"])
def test_every_parameter_receives_a_gradient(sections: list[Published], settings: Settings) -> None:
    t = start(2, 12, settings, RunContext(seed=0))
    batch = next(batches(source(sections, settings), settings, 0, "cpu"))
    seen = t.network(batch.features, batch.section, batch.edges)
    terms = network_terms(seen, batch, settings)
    terms["L_G"] = adversary_loss(t.critics, seen.z.split(batch.sizes), 50.0)
    weighted(terms, settings).backward()
    for name, values in t.network.named_parameters():
        assert values.grad is not None, name
        assert bool((values.grad != 0).any()), name


def test_proportions_and_programs_sum_to_one_and_rates_to_the_library(
    sections: list[Published],
) -> None:
    network = Network(12, 2, LINEAR, seed=0)
    batch = next(batches(source(sections, LINEAR), LINEAR, 0, "cpu"))
    seen = network(batch.features, batch.section)
    ones = np.ones(len(batch.x))
    np.testing.assert_allclose(seen.beta.detach().sum(dim=1), ones, rtol=1e-5)
    np.testing.assert_allclose(network.programs().detach().sum(dim=1), 1, rtol=1e-5)
    # Without offsets, but for the floor in the logarithm.
    np.testing.assert_allclose(seen.log_rate.detach().exp().sum(dim=1), ones, rtol=1e-4)


def test_the_linear_encoder_rebuilds_the_cell_itself(sections: list[Published]) -> None:
    batch = next(batches(source(sections, LINEAR), LINEAR, 0, "cpu"))
    assert batch.features.shape[1] == 24
    assert Network(12, 2, LINEAR, 0)(batch.features, batch.section).rebuilt.shape == batch.x.shape


def test_proportions_see_the_section_with_the_linear_encoder_only() -> None:
    with pytest.raises(BadRequest, match="linear encoder only"):
        Settings(encoder="attention", section_in_factors=True)


def test_scores_are_cut_after_101_steps() -> None:
    margins = [Settings().margin_at(step) for step in (0, 100, 101)]
    assert margins == [50.0, 50.0, 5.0]
    assert Settings(margin=float("inf")).margin_at(500) == 50.0


def test_one_factor_is_refused() -> None:
    with pytest.raises(BadRequest, match="two or more factors"):
        Settings(factors=1)


def test_a_batch_draws_from_every_section_alike() -> None:
    sections = two_sections()
    batch = next(batches(source(sections, LINEAR), LINEAR, 0, "cpu"))
    assert batch.sizes == [LINEAR.batch] * 2
    assert torch.bincount(batch.section).tolist() == batch.sizes
    torch.testing.assert_close(batch.library, batch.counts.sum(dim=1))
