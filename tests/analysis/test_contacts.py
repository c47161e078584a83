"""Contacts: counted exactly, called rarely by chance, found where they were planted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from backend.analysis.contacts import Contact, ContactParams, Patch, count_contacts
from backend.analysis.contacts_null import Null, neighbour_pairs, tally
from backend.core.errors import BadRequest, Cancelled, TooFewCells
from backend.core.job import RunContext

QUICK = ContactParams(n_shifts=200)


def tissue(seed: int, side: float = 1200.0) -> NDArray[np.float64]:
    """Return cells 11 um apart at least, as tissue has them and a Poisson process has not."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, side, (int(side * side * 0.004), 2))
    for _ in range(30):
        pairs = neighbour_pairs(xy, 11.0)
        apart = xy[pairs[:, 0]] - xy[pairs[:, 1]]
        push = apart * (11.5 / (np.linalg.norm(apart, axis=1, keepdims=True) + 1e-9) - 1) / 2
        np.add.at(xy, pairs[:, 0], push)
        np.add.at(xy, pairs[:, 1], -push)
    return xy


def patch(xy: NDArray[Any], types: NDArray[Any], **more: str) -> Patch:
    return Patch(
        more.get("section", "s"), more.get("animal", "1"), more.get("region", ""), xy, types
    )


def pair(found: list[Contact], a: int, b: int, region: str = "") -> Contact:
    return next(c for c in found if (c.region, c.a, c.b) == (region, a, b))


@pytest.mark.parametrize("null", ["places", "free"])
def test_contacts_of_four_cells_are_counted_by_hand(null: Null) -> None:
    xy = np.array([[0, 0], [20, 0], [40, 0], [500, 0]])
    found = tally(xy, np.array([0, 1, 1, 0]), 2, null=null, n_shifts=20)
    assert found.observed.tolist() == [[0, 1], [0, 1]]


def test_free_shifts_count_what_a_tree_counts() -> None:
    rng = np.random.default_rng(0)
    xy, types = rng.uniform(0, 400, (300, 2)), rng.integers(0, 3, 300)
    # A shift of nearly nothing leaves every contact as it is.
    found = tally(xy, types, 3, null="free", reach_um=1e-6, n_shifts=5)
    pairs = cKDTree(xy).query_pairs(30.0, output_type="ndarray")
    expected = np.zeros((3, 3))
    for i, j in pairs:
        expected[min(types[i], types[j]), max(types[i], types[j])] += 1
    assert np.array_equal(found.observed, expected)
    assert np.array_equal(found.mean, expected)


def test_places_keep_the_number_of_contacts_and_of_cells() -> None:
    rng = np.random.default_rng(1)
    xy, types = rng.uniform(0, 400, (300, 2)), rng.integers(0, 3, 300)
    found = tally(xy, types, 3, n_shifts=40)
    assert found.mean.sum() == pytest.approx(found.observed.sum())
    assert (found.variance[np.triu_indices(3)] > 0).all()


def test_random_types_are_called_in_at_most_five_per_cent_of_pairs() -> None:
    called = []
    for seed in range(6):
        xy = tissue(seed)
        types = np.random.default_rng(seed).choice(6, len(xy), p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.1])
        # A band is the hardest case: free shifts thin it out.
        band = np.where(xy[:, 1] < 200, 0, 1)
        patches = [
            patch(xy[band == r], types[band == r], region=name) for r, name in enumerate("ab")
        ]
        called += [c.call != "" for c in count_contacts(patches, replace(QUICK, seed=seed))]
    assert len(called) == 6 * 2 * 21
    assert np.mean(called) <= 0.05


def test_planted_attraction_and_avoidance_are_found() -> None:
    xy = tissue(3)
    rng = np.random.default_rng(3)
    types = rng.choice(3, len(xy), p=[0.6, 0.2, 0.2])
    # Every second cell of type 1 turns a neighbour into type 2; 0 stays as it was.
    pairs = neighbour_pairs(xy, 20.0)
    for i, j in pairs[rng.permutation(len(pairs))]:
        if types[i] == 1 and types[j] == 0 and rng.random() < 0.6:
            types[j] = 2
    found = count_contacts([patch(xy, types)], QUICK)
    assert pair(found, 1, 2).call == "attraction"
    assert pair(found, 1, 2).fold > 1.1
    assert pair(found, 0, 1).call == "avoidance"
    assert pair(found, 0, 1).z < -4


def test_the_same_seed_gives_the_same_and_other_sections_change_nothing() -> None:
    xy = tissue(4, 600)
    types = np.random.default_rng(4).integers(0, 3, len(xy))
    one = count_contacts([patch(xy, types, region="a")], QUICK)
    again = count_contacts([patch(xy, types, region="b"), patch(xy, types, region="a")], QUICK)
    assert [c for c in again if c.region == "a"] == one
    other = count_contacts([patch(xy, types, region="a")], replace(QUICK, seed=1))
    assert pair(other, 0, 1, "a").expected != pair(one, 0, 1, "a").expected


def test_sections_add_up_and_animals_are_heard_one_by_one() -> None:
    xy = tissue(5, 600)
    types = np.random.default_rng(5).integers(0, 2, len(xy))
    patches = [patch(xy, types, section=f"s{k}", animal=animal) for k, animal in enumerate("1123")]
    one = pair(count_contacts(patches[:1], QUICK), 0, 1)
    all_four = pair(count_contacts(patches, QUICK), 0, 1)
    assert all_four.contacts == 4 * one.contacts
    assert all_four.n_animals == 3
    assert all_four.p_animals is not None
    assert one.p_animals is None


def test_an_animal_that_disagrees_keeps_a_pair_from_being_called() -> None:
    xy = tissue(6, 600)
    apart = (xy[:, 0] % 60 < 30).astype(int)  # stripes: unlike types avoid one another
    alone = count_contacts([patch(xy, apart, animal="1")], QUICK)
    assert pair(alone, 0, 1).call == "avoidance"
    checks = ((xy[:, 0] // 12 + xy[:, 1] // 12) % 2).astype(int)
    mixed = [patch(xy, apart, animal="1"), patch(xy, checks, section="t", animal="2")]
    found = pair(count_contacts(mixed, QUICK), 0, 1)
    assert (found.n_animals, found.n_agree, found.call) == (2, 1, "")


def test_rare_types_and_few_contacts_are_left_out() -> None:
    xy = tissue(7, 600)
    types = np.zeros(len(xy), int)
    types[:30], types[30:40] = 1, -1
    found = count_contacts([patch(xy, types)], QUICK)
    assert [(c.a, c.b) for c in found] == [(0, 0)]
    with pytest.raises(TooFewCells, match="more than 9000 cells"):
        count_contacts([patch(xy, types)], replace(QUICK, least_cells=9000))


def test_bad_parameters_are_all_named_at_once() -> None:
    with pytest.raises(BadRequest, match="radius_um is -1.*n_shifts is 3"):
        ContactParams(radius_um=-1, n_shifts=3).checked()


def test_a_count_can_be_cancelled() -> None:
    xy = tissue(8, 600)
    with pytest.raises(Cancelled):
        count_contacts(
            [patch(xy, np.zeros(len(xy), int))], QUICK, RunContext(cancelled=lambda: True)
        )
