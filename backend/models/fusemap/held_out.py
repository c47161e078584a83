"""How far a way of reading a label was right on cells that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from backend.models.common.calibration import (
    ReliabilityBin,
    ThresholdRow,
    calibration_error,
    error_by_chance,
    negative_log_likelihood,
    probabilities,
    reliability,
    threshold_for,
    threshold_table,
)

#: A label that is more likely wrong than right is never given.
LEAST_CONFIDENCE = 0.5
#: What plain neighbours must gain in accuracy to be taken in place of the model.
LEAST_GAIN = 0.01


@dataclass(frozen=True, slots=True)
class HeldOut:
    """How far a reading was right on cells that it was not trained on.

    accuracy, macro_f1 : of the likeliest class of every cell
    kept, error : at the threshold;  table : at others
    ece, curve : expected calibration error and reliability curve
    ece_by_chance : what perfectly calibrated cells as many would show
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
    ece_by_chance: float = 0.0
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
class Said:
    """What was said of held-out cells: logits before and after calibration (n, c), and the truth.

    left : (n,) share of confidence that novelty leaves;  novel : (n,) called novel
    """

    before: NDArray[np.float64]
    after: NDArray[np.float64]
    truth: NDArray[np.int64]
    left: NDArray[np.float64]
    novel: NDArray[np.bool_]


def judged(
    said: Said, how: str, error: float, baselines: Mapping[str, Mapping[str, float]]
) -> tuple[float, HeldOut]:
    """Return the threshold that leaves at most ``error`` wrong, and the figures.

    Parameters
    ----------
    said : Said
    how : str
        In words how the cells were held out.
    error : float
    baselines : name to {"accuracy", "macro_f1"}
    """
    probability = probabilities(said.after, 1.0)
    guess = probability.argmax(axis=1)
    right = guess == said.truth
    confidence = probability.max(axis=1) * said.left
    sure = np.where(said.novel, -1.0, confidence)
    row = threshold_for(sure, right, error, LEAST_CONFIDENCE)
    curve = reliability(confidence, right)
    figures = HeldOut(
        how=how,
        n_cells=len(right),
        **accuracy_and_f1(said.truth, guess),
        nll_before=negative_log_likelihood(said.before, said.truth),
        nll_after=negative_log_likelihood(said.after, said.truth),
        kept=row.kept,
        error=row.error,
        ece=calibration_error(curve),
        table=threshold_table(sure, right),
        curve=curve,
        ece_by_chance=error_by_chance(confidence),
        baselines=baselines,
    )
    return row.threshold, figures


def accuracy_and_f1(truth: NDArray[np.int64], guess: NDArray[np.int64]) -> dict[str, float]:
    """Return ``accuracy``, and ``macro_f1`` over the classes of the truth."""
    classes = np.unique(truth)
    f1 = f1_score(truth, guess, average="macro", labels=classes, zero_division=0)
    return {"accuracy": float((truth == guess).mean()), "macro_f1": float(f1)}


@dataclass(frozen=True, slots=True)
class PlainReading:
    """What held-out cells teach about nearest neighbours in shared genes, beside the model.

    temperature : that log shares of votes are divided by
    threshold : least confidence of a label that is given
    model : {"accuracy", "macro_f1"} of the model on the same cells
    """

    temperature: float
    threshold: float
    model: Mapping[str, float]
    held_out: HeldOut

    @property
    def is_better(self) -> bool:
        """Whether neighbours were right more often than the model, by more than a margin."""
        return self.held_out.accuracy > self.model["accuracy"] + LEAST_GAIN

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "temperature": self.temperature,
            "threshold": self.threshold,
            "model": dict(self.model),
            "held_out": self.held_out.as_json(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> PlainReading:
        """Return what ``as_json`` wrote."""
        held_out = HeldOut.from_json(values["held_out"])
        return cls(
            float(values["temperature"]), float(values["threshold"]), values["model"], held_out
        )
