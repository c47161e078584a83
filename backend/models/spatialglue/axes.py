"""Spatial axes of a modality: directions of its components ranked by Moran's I, with unit noise.

For components F (n, d) with covariance C and ring average W, solve G v = rho C v with
G = sym(F' W F) / n; rho is Moran's I of the axis F v. Axes above what shuffled spots reach are
kept and scaled to F v / sqrt(1 - rho), v' C v = 1: the part of an axis that its neighbours do not
predict has variance 1, so a distance between spots is a signal-to-noise distance and joining
modalities side by side weights each by its inverse noise.

Deviation from the reference, which feeds components as they are, with scales of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse import csr_matrix

#: Shuffles of the spots that say what Moran's I an axis without structure can reach.
SHUFFLES = 20
#: Moran's I above which noise is not taken to shrink further.
LARGEST_MORAN = 0.98


@dataclass(frozen=True, slots=True)
class Axes:
    """Spatial axes of one modality.

    Parameters
    ----------
    directions : (d, a) float64
        Components (as centred here) to axes.
    centre : (d,) float64
    moran : (a,) float64
        Moran's I of the kept axes, descending.
    null : float
        Largest Moran's I of shuffled spots.
    """

    directions: NDArray[np.float64]
    centre: NDArray[np.float64]
    moran: NDArray[np.float64]
    null: float

    @property
    def count(self) -> int:
        """Number of axes kept."""
        return int(self.directions.shape[1])

    def __call__(self, components: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the axes of spots, (n, a) float32."""
        return ((components - self.centre) @ self.directions).astype(np.float32)


def spatial_axes(
    components: NDArray[np.floating], ring: csr_matrix, rng: np.random.Generator
) -> Axes:
    """Return the axes of ``components`` that vary in space more than shuffled spots do.

    Parameters
    ----------
    components : (n, d)
        Of the spots that have the modality.
    ring : (n, n) csr_matrix
        Average over spatial neighbours.
    rng : Generator
        Shuffles the spots.

    Returns
    -------
    Axes
        None kept where nothing is above the shuffles.
    """
    f = np.asarray(components, np.float64)
    centre = f.mean(axis=0)
    f = f - centre
    n = len(f)
    white = _whitening(f.T @ f / n)
    f = f @ white
    shuffled = [_moran(f[rng.permutation(n)], ring)[0][-1] for _ in range(SHUFFLES)]
    null = float(max(shuffled))
    rho, v = _moran(f, ring)
    keep = np.flatnonzero(rho > null)[::-1]
    noise = np.sqrt(1 - np.minimum(rho[keep], LARGEST_MORAN))
    directions = white @ v[:, keep] / noise
    top = np.abs(directions).argmax(axis=0)
    directions = directions * np.sign(directions[top, np.arange(len(keep))])
    return Axes(directions, centre, rho[keep], null)


def _whitening(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a matrix that makes the covariance the identity; directions without spread go."""
    values, vectors = eigh(covariance)
    keep = values > values[-1] * 1e-9
    return vectors[:, keep] / np.sqrt(values[keep])


def _moran(
    white: NDArray[np.float64], ring: csr_matrix
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Moran's I ascending, and directions, of whitened components."""
    g = white.T @ (ring @ white) / len(white)
    values, vectors = eigh((g + g.T) / 2)
    return values, vectors
