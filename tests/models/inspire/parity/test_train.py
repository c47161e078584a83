from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from backend.core.errors import Cancelled, Diverged
from backend.core.job import RunContext
from backend.models.common.agreement import agreement
from backend.models.inspire.parity.batches import batches, source
from backend.models.inspire.parity.outputs import Embedded, copied
from backend.models.inspire.parity.settings import Encoder
from backend.models.inspire.parity.train import fit, network_terms, start, take_step
from tests.models.inspire.parity.two import HOW, SMALL, raw_sections, two_sections, types


@pytest.mark.parametrize("encoder", ["linear", "attention"])
def test_planted_types_are_factors_of_both_sections(encoder: Encoder) -> None:
    fitted = fit(raw_sections(), replace(SMALL, encoder=encoder), HOW, RunContext(seed=0))
    strongest = np.concatenate([s.proportions.argmax(axis=1) for s in fitted.sections])
    assert agreement(strongest, np.tile(types(), 2))[0] > 0.9
    # The genes of a type are the largest of its program.
    tops = [set(np.argsort(-w)[:4].tolist()) for w in fitted.programs]
    assert sorted(tops, key=min) == [{0, 1, 2, 3}, {4, 5, 6, 7}]
    first, last = fitted.history[0], fitted.history[-1]
    assert last["L_REC"] < first["L_REC"]
    assert fitted.offsets.shape == (2, 12)


@pytest.mark.parametrize("encoder", ["linear", "attention"])
def test_one_seed_gives_one_result(encoder: Encoder) -> None:
    settings = replace(SMALL, encoder=encoder, steps=5)
    one, two = (fit(raw_sections(), settings, HOW, RunContext(seed=3)) for _ in range(2))
    np.testing.assert_array_equal(one.sections[1].z, two.sections[1].z)
    other = fit(raw_sections(), settings, HOW, RunContext(seed=4))
    assert not np.array_equal(one.sections[1].z, other.sections[1].z)


def test_the_network_learns_from_critics_that_have_moved_and_does_not_move_them() -> None:
    t = start(2, 12, SMALL, RunContext(seed=0))
    batch = next(batches(source(two_sections(), SMALL), SMALL, 0, "cpu"))
    take_step(t, batch, 0)
    moved = [p.detach().clone() for p in t.critics.parameters()]
    before = [p.detach().clone() for p in t.network.parameters()]
    t.critics_optimiser.param_groups[0]["lr"] = 0.0
    take_step(t, batch, 1)
    assert all(torch.equal(a, b) for a, b in zip(moved, t.critics.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(before, t.network.parameters(), strict=True))


def test_the_mean_geometry_does_not_grow_with_the_batch() -> None:
    mean = replace(SMALL, geometry_scale="mean")
    t = start(2, 12, mean, RunContext(seed=0))
    found = []
    for size in (256, 2048):
        batch = next(batches(source(two_sections(), mean), replace(mean, batch=size), 0, "cpu"))
        with torch.no_grad():
            seen = t.network(batch.features, batch.section)
            found.append(network_terms(seen, batch, mean)["L_GEO"].item())
    assert found[0] == pytest.approx(found[1], rel=0.15)


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    with pytest.raises(Diverged, match="step 1"):
        fit(raw_sections(), replace(SMALL, rebuilt=float("inf")), HOW, RunContext())


def test_a_cancelled_training_stops() -> None:
    with pytest.raises(Cancelled):
        fit(raw_sections(), SMALL, HOW, RunContext(cancelled=lambda: True))


def test_values_come_from_the_nearest_cells() -> None:
    none = np.zeros((2, 0), np.float32)
    near = Embedded(np.arange(2), np.array([[0.0], [10.0]], np.float32), none)
    target = Embedded(np.arange(2), np.array([[9.0], [1.0]], np.float32), none)
    values = np.array([[1.0], [5.0]])
    assert copied(near, values, target).tolist() == [[5.0], [1.0]]
    assert copied(near, values, target, k=2).tolist() == [[3.0], [3.0]]
