"""Plain competitors that see the same spots and image: a spatial Gaussian process, regressions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix
from scipy.spatial.distance import cdist
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeCV
from sklearn.neural_network import MLPRegressor

from backend.models.soscope.factors import FLOOR
from backend.models.soscope.interpolate import copied, interpolated, means_of, rescaled
from backend.models.soscope.layouts import Layout

Values = NDArray[np.float64]
#: Lengths in pitches and noises that the Gaussian process chooses among by its likelihood.
GP_LENGTHS, GP_NOISES = (1.0, 2.0, 4.0, 8.0), (0.03, 0.1, 0.3, 1.0)
#: Penalties that ridge chooses among by leave-one-out error.
PENALTIES = tuple(float(v) for v in np.logspace(-2, 4, 13))
#: Random Fourier features of coordinates, and their length in pitches.
FOURIER, FOURIER_LENGTH = 100, 4.0
#: Spots above which methods that need all pairs of spots, or many steps, are left out.
MOST_SPOTS = 1500
#: How the two scales of a method are named.
RESCALED = ", rescaled"


def plain(layout: Layout, totals: csr_matrix) -> dict[str, Values]:
    """Return copying, linear interpolation, and that rescaled to the counts, each (n, g)."""
    linear = interpolated(layout, totals)
    return {
        "copy": copied(layout, totals),
        "bilinear": linear,
        f"bilinear{RESCALED}": rescaled(layout, linear, totals),
    }


def competitors(
    layout: Layout, totals: csr_matrix, features: NDArray[np.float32] | None, seed: int
) -> dict[str, Values]:
    """Return regressions and a Gaussian process, as they are and rescaled, each (n, g).

    Parameters
    ----------
    layout : Layout
    totals : (N, g) csr_matrix
        Counts.
    features : (n, p) float32 or None
        Image features; without them only the Gaussian process runs.
    seed : int

    Notes
    -----
    All are fitted to the means of spots and predict the subspots; none sees a subspot's count.
    """
    means = np.asarray(means_of(layout, totals).todense(), np.float64)
    methods: dict[str, Callable[[], Values]] = {
        "spatial GP": lambda: gaussian_process(layout, means)
    }
    if features is not None:
        image = _scaled(features.astype(np.float64))
        places = _fourier(layout, seed)
        joint = np.concatenate([image, places], axis=1)
        methods |= {
            "image ridge": lambda: ridge(layout, means, image),
            "image MLP": lambda: perceptron(layout, means, image, seed),
            "joint ridge": lambda: ridge(layout, means, joint),
        }
    out = {}
    for name, method in methods.items():
        if layout.n_spots > MOST_SPOTS:
            continue
        # The floor of the model, so that no method is undone by predicting none at all.
        found = np.maximum(method(), FLOOR**2 * means.mean(axis=0))
        out[name], out[name + RESCALED] = found, rescaled(layout, found, totals)
    return out


def gaussian_process(layout: Layout, means: Values) -> Values:
    """Return a Gaussian process with a squared exponential kernel between centres, (n, g).

    One length and noise for all genes, by their summed profile likelihood.
    """
    pitch = layout.pitches[layout.section][:, None]
    spots, subspots = layout.spots / pitch, layout.xy / pitch[layout.parent]
    same = layout.section[:, None] == layout.section[None]
    apart = cdist(spots, spots, "sqeuclidean")
    level = means.mean(axis=0)
    centred = means - level
    best: tuple[float, float, Values] | None = None
    for length in GP_LENGTHS:
        kernel = np.exp(-apart / (2 * length**2)) * same
        for noise in GP_NOISES:
            root = cho_factor(kernel + noise * np.eye(len(kernel)), lower=True)
            alpha = np.asarray(cho_solve(root, centred))
            fit = np.maximum((centred * alpha).sum(axis=0), 1e-12)
            half = float(np.log(np.diag(root[0])).sum())
            score = -0.5 * len(kernel) * float(np.log(fit).mean()) - half
            if best is None or score > best[0]:
                best = score, length, alpha
    assert best is not None
    _, length, alpha = best
    cross = np.exp(-cdist(subspots, spots, "sqeuclidean") / (2 * length**2))
    return np.asarray((cross * same[layout.parent]) @ alpha + level)


def ridge(layout: Layout, means: Values, features: Values) -> Values:
    """Return linear regression of spots on features, its penalty by leave-one-out, (n, g)."""
    fitted = RidgeCV(PENALTIES, alpha_per_target=True).fit(layout.means() @ features, means)
    return np.asarray(fitted.predict(features)).reshape(len(features), -1)


def perceptron(layout: Layout, means: Values, features: Values, seed: int) -> Values:
    """Return a network of two hidden layers, 128 and 32 wide, from features to spots, (n, g)."""
    spread = np.maximum(means.std(axis=0), 1e-9)
    model = MLPRegressor(
        hidden_layer_sizes=(128, 32),
        early_stopping=len(means) >= 40,
        max_iter=300,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(layout.means() @ features, (means - means.mean(axis=0)) / spread)
    found = np.asarray(model.predict(features)).reshape(len(features), -1)
    return found * spread + means.mean(axis=0)


def all_methods(
    layout: Layout,
    totals: csr_matrix,
    features: NDArray[np.float32] | None,
    seed: int,
    model: Mapping[str, Values],
    *,
    with_slow: bool = True,
) -> dict[str, Values]:
    """Return the model's outputs and those of everything else, by name, each (n, g)."""
    slow = competitors(layout, totals, features, seed) if with_slow else {}
    return {**model, **plain(layout, totals), **slow}


def _scaled(features: Values) -> Values:
    spread = features.std(axis=0)
    return np.where(spread > 1e-9, (features - features.mean(axis=0)) / (spread + 1e-12), 0.0)


def _fourier(layout: Layout, seed: int) -> Values:
    """Return random Fourier features of coordinates, other ones in each section, (n, 100)."""
    rng = np.random.default_rng(seed)
    section = layout.subspot_section
    places = layout.xy / layout.pitches[section][:, None]
    waves = rng.normal(0, 1 / FOURIER_LENGTH, (2, FOURIER))
    shift = rng.uniform(0, 2 * np.pi, (len(layout.bases), FOURIER))
    return np.asarray(np.cos(places @ waves + shift[section]))
