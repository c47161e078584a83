"""Windows: a few dozen cells of one place, so that near and far pairs can be told among them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

#: Neighbours are at most this far apart, hard negatives this far, easy ones farther; micrometres.
NEAR, HARD = 30.0, (80.0, 150.0)
#: Cells of a window are within this of its centre; some more come from anywhere.
REACH = 180.0
#: Share of the window that is neighbours of its anchors, and share from anywhere.
NEIGHBOURS, ANYWHERE = 0.5, 0.2


@dataclass(frozen=True, slots=True)
class Places:
    """Cells of one section that can be trained on.

    xy : (n, 2) float64, micrometres.
    tree : cKDTree of them.
    """

    xy: NDArray[np.float64]
    tree: cKDTree


def places_of(xy: NDArray[np.float32]) -> Places:
    """Return places with their tree."""
    flat = np.asarray(xy, dtype=np.float64)
    return Places(flat, cKDTree(flat))


def draw_window(places: Places, n: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return rows of at most ``n`` different cells around a random centre."""
    centre = places.xy[random.integers(len(places.xy))]
    inside = np.asarray(places.tree.query_ball_point(centre, REACH), dtype=np.int64)
    n_anchors = max(int(n * (1 - NEIGHBOURS - ANYWHERE)), 1)
    anchors = random.permutation(inside)[:n_anchors]
    near = places.tree.query_ball_point(places.xy[anchors], NEAR)
    around = np.setdiff1d(np.concatenate([np.asarray(c, np.int64) for c in near]), anchors)
    around = random.permutation(around)[: int(n * NEIGHBOURS)]
    chosen = np.concatenate([anchors, around])
    far = np.setdiff1d(random.integers(0, len(places.xy), n - len(chosen)), chosen)
    return np.sort(np.concatenate([chosen, far]))


def pair_targets(
    xy: NDArray[np.float64], second: NDArray[np.int64], hard: float = 0.5
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return whether pairs are neighbours, and how much each counts, both (n, m) float32.

    Rows are all cells of a window, columns the cells ``second`` (m,) of them.

    Neighbours, hard and easy negatives weigh 1 : hard : 1 - hard in total, each class spread over
    its pairs. Pairs between 30 and 80 um, and a cell with itself, do not count. Without a neighbour
    or without a negative nothing counts.
    """
    away = np.linalg.norm(xy[:, None] - xy[second][None], axis=-1)
    away[second, np.arange(len(second))] = 0.5 * (NEAR + HARD[0])
    near = away <= NEAR
    middle, far = (away >= HARD[0]) & (away <= HARD[1]), away > HARD[1]
    kinds = ((near, 1.0), (middle, hard), (far, 1.0 - hard))
    weight = np.zeros(away.shape, np.float32)
    if near.any() and (away >= HARD[0]).any():
        for own, share in kinds:
            weight[own] = share / max(int(own.sum()), 1)
    return near.astype(np.float32), weight
