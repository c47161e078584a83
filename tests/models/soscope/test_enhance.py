import numpy as np
import pytest

from backend.core.job import RunContext
from backend.models.soscope.enhance import Enhanced, enhance_layout, fit_layout
from backend.models.soscope.factors import factorise
from backend.models.soscope.interpolate import interpolated, means_of, rescaled
from backend.models.soscope.krige import krige
from backend.models.soscope.measures import correlations, within_correlations
from backend.models.soscope.tiles import tiles_of
from tests.models.soscope.planted import Planted, planted


@pytest.fixture(scope="module")
def section() -> Planted:
    return planted()


@pytest.fixture(scope="module")
def shown(section: Planted) -> Enhanced:
    ctx = RunContext()
    return enhance_layout(section.layout, section.totals, ctx, features=section.features)


def test_an_image_that_shows_the_patches_is_used_and_improves_every_output(
    section: Planted, shown: Enhanced
) -> None:
    assert shown.gate.is_open
    assert shown.gate.chance == 0.05
    assert max(control.fit for control in shown.gate.controls) < shown.gate.fit / 3
    assert shown.method == "model"
    linear = rescaled(section.layout, interpolated(section.layout, section.totals), section.totals)
    parent, truth = section.layout.parent, section.truth
    patchy = slice(0, None, 2)
    plain = within_correlations(linear, truth, parent)[patchy]
    model = within_correlations(shown.split, truth, parent)[patchy]
    assert np.median(model) > np.median(plain) + 0.2
    expected = section.expected
    gain = correlations(shown.rate, expected) - correlations(linear, expected)
    assert (gain > 0).mean() > 0.9


def test_split_preserves_counts_to_a_millionth(section: Planted, shown: Enhanced) -> None:
    sums = section.layout.sums() @ shown.split.astype(np.float64)
    np.testing.assert_allclose(sums, section.totals.toarray(), rtol=1e-6)


def test_an_image_of_other_spots_is_not_used(section: Planted) -> None:
    other = section.features[np.random.default_rng(1).permutation(len(section.features))]
    _, found = fit_layout(
        section.layout, section.totals, np.zeros(40, np.int64), other, RunContext()
    )
    assert not found.gate.is_open
    shares = np.array([p.share for p in found.points])
    assert found.weights[shares > 0].sum() == 0


def test_the_sd_of_rate_covers_the_expected_expression(section: Planted, shown: Enhanced) -> None:
    error = np.abs(np.sqrt(section.truth + 0.375) - np.sqrt(shown.rate + 0.375))
    root_sd = shown.sd / (2 * np.sqrt(np.maximum(shown.rate, 1e-6)))
    covered = (error < 1.645 * np.sqrt(root_sd**2 + 0.25)).mean()
    assert 0.8 < covered < 0.99


def test_without_an_image_it_stays_close_to_rescaled_interpolation_or_better(
    section: Planted,
) -> None:
    found = enhance_layout(section.layout, section.totals, RunContext())
    linear = rescaled(section.layout, interpolated(section.layout, section.totals), section.totals)
    gain = correlations(found.split, section.truth) - correlations(linear, section.truth)
    assert np.median(gain) > -0.002
    assert np.isnan(found.gate.image)


def test_the_same_seed_gives_the_same_subspots(section: Planted, shown: Enhanced) -> None:
    again = enhance_layout(section.layout, section.totals, RunContext(), features=section.features)
    np.testing.assert_array_equal(again.rate, shown.rate)


def test_tiles_give_what_the_whole_gives(section: Planted) -> None:
    layout = section.layout
    factors = factorise(means_of(layout, section.totals), 4.0, np.zeros(40, np.int64))
    whole = krige(layout, factors, None, RunContext())
    cut = tiles_of(layout, most_spots=100)
    assert len(cut) > 1
    assert sum(int(t.core.sum()) for t in cut) == layout.n_spots
    tiled = krige(layout, factors, None, RunContext(), tiles=cut)
    spread = whole.rate.std(axis=0)[:2]
    apart = np.sqrt(((tiled.rate - whole.rate) ** 2).mean(axis=0))[:2]
    assert (apart < 0.2 * spread).all()
