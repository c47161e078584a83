"""Copying and linear interpolation between spots: the baselines that anything has to beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from scipy.spatial import cKDTree

from backend.models.soscope.layouts import Layout


def linear_weights(layout: Layout) -> csr_matrix:
    """Return the weights of spots in each subspot, (n, N) csr_matrix whose rows sum to 1.

    Notes
    -----
    Bilinear on a square lattice (9, 3, 3 and 1 sixteenths for 2 x 2 subspots), linear in triangles
    on a hexagonal one. Where a neighbour is absent the others share its weight.
    """
    rows, columns, values = [], [], []
    own = layout.subspot_section
    for s, (basis, shape) in enumerate(zip(layout.bases, layout.shapes, strict=True)):
        spots, subspots = np.flatnonzero(layout.section == s), np.flatnonzero(own == s)
        if not len(spots):
            continue
        reach = 1.5 * float(layout.pitches[s])
        near = cKDTree(layout.xy[subspots]).sparse_distance_matrix(
            cKDTree(layout.spots[spots]), reach, output_type="coo_matrix"
        )
        f, b = subspots[near.row], spots[near.col]
        apart = (layout.xy[f] - layout.spots[b]) @ np.linalg.inv(basis)
        rows.append(f)
        columns.append(b)
        values.append(_tent(apart, shape))
    f, b, v = (np.concatenate(part) for part in (rows, columns, values))
    return _normalised(layout, f, b, v)


def interpolated(layout: Layout, totals: csr_matrix) -> NDArray[np.float64]:
    """Return counts per subspot by linear interpolation of the spots' means, (n, g).

    Parameters
    ----------
    layout : Layout
    totals : (N, g) csr_matrix
        Counts of the spots.
    """
    return np.asarray(linear_weights(layout) @ _dense(means_of(layout, totals)))


def copied(layout: Layout, totals: csr_matrix) -> NDArray[np.float64]:
    """Return counts per subspot as equal shares of the spot, (n, g)."""
    return _dense(means_of(layout, totals))[layout.parent]


def means_of(layout: Layout, totals: csr_matrix) -> csr_matrix:
    """Return the mean counts per subspot of each spot, (N, g)."""
    return csr_matrix(diags(1.0 / layout.counts) @ totals)


def rescaled(
    layout: Layout, values: NDArray[np.float64], totals: csr_matrix
) -> NDArray[np.float64]:
    """Return values per subspot scaled so that those of a spot sum to its counts, (n, g).

    Where all subspots of a spot are 0 its counts are shared equally.
    """
    sums = layout.sums() @ values
    whole = np.asarray(totals.todense(), np.float64)
    empty = sums <= 0
    ratio = np.where(empty, 0.0, whole / np.where(empty, 1.0, sums))
    equal = np.where(empty, whole / layout.counts[:, None], 0.0)
    return np.asarray(values * ratio[layout.parent] + equal[layout.parent])


def _dense(values: csr_matrix) -> NDArray[np.float64]:
    return np.asarray(values.todense(), np.float64)


def _tent(apart: NDArray[np.float64], shape: str) -> NDArray[np.float64]:
    """Return the weight of a spot so many lattice steps away."""
    a, b = np.abs(apart.T)
    if shape == "square":
        return np.maximum(1 - a, 0) * np.maximum(1 - b, 0)
    return np.maximum(1 - np.max([a, b, np.abs(apart.sum(axis=1))], axis=0), 0)


def _normalised(
    layout: Layout,
    f: NDArray[np.int64],
    b: NDArray[np.int64],
    v: NDArray[np.float64],
) -> csr_matrix:
    """Return weights that sum to 1; a subspot out of reach of all spots copies its own."""
    shape = (layout.n_subspots, layout.n_spots)
    weights = csr_matrix((v, (f, b)), shape=shape)
    sums = np.asarray(weights.sum(axis=1)).ravel()
    lost = np.flatnonzero(sums <= 1e-9)
    weights = diags(np.where(sums > 1e-9, 1 / np.maximum(sums, 1e-9), 0)) @ weights
    own = csr_matrix((np.ones(len(lost)), (lost, layout.parent[lost])), shape=shape)
    found = csr_matrix(weights + own)
    found.eliminate_zeros()
    return found
