"""The image as it is against the same image turned, mirrored, moved and shuffled.

If the image tells something of these spots, none of its copies in wrong places fits better: among
19 of them an image that tells nothing is the best one in 20. An image that was sent turned or
mirrored is found out, too, since one of its copies is then the right one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import logsumexp

from backend.models.soscope.evidence import fit_points, posterior
from backend.models.soscope.kernels import Blocks, block_kernels
from backend.models.soscope.layouts import Layout
from backend.models.soscope.settings import Point, prior

#: Parts of the extent that the image is moved by; what leaves on one side comes in on the other.
MOVES = ((0.25, 0.0), (0.5, 0.0), (0.0, 0.25), (0.0, 0.5))
#: Shuffles of the spots: with 7 turns and mirrors and 4 moves 19 controls, so that p reaches .05.
SHUFFLES = 8
#: Spots on which controls are weighed: those in the middle of each section.
MOST_SPOTS = 700
#: Noises of the choices with an image that are weighed.
MOST_NOISE = 0.3


@dataclass(frozen=True, slots=True)
class Control:
    """One way of looking at the image.

    Parameters
    ----------
    name : str
        Such as "turned by 180°"; empty for the image as it is.
    kind : "", "turned", "mirrored", "moved" or "shuffled"
    probability : float
        That the image matters.
    fit : float
        Log of how much likelier the spots are with the image than without, nats; mean over factors
        weighed by their size.
    """

    name: str
    kind: str
    probability: float
    fit: float


def weigh_controls(
    layout: Layout,
    scores: NDArray[np.float64],
    size: NDArray[np.float64],
    y: NDArray[np.float32],
    width: float,
    points: tuple[Point, ...],
    seed: int,
) -> list[Control]:
    """Return how the image fits as it is, and then its controls.

    Parameters
    ----------
    layout : Layout
    scores : (N, k) float64
        Factors of the spots.
    size : (k,) float64
        Sum of squares of the factors.
    y : (n, c) float32
        Image components of the subspots.
    width : float
        Of the image kernel.
    points : tuple of Point
    seed : int
        Of the shuffles.
    """
    spots = middle(layout, MOST_SPOTS)
    part, rows = layout.part(spots)
    blocks, _ = block_kernels(part, y[rows], width)
    assert blocks.image is not None
    noise = part.counts.mean() / part.counts
    fit = fit_points(blocks, noise, scores[spots], points)
    shown = [i for i, p in enumerate(points) if p.share > 0 and p.noise <= MOST_NOISE]
    found = [_weighed("", "", fit.evidence, points, size)]
    for name, kind, order in orders(part, seed):
        other = Blocks(blocks.by_length, blocks.image[np.ix_(order, order)])
        again = fit_points(other, noise, scores[spots], tuple(points[i] for i in shown))
        evidence = fit.evidence.copy()
        evidence[shown] = again.evidence
        found.append(_weighed(name, kind, evidence, points, size))
    return found


def orders(layout: Layout, seed: int) -> Iterator[tuple[str, str, NDArray[np.int64]]]:
    """Yield name, kind and (N,) the spot whose image each spot is shown, section by section."""
    for flip in (False, True):
        for quarter in range(4):
            if flip or quarter:
                turned = f"turned by {90 * quarter}°" if quarter else ""
                words = [w for w in ("mirrored" if flip else "", turned) if w]
                kind = "mirrored" if flip else "turned"
                yield " and ".join(words), kind, _placed(layout, *_turn(quarter, flip))
    for move in MOVES:
        way = "across" if move[0] else "down"
        name = f"moved by {max(move):.0%} {way}".replace("%", " %")
        yield name, "moved", _placed(layout, np.eye(2), np.array(move))
    for k in range(SHUFFLES):
        yield "shuffled between spots", "shuffled", shuffled(layout, seed + k)


def middle(layout: Layout, most: int) -> NDArray[np.int64]:
    """Return the spots in the middle of each section, ascending; all where these are few enough."""
    if layout.n_spots <= most:
        return np.arange(layout.n_spots)
    share = most / layout.n_spots
    kept = []
    for s in np.unique(layout.section):
        own = np.flatnonzero(layout.section == s)
        apart = np.abs(layout.spots[own] - np.median(layout.spots[own], axis=0)).max(axis=1)
        kept.append(own[np.argsort(apart, kind="stable")[: max(int(share * len(own)), 1)]])
    return np.sort(np.concatenate(kept))


def shuffled(layout: Layout, seed: int) -> NDArray[np.int64]:
    """Return another spot of the same section for each spot, at random, (N,)."""
    order = np.arange(layout.n_spots)
    rng = np.random.default_rng(seed)
    for s in np.unique(layout.section):
        own = np.flatnonzero(layout.section == s)
        order[own] = rng.permutation(own)
    return order


def image_probability(
    evidence: NDArray[np.float64], points: tuple[Point, ...], size: NDArray[np.float64]
) -> float:
    """Return the mean posterior mass of choices with the image, factors weighed by their size."""
    weight = posterior(evidence, prior(points, "split", True))
    shown = np.array([point.share > 0 for point in points])
    return float((weight[shown].sum(axis=0) * size).sum() / size.sum())


def image_fit(
    evidence: NDArray[np.float64], points: tuple[Point, ...], size: NDArray[np.float64]
) -> float:
    """Return the log evidence ratio of choices with and without the image; see ``Control``."""
    mass = prior(points, "split", True)
    log = evidence[mass > 0] + np.log(mass[mass > 0])[:, None]
    shown = np.array([point.share > 0 for point in points])[mass > 0]
    ratio = logsumexp(log[shown], axis=0) - logsumexp(log[~shown], axis=0)
    return float((ratio * size).sum() / size.sum())


def _weighed(
    name: str,
    kind: str,
    evidence: NDArray[np.float64],
    points: tuple[Point, ...],
    size: NDArray[np.float64],
) -> Control:
    return Control(
        name, kind, image_probability(evidence, points, size), image_fit(evidence, points, size)
    )


def _turn(quarter: int, flip: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a turn of the unit square about its centre, as matrix and shift of row vectors."""
    step = np.array([[0.0, 1.0], [-1.0, 0.0]])
    matrix = np.diag([-1.0 if flip else 1.0, 1.0]) @ np.linalg.matrix_power(step, quarter)
    return matrix, np.array([0.5, 0.5]) - np.array([0.5, 0.5]) @ matrix


def _placed(
    layout: Layout, matrix: NDArray[np.float64], shift: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the spot nearest to where each goes in the unit square of its section, (N,)."""
    order = np.arange(layout.n_spots)
    for s in np.unique(layout.section):
        own = np.flatnonzero(layout.section == s)
        places = layout.spots[own]
        low = places.min(axis=0)
        extent = np.maximum(np.ptp(places, axis=0), 1e-9)
        goes = (places - low) / extent @ matrix + shift
        # What leaves the square on one side comes in on the other; its far edge is its own.
        goes = np.where((goes < -1e-9) | (goes > 1 + 1e-9), goes % 1.0, goes)
        order[own] = own[cKDTree(places).query(goes * extent + low)[1]]
    return order
