"""What is known of one label: classifiers, how far they were right, and what a novel cell is.

A head reads cells in one of three ways. ``near``: a query much like a reference section is read
in the head's own space, on the reference's scale. ``far``: a query of another technology is read
in the common space, on its own scale, by classes that follow it. ``alone``: the same for cells
without places. All that is stated of a reading comes from cells it was not trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import log_softmax

from backend.models.common.calibration import pooled, probabilities
from backend.models.fusemap.held_out import HeldOut, PlainReading
from backend.models.fusemap.novelty import Known, Novelty, signs_of
from backend.models.fusemap.reader import Reader, Scale, over_niches

Reading = Literal["near", "far", "alone"]
READINGS: tuple[Reading, ...] = ("near", "far", "alone")
#: Readers that a reading listens to; how much each counts is learnt on held-out cells.
LISTENS: Mapping[Reading, tuple[Reading, ...]] = {
    "near": ("near", "far"),
    "far": ("far",),
    "alone": ("alone",),
}
#: An averaged probability is never taken for less.
LEAST_PROBABILITY = 1e-6
#: Novelty leaves at least this share of the confidence; a novel cell is unassigned anyway.
LEAST_TRUST = 0.5


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells of one section as heads see them.

    own : (n, 2k) place of cell and niche in the head's own space
    common : (n, 2d) the same in the common space
    unexplained : (n,) of kin (or the niche), in robust deviations from the section's median
    kin : (n, n) mean over cells that are alike;  near : (n, n) neighbours, None without places
    """

    own: NDArray[np.float64]
    common: NDArray[np.float64]
    unexplained: NDArray[np.float64]
    kin: csr_matrix
    near: csr_matrix | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """What held-out cells teach about a reading.

    weights : of its voices (see ``voices``); the inverse of a temperature where there is one
    threshold : least confidence of a label that is given
    novelty : how signs of novelty are weighed
    doubted_from : confidence is lowered above this novelty
    novel_from : confidence is halved here, and a cell that is more novel is called novel
    plain : the same of plain nearest neighbours on the same cells, None where they cannot be had
    """

    weights: tuple[float, ...]
    threshold: float
    novelty: Novelty
    doubted_from: float
    novel_from: float
    held_out: HeldOut
    plain: PlainReading | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """Readers of one label, each with its calibration.

    of_places : whether it is a label of places (regions, layers), whose neighbours share it
    known : where its classes lie as each reading sees them; none where no class was left out
    """

    of_places: bool
    readers: Mapping[Reading, Reader]
    calibrations: Mapping[Reading, Calibration]
    known: Mapping[Reading, Known] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a head says of n cells.

    probability : (n, c) of the classes, were the cell of a known one
    novelty, trust : (n,) and what is left of the confidence because of it, 0..1
    novel : (n,) bool
    """

    probability: NDArray[np.float64]
    novelty: NDArray[np.float64]
    trust: NDArray[np.float64]
    novel: NDArray[np.bool_]

    @property
    def confidence(self) -> NDArray[np.float64]:
        """Calibrated probability of the likeliest class, lowered where novel, (n,)."""
        return np.asarray(self.probability.max(axis=1) * self.trust)

    def classes(self, threshold: float) -> NDArray[np.int64]:
        """Return the class of each cell, -1 where novel or below ``threshold``."""
        best = self.probability.argmax(axis=1)
        return np.where(self.novel | (self.confidence < threshold), -1, best)


def predict(
    head: Head, cells: Cells, reading: Reading = "near", own_scale: bool = True
) -> Prediction:
    """Return what ``head`` says of the cells of one section.

    Parameters
    ----------
    head : Head
    cells : Cells
    reading : {"near", "far", "alone"}
    own_scale : bool
        Whether the section has cells enough to be read on its own scale and to be followed.
    """
    reader, c = head.readers[reading], head.calibrations[reading]
    mean = smoother(cells, head.of_places)
    heard = [_scores(head, cells, name, own_scale) for name in LISTENS[reading]]
    scores = pooled(voices(heard, mean)[: len(c.weights)], c.weights)
    standard = standardised(reader, cells, reading, own_scale)
    common = standardised(head.readers["far"], cells, "far", own_scale)
    seen = own_half(standard, head.of_places), own_half(common, head.of_places)
    known = head.known.get(reading)
    signs = signs_of(reader.linear(standard), seen, known, cells.unexplained, mean)
    novelty = c.novelty.of(signs)
    left = trust_left(novelty, c.doubted_from, c.novel_from)
    return Prediction(probabilities(scores, 1.0), novelty, left, novelty > c.novel_from)


def _scores(head: Head, cells: Cells, name: Reading, own_scale: bool) -> NDArray[np.float64]:
    """Return the scores (n, c) of one reader; those of places are averaged over the niche."""
    reader = head.readers[name]
    scores = reader.scores(standardised(reader, cells, name, own_scale), own_scale)
    return over_niches(scores, cells.near) if head.of_places and cells.near is not None else scores


def voices(scores: Sequence[NDArray[np.float64]], mean: csr_matrix) -> list[NDArray[np.float64]]:
    """Return log probabilities (n, c) of each reader: of the cell, and averaged over its like."""
    out = []
    for own in (log_softmax(s, axis=1) for s in scores):
        around = np.asarray(mean @ np.exp(own))
        out += [own, np.log(np.maximum(around, LEAST_PROBABILITY))]
    return out


def standardised(
    reader: Reader, cells: Cells, reading: Reading, own_scale: bool
) -> NDArray[np.float64]:
    """Return the features that a reading looks at, (n, 2k)."""
    plain = cells.own if reading == "near" else cells.common
    scale = Scale.of(plain) if reader.adapts and own_scale else reader.scale
    return scale.apply(plain)


def smoother(cells: Cells, of_places: bool) -> csr_matrix:
    """Return what evidence is averaged over: the neighbours of places, the kin of cells."""
    return cells.near if of_places and cells.near is not None else cells.kin


def own_half(x: NDArray[np.float64], of_places: bool) -> NDArray[np.float64]:
    """Return the half of the features (n, 2k) that a label is of: the cell, or its niche."""
    k = x.shape[1] // 2
    return x[:, k:] if of_places else x[:, :k]


def trust_left(
    novelty: NDArray[np.float64], doubted_from: float, novel_from: float
) -> NDArray[np.float64]:
    """Return the share of confidence that novelty leaves: 1, then falling, half where novel."""
    width = max(2 * (novel_from - doubted_from), 1e-9)
    return np.asarray(np.clip(1 - (novelty - doubted_from) / width, LEAST_TRUST, 1.0))
