"""From factors of subspots to counts: shares that keep the sums, and expected counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backend.models.soscope.layouts import Layout

#: Share of the mean of its spot that no subspot falls below before counts are shared.
LEAST_SHARE = 0.05
#: Mean counts below which a difference within a spot is not blown up any further.
LEAST_MEAN = 0.05
#: Largest weight of the model against the count, where the model explains all there is.
MOST_KAPPA = 1e6

Values = NDArray[np.float64]


def shares(layout: Layout, values: Values, floor: Values) -> Values:
    """Return values as shares of the sum of their spot, (n, g).

    Parameters
    ----------
    values : (n, g)
    floor : (N, g)
        Least value in each spot.
    """
    held = np.maximum(values, np.maximum(floor, 1e-12)[layout.parent])
    sums = layout.sums() @ held
    return np.asarray(held / sums[layout.parent])


def split(layout: Layout, rates: Values, linear: Values, totals: Values, blend: float) -> Values:
    """Return the counts of the spots shared out among their subspots, (n, g).

    Parameters
    ----------
    rates, linear : (n, g)
        Of the model, and of linear interpolation.
    totals : (N, g)
        Counts.
    blend : float in 0..1
        Weight of the model in the geometric mean of both.

    Notes
    -----
    Given the count of a spot the split of independent Poisson counts is exactly multinomial, so no
    dispersion is needed here.
    """
    floor = LEAST_SHARE * totals / layout.counts[:, None]
    return blended(layout, rates, linear, floor, blend) * totals[layout.parent]


def blended(layout: Layout, rates: Values, linear: Values, floor: Values, blend: float) -> Values:
    """Return the geometric mean of the shares of two methods as shares, (n, g).

    Parameters
    ----------
    rates, linear : (n, g)
    floor : (N, g)
        Least value of the former in each spot.
    blend : float in 0..1
        Weight of the former.
    """
    own, plain = shares(layout, rates, floor), shares(layout, linear, 0 * floor)
    both = np.exp(blend * np.log(own) + (1 - blend) * np.log(plain))
    return shares(layout, both, 0 * floor)


def kappa(model: Values, totals: Values) -> Values:
    """Return how many expected counts of the model weigh as much as the count itself, (g,).

    Parameters
    ----------
    model, totals : (N, g)
        Expected and observed counts of the spots.

    Notes
    -----
    x ~ Poisson(m r) with r ~ Gamma(kappa, kappa): moments give kappa = sum m^2 / sum((x-m)^2 - m).
    """
    excess = ((totals - model) ** 2 - model).sum(axis=0)
    square = (model**2).sum(axis=0)
    return np.minimum(square / np.maximum(excess, 1e-9 * square + 1e-12), MOST_KAPPA)


def squared_residuals(totals: Values, expected: Values, weight: Values) -> Values:
    """Return what the model leaves of the counts of spots, over its variance, summed, (N,).

    Parameters
    ----------
    totals, expected : (N, g)
    weight : (g,)
        As ``kappa`` returns it; the variance is m + m^2 / kappa.
    """
    noise = expected + expected**2 / np.maximum(weight, 1e-9)
    return np.asarray(((totals - expected) ** 2 / np.maximum(noise, 1e-9)).sum(axis=1))


def squared_detail(layout: Layout, rates: Values) -> Values:
    """Return how far subspots are from the mean of their spot, over its noise, summed, (n,).

    Parameters
    ----------
    layout : Layout
    rates : (n, g)
        Expected counts; those of a spot's mean have their mean as variance.
    """
    means = (layout.means() @ rates)[layout.parent]
    return np.asarray(((rates - means) ** 2 / np.maximum(means, LEAST_MEAN)).sum(axis=1))


def rate(
    layout: Layout, rates: Values, linear: Values, totals: Values, blend: float = 1.0
) -> tuple[Values, Values]:
    """Return expected counts shrunk towards the observed ones, (n, g), and kappa, (g,).

    Parameters
    ----------
    rates, linear : (n, g)
        Of the model, and of linear interpolation.
    totals : (N, g)
        Counts.
    blend : float in 0..1
        Weight of the model's shares within a spot; its sum over the spot is kept.

    Notes
    -----
    Posterior mean under the Gamma-Poisson model of ``kappa``, spot by spot. kappa 0 keeps the
    sums, infinite kappa keeps the model.
    """
    model = layout.sums() @ rates
    weight = kappa(model, totals)
    expected = model * (weight + totals) / np.maximum(weight + model, 1e-12)
    return blended(layout, rates, linear, 0 * totals, blend) * expected[layout.parent], weight
