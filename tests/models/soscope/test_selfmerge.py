from collections.abc import Callable

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.models.soscope import blocks, selfmerge
from backend.models.soscope.interpolate import copied, interpolated, rescaled
from backend.models.soscope.layouts import Layout, subdivided
from backend.models.soscope.selfmerge import MODEL, Recover, SelfMerge, self_merge
from tests.models.soscope.planted import grid

Found = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def linear(layout: Layout, totals: csr_matrix, image: object) -> Found:
    made = rescaled(layout, interpolated(layout, totals), totals)
    return lambda genes: (made[:, genes], np.zeros_like(made[:, genes]))


def equal(layout: Layout, totals: csr_matrix, image: object) -> Found:
    made = copied(layout, totals)
    return lambda genes: (made[:, genes], np.zeros_like(made[:, genes]))


def wave(side: int = 12, noise: float = 1.0) -> csr_matrix:
    xy = grid(side)
    level = 60 * (1.5 + np.sin(xy[:, :1] / 150 + np.arange(5)))
    return csr_matrix(np.random.default_rng(0).poisson(level * noise).astype(np.float64))


def check(split: Recover, totals: csr_matrix, side: int = 12) -> SelfMerge | None:
    return self_merge(subdivided(grid(side), 2), totals, None, split)


def test_interpolation_gains_nothing_over_itself_and_copying_loses() -> None:
    same, worse = check(linear, wave()), check(equal, wave())
    assert same is not None
    assert worse is not None
    assert same.change == 0
    assert worse.change > 0.1
    assert worse.choice == "bilinear"
    assert [m["name"] for m in same.methods].count(MODEL) == 1


def test_where_neighbours_say_nothing_copying_is_chosen() -> None:
    # Every merged spot of one tiling is of one level; neighbours are unlike it.
    checks = np.indices((24, 24)).sum(axis=0).ravel() % 2
    totals = csr_matrix(np.repeat((10.0 + 80 * checks)[:, None], 3, axis=1))
    found = check(linear, totals, side=24)
    assert found is not None
    assert found.copy <= found.linear + 1e-9


def test_the_spread_is_that_of_errors_against_the_expected_sd() -> None:
    totals = csr_matrix(np.random.default_rng(0).poisson(np.full((576, 3), 50.0)))
    right = check(equal, totals.astype(np.float64), side=24)
    assert right is not None
    np.testing.assert_allclose(right.spread, np.sqrt(3 / 4), rtol=0.06)  # the sum is known


def test_a_section_too_small_to_be_merged_has_no_verdict() -> None:
    assert check(linear, wave(4), side=4) is None


def test_gains_by_spot_are_those_of_the_spots_that_were_merged() -> None:
    found = check(equal, wave())
    assert found is not None
    assert found.by_spot.shape == (144,)
    assert (found.by_spot > 0).mean() > 0.7  # copying loses nearly everywhere
    same = check(linear, wave())
    assert same is not None
    assert np.nanmax(np.abs(same.by_spot)) == 0


def test_the_verdict_does_not_depend_on_how_many_genes_are_worked_on_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = check(equal, wave())
    monkeypatch.setattr(blocks, "MOST_VALUES", 300)  # two genes at a time
    parts = check(equal, wave())
    monkeypatch.setattr(selfmerge, "MOST_SPOTS", 5)  # plain methods only
    plain = check(equal, wave())
    assert whole is not None
    assert parts is not None
    assert plain is not None
    np.testing.assert_allclose(parts.by_gene, whole.by_gene)
    np.testing.assert_allclose(parts.spread, whole.spread)
    assert parts.methods == whole.methods
    assert {m["name"] for m in plain.methods} < {m["name"] for m in whole.methods}
