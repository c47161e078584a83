"""Matching marks of a section with a picture: closest points in the same region, both ways."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from backend.analysis.registration.affine import Affine, Freedom, fit
from backend.analysis.registration.outline import Tissue
from backend.analysis.registration.picture import Picture
from backend.analysis.registration.section_picture import STEP_UM, picture_of

Points = NDArray[np.float64]

#: Distance beyond which a mark counts as lost, micrometres.
LOST_UM = 600.0
#: Weight of marks that are home already: they hold the map in place.
HOME = 0.25
#: Weight of pairs found from the picture, beside those found from the section.
BACK = 0.5
#: Weight of all tissue and of all surroundings, where the regions together weigh 1.
OUTLINE = 0.3
#: Part of its largest moves that each step leaves out.
TRIM = 0.1


@dataclass(frozen=True, eq=False)
class Marks:
    """What of a section is matched.

    Parameters
    ----------
    points : (n, 2)
        Micrometres of the section.
    codes : (n,)
        Region of each, or tissue or surroundings as ``Picture`` numbers them.
    weight : (n,)
    tissue : Tissue
    picture : Picture
        Of the section, in which regions of the reference are looked for.
    pairs : (p, 4)
        Landmarks set by a person: x, y of the section, right and down in the plane.
    """

    points: Points
    codes: NDArray[np.int64]
    weight: NDArray[np.float64]
    tissue: Tissue
    picture: Picture
    pairs: Points

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """Weight of all marks of each code."""
        found = np.bincount(self.codes, self.weight, self.picture.n_regions + 2)
        return found.astype(np.float64)

    @property
    def named(self) -> NDArray[np.int64]:
        """Regions that have marks."""
        return np.flatnonzero(self.shares[: self.picture.n_regions] > 0)

    def those(self, kept: NDArray[np.bool_] | NDArray[np.int64]) -> Marks:
        """Return some of the marks."""
        rows = (self.points[kept], self.codes[kept], self.weight[kept])
        return Marks(*rows, self.tissue, self.picture, self.pairs)

    def unframed(self) -> Marks:
        """Return the marks of a window: nothing is known of what lies around it."""
        kept = self.those(self.codes != self.picture.n_regions + 1)
        return replace(kept, tissue=self.tissue.unframed())

    def with_more(self, points: Points, code: int) -> Marks:
        """Return the marks and further points of a region, together as heavy as the outline."""
        weight = np.full(len(points), OUTLINE / len(points))
        return Marks(
            np.concatenate([self.points, points]),
            np.concatenate([self.codes, np.full(len(points), code)]),
            np.concatenate([self.weight, weight]),
            self.tissue,
            self.picture,
            self.pairs,
        )

    def some(self, n: int, seed: int) -> Marks:
        """Return at most n of the marks, drawn evenly."""
        if len(self.points) <= n:
            return self
        return self.those(np.random.default_rng(seed).permutation(len(self.points))[:n])


class Pairs(NamedTuple):
    """Places of a section, where they should go, and how much each counts."""

    source: Points
    goal: Points
    weight: NDArray[np.float64]


def marks_of(
    xy: Points,
    codes: NDArray[np.int64],
    n_regions: int,
    tissue: Tissue,
    pairs: Points,
    seed: int,
    per_region: int = 250,
) -> Marks:
    """Return marks drawn from labelled cells, the tissue and what is seen to lie around it.

    Parameters
    ----------
    codes : (n,)
        -1 where a cell has no region.
    """
    rng = np.random.default_rng(seed)
    points, found, weight = [], [], []
    for code in np.unique(codes[codes >= 0]):
        rows = np.flatnonzero(codes == code)
        rows = rng.choice(rows, min(len(rows), per_region), replace=False)
        points.append(xy[rows])
        found.append(np.full(len(rows), code))
        # Large regions count more, but not in proportion: small ones place a section best.
        weight.append(np.full(len(rows), np.sqrt(np.sum(codes == code)) / len(rows)))
    regions = sum(w.sum() for w in weight) or 1.0
    weight = [w / regions for w in weight]
    near = _rim(tissue)
    for mask, code in ((tissue.mask, n_regions), (near, n_regions + 1)):
        centres = tissue.centres(mask)
        rows = rng.choice(len(centres), min(len(centres), 2 * per_region), replace=False)
        points.append(centres[rows])
        found.append(np.full(len(rows), code))
        weight.append(np.full(len(rows), OUTLINE / max(len(rows), 1)))
    step = max(STEP_UM, tissue.step / 2)
    return Marks(
        np.concatenate(points),
        np.concatenate(found),
        np.concatenate(weight),
        tissue,
        picture_of(xy, codes, n_regions, tissue, step),
        pairs,
    )


def _rim(tissue: Tissue) -> NDArray[np.bool_]:
    """Return the surroundings near the tissue: what is far away says nothing more."""
    far = distance_transform_edt(~tissue.mask) * tissue.step
    return np.asarray(tissue.surround & (far < LOST_UM))


def cost(marks: Marks, picture: Picture, places: Points) -> float:
    """Return the mean share of ``LOST_UM`` that marks lie off their regions, 0 best and 1 worst."""
    far, _ = picture.nearest(places, marks.codes)
    return float(marks.weight @ np.minimum(far / LOST_UM, 1.0) / marks.weight.sum())


def forward(marks: Marks, picture: Picture, places: Points) -> Pairs:
    """Return where each mark should go from its present place in the plane."""
    far, goal = picture.nearest(places, marks.codes)
    home = far == 0
    robust = 1.0 / (1.0 + (far / (LOST_UM / 2)) ** 2)
    weight = marks.weight * np.where(home, HOME, robust)
    weight[~np.isfinite(far)] = 0.0
    moving = ~home & np.isfinite(far)
    if moving.sum() > 20:
        weight[moving & (far > np.quantile(far[moving], 1 - TRIM))] = 0.0
    return Pairs(marks.points, goal, weight)


@dataclass(frozen=True, eq=False)
class Samples:
    """Pixels of a picture's regions, to be looked for in the section."""

    points: Points
    codes: NDArray[np.int64]


def samples_of(marks: Marks, picture: Picture, seed: int, per_region: int = 60) -> Samples:
    """Return pixels of the regions that the section names, drawn evenly."""
    rng = np.random.default_rng(seed)
    points, codes = [np.zeros((0, 2))], [np.zeros(0, np.int64)]
    for code in marks.named[picture.present[marks.named]]:
        centres = picture.centres(picture.masks[code])
        rows = rng.choice(len(centres), min(len(centres), per_region), replace=False)
        points.append(centres[rows])
        codes.append(np.full(len(rows), code))
    return Samples(np.concatenate(points), np.concatenate(codes))


def backward(marks: Marks, samples: Samples, origins: Points) -> Pairs:
    """Return pairs found from the picture: each sample with the nearest mark of its region.

    Parameters
    ----------
    origins : (m, 2)
        Where the samples lie in the section at present; those off its tissue are left out.
    """
    far, goal, seen = _looked_up(marks, samples, origins)
    codes = samples.codes[seen]
    near = 2 * marks.picture.step
    robust = np.where(far < near, HOME, 1 / (1 + (far / (LOST_UM / 2)) ** 2))
    each = marks.shares[codes] / np.bincount(codes, minlength=1)[codes]
    return Pairs(goal, samples.points[seen], robust * BACK * each)


def _looked_up(
    marks: Marks, samples: Samples, origins: Points
) -> tuple[NDArray[np.float64], Points, NDArray[np.int64]]:
    """Return distance and place of each sample's region in the section, and which were seen."""
    seen = np.flatnonzero(marks.tissue.has(origins))
    far, place = marks.picture.nearest(origins[seen], samples.codes[seen])
    found = np.isfinite(far)
    return far[found], place[found], seen[found]


def lost_back(marks: Marks, samples: Samples, origins: Points) -> float:
    """Return the mean share of ``LOST_UM`` from samples on the tissue to marks of their region."""
    far, _, seen = _looked_up(marks, samples, origins)
    codes = samples.codes[seen]
    if not len(codes):
        return 0.0
    each = marks.shares[codes] / np.bincount(codes)[codes]
    return float(each @ np.minimum(far / LOST_UM, 1.0) / each.sum())


def joined(marks: Marks, *parts: Pairs) -> Pairs:
    """Return pairs together with the landmarks that a person set, each as heavy as a region."""
    set_ = marks.pairs
    parts = (*parts, Pairs(set_[:, :2], set_[:, 2:], np.full(len(set_), 0.3)))
    return Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def align(
    marks: Marks, picture: Picture, start: Affine, free: Freedom, steps: int, seed: int
) -> Affine:
    """Return the map that the closest points lead to from ``start``."""
    samples = samples_of(marks, picture, seed)
    at = start
    for _ in range(steps):
        pairs = joined(
            marks,
            forward(marks, picture, at(marks.points)),
            backward(marks, samples, at.inverse()(samples.points)),
        )
        after = fit(*pairs, free, at)
        moved = np.abs(after(marks.points) - at(marks.points)).max()
        at = after
        if moved < 1.0:
            break
    return at


def total_cost(marks: Marks, picture: Picture, at: Affine, seed: int) -> float:
    """Return the cost of a map, both ways."""
    samples = samples_of(marks, picture, seed)
    back = lost_back(marks, samples, at.inverse()(samples.points))
    return (cost(marks, picture, at(marks.points)) + BACK * back) / (1 + BACK)
