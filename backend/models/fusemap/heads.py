"""What is known of one label: classifiers, how far they were right, and what a novel cell is.

A head reads cells in one of three ways. ``near``: a query much like a reference section is read
in the head's own space, on the reference's scale. ``far``: a query of another technology is read
in the common space, on its own scale, by classes that follow it. ``alone``: the same for cells
without places. All that is stated of a reading comes from cells it was not trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import logsumexp

from backend.models.common.calibration import ReliabilityBin, ThresholdRow, probabilities
from backend.models.fusemap.reader import Reader, Scale, over_niches, weighted

Reading = Literal["near", "far", "alone"]
READINGS: tuple[Reading, ...] = ("near", "far", "alone")
#: What is left unexplained counts so much beside the lack of evidence.
UNEXPLAINED_WEIGHT = 0.5
#: A label that is more likely wrong than right is never given.
LEAST_CONFIDENCE = 0.5


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
class HeldOut:
    """How far a reading was right on cells that it was not trained on.

    accuracy, macro_f1 : of the likeliest class of every cell
    kept, error : at the threshold;  table : at others
    ece, curve : expected calibration error and reliability curve
    baselines : name to {"accuracy", "macro_f1"} on the same cells
    """

    how: str
    n_cells: int
    accuracy: float
    macro_f1: float
    nll_before: float
    nll_after: float
    kept: float
    error: float
    ece: float
    table: tuple[ThresholdRow, ...]
    curve: tuple[ReliabilityBin, ...]
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self) | {
            "table": [asdict(row) for row in self.table],
            "curve": [asdict(b) for b in self.curve],
            "baselines": {name: dict(b) for name, b in self.baselines.items()},
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> HeldOut:
        """Return what ``as_json`` wrote."""
        return cls(
            **{
                **values,
                "table": tuple(ThresholdRow(**row) for row in values["table"]),
                "curve": tuple(ReliabilityBin(**b) for b in values["curve"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Calibration:
    """What held-out cells teach about a reading.

    temperature : that scores are divided by
    threshold : least confidence of a label that is given
    usual, spread : median and robust deviation of the lack of evidence of known cells
    doubted_from : confidence is lowered above this novelty
    novel_from : confidence is halved here, and a cell that is more novel is called novel
    """

    temperature: float
    threshold: float
    usual: float
    spread: float
    doubted_from: float
    novel_from: float
    held_out: HeldOut


@dataclass(frozen=True, slots=True)
class Head:
    """Readers of one label, each with its calibration.

    of_places : whether it is a label of places (regions, layers), whose neighbours share it
    """

    of_places: bool
    readers: Mapping[Reading, Reader]
    calibrations: Mapping[Reading, Calibration]


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
    standard = standardised(reader, cells, reading, own_scale)
    scores = reader.scores(standard, own_scale)
    if head.of_places and cells.near is not None:
        scores = over_niches(scores, cells.near)
    missing = lack_of_evidence(reader, standard, smoother(cells, head.of_places))
    novelty = novelty_of(missing, cells.unexplained, c.usual, c.spread)
    left = trust_left(novelty, c.doubted_from, c.novel_from)
    return Prediction(probabilities(scores, c.temperature), novelty, left, novelty > c.novel_from)


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


def lack_of_evidence(
    reader: Reader, standard: NDArray[np.float64], mean: csr_matrix
) -> NDArray[np.float64]:
    """Return minus the log evidence for any known class, averaged, (n,).

    Notes
    -----
    The energy of Liu et al., "Energy-based out-of-distribution detection", NeurIPS 2020.
    """
    x = weighted(standard, reader.niche_weight)
    energy = -logsumexp(x @ reader.weights + reader.intercept, axis=1)
    return np.asarray(mean @ energy, dtype=np.float64)


def novelty_of(
    missing: NDArray[np.float64], unexplained: NDArray[np.float64], usual: float, spread: float
) -> NDArray[np.float64]:
    """Return the novelty (n,): 0 for the usual known cell, in squeezed robust deviations."""
    evidence = np.arcsinh((missing - usual) / spread)
    return np.asarray(evidence + UNEXPLAINED_WEIGHT * np.arcsinh(unexplained))


def trust_left(
    novelty: NDArray[np.float64], doubted_from: float, novel_from: float
) -> NDArray[np.float64]:
    """Return the share of confidence that novelty leaves: 1, then falling, 0.5 where novel."""
    width = max(2 * (novel_from - doubted_from), 1e-9)
    return np.asarray(np.clip(1 - (novelty - doubted_from) / width, 0.0, 1.0))


def robust(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the median and the robust deviation (1.48 median absolute deviations)."""
    middle = float(np.median(values)) if len(values) else 0.0
    away = float(np.median(np.abs(values - middle))) if len(values) else 0.0
    return middle, max(1.4826 * away, 1e-9)
