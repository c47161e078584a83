"""Laying sections on one another: anchors, a rigid fit, a trimmed refit, landmarks, a chain.

Zhao et al., Nat Genet 58, 1138 (2026): anchors are mutual nearest neighbours of two sections in the
integrated space; the fit is Kabsch's; the half of the anchors that fits worst is dropped and the
rest fitted again; landmark factors may refine it by iterated closest points; sections of a stack
are laid one after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]

#: Share of the anchors that a refit keeps; of landmark pairs that iterated closest points keep.
KEPT, CLOSEST = 0.5, 0.9
#: Iterations of closest points, and the change of the mean distance at which they stop.
ITERATIONS, SETTLED = 1_000, 1e-3
#: Cells per section among which anchors are sought, anchors that a fit needs, share of a factor
#: that makes a landmark, neighbours of a score.
MOST_CELLS, LEAST_ANCHORS, LANDMARK, NEAR = 20_000, 6, 0.6, 6


@dataclass(frozen=True, slots=True)
class Rigid:
    """A rotation (2, 2) and a translation (2,): moved = xy @ rotation.T + translation."""

    rotation: Floats
    translation: Floats

    def move(self, xy: NDArray[np.floating]) -> Floats:
        """Return moved places, (n, 2)."""
        return np.asarray(xy @ self.rotation.T + self.translation)

    def after(self, first: Rigid) -> Rigid:
        """Return this movement after another."""
        moved = self.rotation @ first.translation + self.translation
        return Rigid(self.rotation @ first.rotation, moved)

    @property
    def degrees(self) -> float:
        """Angle of the rotation, counter-clockwise where y grows upwards."""
        return float(np.degrees(np.arctan2(self.rotation[1, 0], self.rotation[0, 0])))


STILL = Rigid(np.eye(2), np.zeros(2))


@dataclass(frozen=True, slots=True)
class Laid:
    """One section on the one before: movement, anchors found and kept, median residual."""

    rigid: Rigid
    anchors: int
    kept: int
    residual: float


def kabsch(a: NDArray[np.floating], b: NDArray[np.floating]) -> Rigid:
    """Return the rigid movement of ``a`` (n, 2) that is closest to ``b``; no mirror, no scale."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    h = (x - x.mean(axis=0)).T @ (y - y.mean(axis=0))
    u, _, vt = np.linalg.svd(h)
    if np.linalg.det(vt.T @ u.T) < 0:
        vt[-1] *= -1
    rotation = vt.T @ u.T
    return Rigid(rotation, y.mean(axis=0) - rotation @ x.mean(axis=0))


def mutual_pairs(a: Floats, b: Floats, k: int = 1) -> NDArray[np.int64]:
    """Return pairs (i, j) of which each is among the ``k`` nearest of the other, (m, 2)."""
    _, ab = cKDTree(b).query(a, min(k, len(b)))
    _, ba = cKDTree(a).query(b, min(k, len(a)))
    ab, ba = ab.reshape(len(a), -1), ba.reshape(len(b), -1)
    forward = csr_matrix(
        (np.ones(ab.size), (np.repeat(np.arange(len(a)), ab.shape[1]), ab.ravel())),
        shape=(len(a), len(b)),
    )
    backward = csr_matrix(
        (np.ones(ba.size), (ba.ravel(), np.repeat(np.arange(len(b)), ba.shape[1]))),
        shape=(len(a), len(b)),
    )
    i, j = forward.multiply(backward).nonzero()
    return np.stack([i, j], axis=1).astype(np.int64)


def lay(
    xy: NDArray[np.floating], z: Floats, onto_xy: NDArray[np.floating], onto_z: Floats,
    k: int = 1, seed: int = 1234,
) -> Laid:  # fmt: skip
    """Return how one section is laid on another.

    Parameters
    ----------
    xy, onto_xy : (n, 2), (m, 2) places
    z, onto_z : (n, d), (m, d) integrated space, such as proportions of places
    k : int
        Neighbours of an anchor; raised to 5 where fewer than ``LEAST_ANCHORS`` are mutual.
    """
    own, other = _some(len(xy), seed), _some(len(onto_xy), seed)
    pairs = mutual_pairs(z[own], onto_z[other], k)
    if len(pairs) < LEAST_ANCHORS:
        pairs = mutual_pairs(z[own], onto_z[other], 5)
    if len(pairs) < 2:
        centre = onto_xy.mean(axis=0) - xy.mean(axis=0)
        return Laid(Rigid(np.eye(2), centre), len(pairs), 0, float("nan"))
    a, b = xy[own][pairs[:, 0]], onto_xy[other][pairs[:, 1]]
    first = kabsch(a, b)
    residual = np.linalg.norm(first.move(a) - b, axis=1)
    keep = residual <= np.quantile(residual, KEPT)
    second = kabsch(a[keep], b[keep]) if keep.sum() >= 2 else first
    left = np.linalg.norm(second.move(a[keep]) - b[keep], axis=1)
    return Laid(second, len(pairs), int(keep.sum()), float(np.median(left)))


def refine(xy: NDArray[np.floating], onto_xy: NDArray[np.floating], begin: Rigid) -> Rigid:
    """Return a movement refined by iterated closest points of landmark cells.

    Parameters
    ----------
    xy, onto_xy : (n, 2), (m, 2)
        Places of the landmark cells of both sections.
    begin : Rigid
    """
    if len(xy) < LEAST_ANCHORS or len(onto_xy) < LEAST_ANCHORS:
        return begin
    tree = cKDTree(onto_xy)
    moved, before = begin.move(xy), np.inf
    for _ in range(ITERATIONS):
        distance, near = tree.query(moved)
        keep = distance <= np.quantile(distance, CLOSEST)
        moved = kabsch(moved[keep], onto_xy[near[keep]]).move(moved)
        mean = float(distance[keep].mean())
        if abs(before - mean) < SETTLED:
            break
        before = mean
    return kabsch(xy, moved)


def chain(
    places: Sequence[NDArray[np.floating]],
    spaces: Sequence[Floats],
    landmarks: Sequence[NDArray[np.bool_]] | None = None,
    seed: int = 1234,
) -> list[Laid]:
    """Return every section's movement onto the first, each laid on the one before.

    Parameters
    ----------
    places : (n, 2) per section, in the order of the stack
    spaces : (n, d) per section
    landmarks : (n,) bool per section, optional
        Cells by which movements are refined.
    """
    out = [Laid(STILL, 0, 0, 0.0)]
    moved = [np.asarray(places[0], dtype=np.float64)]
    for s in range(1, len(places)):
        found = lay(places[s], spaces[s], moved[-1], spaces[s - 1], seed=seed)
        rigid = found.rigid
        if landmarks is not None:
            rigid = refine(places[s][landmarks[s]], moved[-1][landmarks[s - 1]], rigid)
        out.append(Laid(rigid, found.anchors, found.kept, found.residual))
        moved.append(rigid.move(places[s]))
    return out


def expression_score(
    xy: NDArray[np.floating], counts: csr_matrix, onto_xy: NDArray[np.floating],
    onto_counts: csr_matrix,
) -> float:  # fmt: skip
    """Return the mean over cells of the best r of counts with its six nearest of the other section.

    Parameters
    ----------
    counts, onto_counts : (n, g), (m, g) csr_matrix of the same genes
    """
    _, near = cKDTree(onto_xy).query(xy, min(NEAR, len(onto_xy)))
    near = near.reshape(len(xy), -1)
    best = np.full(len(xy), -np.inf)
    mean_a, sd_a = _moments(counts)
    mean_b, sd_b = _moments(onto_counts)
    g = counts.shape[1]
    for column in near.T:
        other = onto_counts[column]
        cross = np.asarray(counts.multiply(other).sum(axis=1)).ravel() / g
        scale = sd_a * sd_b[column]
        r = (cross - mean_a * mean_b[column]) / np.where(scale > 0, scale, np.inf)
        best = np.maximum(best, r)
    return float(best.mean())


def type_score(
    xy: NDArray[np.floating], types: NDArray[np.integer], onto_xy: NDArray[np.floating],
    onto_types: NDArray[np.integer],
) -> float:  # fmt: skip
    """Return the share of cells that have one of their own type among six nearest of the other."""
    _, near = cKDTree(onto_xy).query(xy, min(NEAR, len(onto_xy)))
    same = onto_types[near.reshape(len(xy), -1)] == types[:, None]
    return float(same.any(axis=1)[types >= 0].mean()) if (types >= 0).any() else float("nan")


def _moments(counts: csr_matrix) -> tuple[Floats, Floats]:
    g = counts.shape[1]
    mean = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel() / g
    square = np.asarray(counts.multiply(counts).sum(axis=1), dtype=np.float64).ravel() / g
    return mean, np.sqrt(np.maximum(square - mean**2, 0.0))


def _some(n: int, seed: int) -> NDArray[np.int64]:
    if n <= MOST_CELLS:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, MOST_CELLS, replace=False))
