"""How much each modality has to say about a spot: evidence in bits, signal energy, ablation.

Evidence. Given domains, one Gaussian per domain with a common covariance is fitted to the smoothed
axes of every subset A of the modalities. With pi_k the share of domain k::

    v_A(i) = sum_k p(k | all, i) log2( p(k | A, i) / pi_k )          bits; v_empty = 0
    b_m(i) = mean over orders of adding modalities of v_{A + m}(i) - v_A(i)     (Shapley value)
    w_m(i) = (max(b_m, 0) + 0.1) / sum_m' (max(b_m', 0) + 0.1)

The bits of a spot sum to what all modalities together tell of its domain. Where they tell nothing,
all weights are equal; what several tell alike, they share. In a spot that lacks a modality the
orders run over those that it has.
"""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from backend.models.spatialglue.mixture import Mixture, shared_gaussians, softmax

#: Bits that every modality is given, so that a spot without evidence has equal weights.
FLOOR = 0.1
#: Log ratios (nats) are not followed below this.
LEAST = -10.0
#: Spots from which the commonest state is estimated, and the share of them around it.
STATE_SAMPLE, STATE_SHARE = 5000, 0.05
Subset = tuple[int, ...]


def subset_gaussians(
    axes: list[NDArray[np.float32]],
    present: NDArray[np.bool_],
    labels: NDArray[np.integer],
    k: int,
) -> dict[Subset, Mixture]:
    """Return the Gaussians of the domains for every subset of the modalities that have axes.

    Parameters
    ----------
    axes : M arrays (n, a_m)
        Smoothed axes; a_m may be 0.
    present : (n, M) bool
    labels : (n,) int
        Domain of each spot, 0 .. k - 1.
    k : int

    Notes
    -----
    A subset is fitted on the spots that have all of it; a subset that no two spots have is left
    out.
    """
    able = [m for m, x in enumerate(axes) if x.shape[1]]
    one = np.eye(k)[labels]
    found = {}
    for size in range(1, len(able) + 1):
        for subset in combinations(able, size):
            rows = present[:, subset].all(axis=1)
            if np.count_nonzero(rows) > 1:
                x = np.concatenate([axes[m][rows] for m in subset], axis=1)
                found[subset] = shared_gaussians(x, one[rows])
    return found


def evidence_bits(
    axes: list[NDArray[np.float32]],
    present: NDArray[np.bool_],
    gaussians: dict[Subset, Mixture],
    share: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return the bits that each modality contributes to the domain call: (n, M) float32.

    Zero for a modality that a spot lacks, or that has no spatial axis.
    """
    able = sorted({m for subset in gaussians for m in subset})
    bits = np.zeros((len(present), len(axes)), np.float32)
    patterns, which = np.unique(present[:, able], axis=0, return_inverse=True)
    for p, pattern in enumerate(patterns):
        have = tuple(m for m, has in zip(able, pattern, strict=True) if has)
        rows = np.flatnonzero(which.ravel() == p)
        if have in gaussians:
            bits[rows[:, None], list(have)] = _shapley(
                [x[rows] for x in axes], have, gaussians, share
            )
    return bits


def weights_of(bits: NDArray[np.floating], present: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return bits as weights that sum to 1 in every spot; 0 where a modality is missing."""
    return shares(np.maximum(bits, 0.0) + FLOOR, present)


def shares(values: NDArray[np.floating], present: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return each row divided by its sum over the modalities that the spot has, (n, M) float32.

    Zero for a modality that is missing; all zero where a spot has none.
    """
    given = np.where(present, values, 0.0)
    total = given.sum(axis=1, keepdims=True)
    return (given / np.where(total > 0, total, 1.0)).astype(np.float32)


def _shapley(
    axes: list[NDArray[np.float32]],
    have: Subset,
    gaussians: dict[Subset, Mixture],
    share: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Shapley shares for spots that have the same modalities, (n, len(have))."""
    log_share = np.log(np.maximum(share, 1e-300))
    subsets = [s for size in range(1, len(have) + 1) for s in combinations(have, size)]

    def log_posterior(subset: Subset) -> NDArray[np.float64]:
        x = np.concatenate([axes[m] for m in subset], axis=1)
        joint = gaussians[subset].log_joint(x)
        # Gaussians of a subset may know other shares than the whole: judge by the common ones.
        joint += log_share - np.log(np.maximum(gaussians[subset].share, 1e-300))
        return joint - softmax(joint)[1][:, None]

    whole = np.exp(log_posterior(have))
    value: dict[Subset, NDArray[np.float64]] = {(): np.zeros(len(whole))}
    for subset in subsets:
        ratio = np.maximum(log_posterior(subset) - log_share, LEAST)
        value[subset] = (whole * ratio).sum(axis=1) / np.log(2)
    bits = np.zeros((len(whole), len(have)))
    size = len(have)
    for j, m in enumerate(have):
        for subset in value:
            if m not in subset:
                order = factorial(len(subset)) * factorial(size - len(subset) - 1)
                gain = value[tuple(sorted((*subset, m)))] - value[subset]
                bits[:, j] += order / factorial(size) * gain
    return bits


def signal_energy(
    axes: list[NDArray[np.float32]], present: NDArray[np.bool_], spatial: csr_matrix
) -> NDArray[np.float32]:
    """Return how far each modality of a spot is from its commonest state, beyond noise: (n, M).

    max(0, |S x - state|^2 / v - a), with v the share of unit noise that smoothing by S leaves and
    a the number of axes. Needs no domains, but follows strength, not information.
    """
    left = float(spatial.multiply(spatial).sum(axis=1).mean())
    out = np.zeros(present.shape, np.float32)
    for m, x in enumerate(axes):
        rows = present[:, m]
        if x.shape[1]:
            far = ((x[rows] - commonest_state(x[rows])) ** 2).sum(axis=1) / left
            out[rows, m] = np.maximum(far - x.shape[1], 0.0)
    return out


def energy_weights(energy: NDArray[np.floating], present: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return energies as weights (e + 1) / sum; 0 where a modality is missing."""
    return shares(energy + 1.0, present)


def commonest_state(x: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the mean of the tightest 5 % of the spots, (a,)."""
    x = np.asarray(x, np.float64)
    sample = x[:: -(-len(x) // STATE_SAMPLE)]
    k = min(max(int(STATE_SHARE * len(sample)), 10), len(sample))
    tree = cKDTree(sample)
    distance, _ = tree.query(sample, k=[k])
    _, near = tree.query(sample[distance[:, 0].argmin()], k=k)
    return np.asarray(sample[near].mean(axis=0))
