"""What the generative model reads, and what it derives from it once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.spatial import cKDTree

from backend.core.errors import BadRequest
from backend.models.soscope.generative.likelihood import LAWS, Law

#: Factors that stand for the features of a modality.
FACTORS = 20
#: Spots around a subspot that its latent is averaged over, and the width of the average, pitches.
AROUND, WIDTH = 9, 0.5


@dataclass(frozen=True, slots=True)
class Modality:
    """Features of one kind.

    Parameters
    ----------
    law : str
        "poisson" or "nb" for counts, "gaussian" for values such as components.
    values : (n, g) float32
        Counts: the sum over a spot. Gaussian values: the mean over a spot.
    """

    law: Law
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Spots, their subspots, and what was measured.

    Parameters
    ----------
    modalities : sequence of Modality
        Of the same spots.
    parents : (s,) int
        Spot of each subspot.
    spots, subspots : (n, 2) and (s, 2) float
        Places in pitches of the spots.
    image : (s, d) float32
        Standardised image components; (s, 0) without an image.
    """

    modalities: Sequence[Modality]
    parents: NDArray[np.int64]
    spots: NDArray[np.float64]
    subspots: NDArray[np.float64]
    image: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Compressed:
    """A modality as the network sees it.

    Parameters
    ----------
    scores : (n, k) float32
        Factor scores of the spots, at the scale of a subspot.
    loadings : (k, g) float32
    centre : (g,) float32
        Counts: typical root of a subspot's expectation. Gaussian: mean.
    totals : (n, g) float32
        What the likelihood is of: sums over spots.
    """

    law: Law
    scores: NDArray[np.float32]
    loadings: NDArray[np.float32]
    centre: NDArray[np.float32]
    totals: NDArray[np.float32]


def checked(inputs: Inputs) -> Inputs:
    """Return the inputs; raise BadRequest with all that does not fit."""
    n, s = len(inputs.spots), len(inputs.subspots)
    faults = []
    if not inputs.modalities:
        faults.append("There is no modality.")
    for k, modality in enumerate(inputs.modalities):
        name = f"Modality {k + 1}"
        if modality.law not in LAWS:
            faults.append(f"{name}: '{modality.law}' is none of {', '.join(LAWS)}.")
        if len(modality.values) != n:
            faults.append(f"{name} has {len(modality.values)} spots, there are {n} places.")
        if not np.isfinite(modality.values).all():
            faults.append(f"{name} has values that are not finite.")
        elif modality.law != "gaussian" and _is_no_count(modality.values):
            faults.append(f"{name}: '{modality.law}' needs counts, whole and not below zero.")
    if len(inputs.parents) != s or len(inputs.image) != s:
        faults.append(f"{s} subspots, {len(inputs.parents)} parents, {len(inputs.image)} images.")
    elif not np.array_equal(np.unique(inputs.parents), np.arange(n)):
        faults.append("Every spot needs subspots, and every parent must be a spot.")
    if n < 4:
        faults.append(f"{n} spots are too few to learn from; 4 are the least.")
    if faults:
        raise BadRequest("The generative mode cannot use these inputs.", *faults)
    return inputs


def compressed(modality: Modality, sizes: NDArray[np.int64]) -> Compressed:
    """Return the factors of a modality's spots.

    Parameters
    ----------
    modality : Modality
    sizes : (n,) int
        Subspots per spot.
    """
    values = modality.values.astype(np.float64)
    each = values if modality.law == "gaussian" else values / sizes[:, None]
    roots = each if modality.law == "gaussian" else np.sqrt(each + 0.1 / sizes[:, None])
    centre = roots.mean(axis=0)
    u, spread, loadings = np.linalg.svd(roots - centre, full_matrices=False)
    keep = max(min(FACTORS, len(values) - 2, int((spread > 1e-9 * spread[0]).sum())), 1)
    scores = u[:, :keep] * spread[:keep]
    scale = max(float(scores.std()), 1e-12)
    totals = values * sizes[:, None] if modality.law == "gaussian" else values
    return Compressed(
        modality.law,
        (scores / scale).astype(np.float32),
        (loadings[:keep] * scale).astype(np.float32),
        centre.astype(np.float32),
        totals.astype(np.float32),
    )


def around(spots: NDArray[np.floating], subspots: NDArray[np.floating]) -> csr_matrix:
    """Return the weights (s, n) of the spots around each subspot; rows sum to 1."""
    k = min(AROUND, len(spots))
    apart, found = cKDTree(spots).query(subspots, k)
    apart, found = apart.reshape(-1, k), found.reshape(-1, k)
    # The nearest always counts, however far a subspot lies from all.
    weight = np.exp(-(apart**2 - apart[:, :1] ** 2) / (2 * WIDTH**2))
    weight /= weight.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(len(subspots)), k)
    at = (rows, found.ravel())
    return coo_matrix((weight.ravel(), at), shape=(len(subspots), len(spots))).tocsr()


def neighbour_edges(spots: NDArray[np.floating], k: int = 6) -> NDArray[np.int64]:
    """Return edges (2, e) from each spot's nearest within 1.6 pitches, and a loop each."""
    k = min(k, len(spots) - 1)
    apart, found = cKDTree(spots).query(spots, k + 1)
    target = np.repeat(np.arange(len(spots)), k)
    source = found[:, 1:].ravel()
    near = apart[:, 1:].ravel() < 1.6
    loop = np.arange(len(spots))
    return np.stack([np.r_[source[near], loop], np.r_[target[near], loop]]).astype(np.int64)


def _is_no_count(values: NDArray[np.floating]) -> bool:
    return bool((values < 0).any() or (values != np.rint(values)).any())
