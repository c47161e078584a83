"""Image features as a kernel takes them: standardised, compressed, half-whitened."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Components at most.
COMPONENTS = 16


def image_components(
    features: NDArray[np.float32], sections: NDArray[np.integer], n_parents: int
) -> NDArray[np.float32]:
    """Return the leading components of image features, each scaled to the root of its spread.

    Features are z-scored within each section, so that a slide stained darker is not another
    tissue. Half-whitening (division by the fourth root of the variance) lets lesser components
    speak without letting noise shout.

    Parameters
    ----------
    features : (n, p) float32
        As ``image_bank`` returns them.
    sections : (n,) int
        Section of each subspot.
    n_parents : int
        Spots that will be fitted; at most a quarter as many components are kept.

    Returns
    -------
    (n, k) float32, k = min(16, n_parents / 4, p)
        Same features, same answer: the sign of a component is that of its largest loading.
    """
    scored = np.empty(features.shape, np.float64)
    for section in np.unique(sections):
        rows = sections == section
        scored[rows] = _z_score(features[rows].astype(np.float64))
    values, axes = np.linalg.eigh(scored.T @ scored / len(scored))
    keep = max(min(COMPONENTS, n_parents // 4, int((values > 1e-9 * values[-1]).sum())), 1)
    values, axes = values[::-1][:keep], axes[:, ::-1][:, :keep]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(keep)])
    return (scored @ axes / np.maximum(values, 1e-12) ** 0.25).astype(np.float32)


def _z_score(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return columns of mean 0 and spread 1; those that do not vary are 0."""
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    return np.where(spread > 1e-9, centred / np.maximum(spread, 1e-9), 0.0)
