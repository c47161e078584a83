"""Label transfer: one calibrated linear classifier per label and taxonomy, and a sense of novelty.

Features are a cell's place in a latent space and that of its niche. Everything that is stated about
a head (accuracy, temperature, threshold, novelty) comes from cells that it was not trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from backend.models.common.calibration import (
    ThresholdRow,
    fit_temperature,
    negative_log_likelihood,
    probabilities,
    tail_probability,
    threshold_for,
    threshold_table,
)
from backend.models.common.logistic import class_weights, fit_logistic
from backend.models.fusemap.space import Mapped

#: How heavy the niche is beside the cell itself; the best on held-out cells is taken.
NICHE_WEIGHTS = (0.3, 1.0, 3.0)
#: Cells that this is judged on, at most.
CHOICE_CELLS = 3_000
#: Cells further out than this share of the held-out reference are called novel.
NOVEL_TAIL = 0.01
#: Confidence is lowered from this tail on.
FULL_TRUST_TAIL = 0.05
#: A label that is more likely wrong than right is never given.
LEAST_CONFIDENCE = 0.5
#: Levels of the stored reference quantiles.
QUANTILES = np.linspace(0, 1, 401)


@dataclass(frozen=True, slots=True)
class Folds:
    """A way to hold cells out: the fold of every cell (n,), and in words what that is."""

    of: NDArray[np.int64]
    how: str


@dataclass(frozen=True, slots=True)
class HeadData:
    """Labelled cells: their place in the space, and their class 0..c-1."""

    mapped: Mapped
    classes: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """How far a head was right on cells that it was not trained on."""

    how: str
    n_cells: int
    accuracy: float
    macro_f1: float
    nll_before: float
    nll_after: float
    kept: float
    error: float
    table: tuple[ThresholdRow, ...]

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "table": [asdict(row) for row in self.table]}


@dataclass(frozen=True, slots=True)
class Calibration:
    """What held-out cells teach about one kind of query.

    distance_quantiles, misfit_quantiles : (q,) float64 at ``QUANTILES``, of held-out cells
    """

    temperature: float
    threshold: float
    distance_quantiles: NDArray[np.float64]
    misfit_quantiles: NDArray[np.float64]
    held_out: HeldOut


@dataclass(frozen=True, slots=True)
class Head:
    """A trained classifier.

    near : for a query much like one of the reference sections
    far : for a query unlike all of them, such as one of another technology; None where the
        reference has a single data set and so cannot tell
    """

    weights: NDArray[np.float64]
    intercept: NDArray[np.float64]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    centres: NDArray[np.float64]
    precision: NDArray[np.float64]
    niche_weight: float
    near: Calibration
    far: Calibration | None

    def features(self, mapped: Mapped) -> NDArray[np.float64]:
        """Return the standardised features of cells, (n, 2k)."""
        return _weighted((_joined(mapped) - self.mean) / self.sd, self.niche_weight)

    def calibration(self, is_near: bool) -> Calibration:
        """Return the calibration for a query."""
        return self.near if is_near or self.far is None else self.far


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a head says: probabilities (n, c), confidence (n,), and which cells are novel (n,)."""

    probability: NDArray[np.float64]
    confidence: NDArray[np.float64]
    novel: NDArray[np.bool_]

    def classes(self, threshold: float) -> NDArray[np.int64]:
        """Return the class of each cell, -1 where novel or below ``threshold``."""
        best = self.probability.argmax(axis=1)
        return np.where(self.novel | (self.confidence < threshold), -1, best)


def train_head(
    data: HeadData, n_classes: int, error: float, near: Folds, far: Folds | None = None
) -> Head:
    """Return a head trained on all cells, its figures from cross-fitting over folds.

    Parameters
    ----------
    data : HeadData
    n_classes : int
    error : float
        Share of wrong labels to allow among the cells that keep theirs.
    near, far : Folds
        Hold out cells of a section or data set that the fit otherwise sees, and whole data sets.
    """
    plain = _joined(data.mapped)
    mean, sd = plain.mean(axis=0), plain.std(axis=0)
    sd = np.where(sd > 0, sd, 1.0)
    standard = (plain - mean) / sd
    niche_weight = _best_niche_weight(standard, data.classes, n_classes, near)
    x = _weighted(standard, niche_weight)
    weights, intercept = _fit(x, data.classes, n_classes)
    centres, precision = _centres(data.mapped.z, data.classes, n_classes)
    return Head(
        weights,
        intercept,
        mean,
        sd,
        centres,
        precision,
        niche_weight,
        _calibrate(x, data, n_classes, near, error),
        _calibrate(x, data, n_classes, far, error) if far else None,
    )


def predict(head: Head, mapped: Mapped, is_near: bool = True) -> Prediction:
    """Return what ``head`` says of cells in its space."""
    logits = head.features(mapped) @ head.weights + head.intercept
    away = _distance(mapped.z, head.centres, head.precision)
    c = head.calibration(is_near)
    return _predict(
        logits, c.temperature, _tail(away, mapped.misfit, c.distance_quantiles, c.misfit_quantiles)
    )


def _predict(
    logits: NDArray[np.float64], temperature: float, tail: NDArray[np.float64]
) -> Prediction:
    """Calibrated probabilities, and a confidence lowered where a cell is unlike the reference."""
    probability = probabilities(logits, temperature)
    confidence = probability.max(axis=1) * np.minimum(1.0, tail / FULL_TRUST_TAIL)
    return Prediction(probability, confidence, tail < NOVEL_TAIL)


def _tail(
    distance: NDArray[np.float64],
    misfit: NDArray[np.float64],
    distance_quantiles: NDArray[np.float64],
    misfit_quantiles: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Share of held-out reference cells further out, by distance or by misfit, the smaller."""
    return np.minimum(
        tail_probability(distance, distance_quantiles), tail_probability(misfit, misfit_quantiles)
    )


def _best_niche_weight(
    standard: NDArray[np.float64], classes: NDArray[np.int64], n_classes: int, folds: Folds
) -> float:
    """Weight of the niche under which held-out cells are most likely."""
    step = -(-len(classes) // CHOICE_CELLS)
    few = Folds(folds.of[::step] % 2 if step > 1 else folds.of, folds.how)
    losses = []
    for weight in NICHE_WEIGHTS:
        x = _weighted(standard[::step], weight)
        logits, rows = _cross_fit(x, classes[::step], n_classes, few)
        losses.append(negative_log_likelihood(logits[rows], classes[::step][rows]))
    return NICHE_WEIGHTS[int(np.argmin(losses))]


def _calibrate(
    x: NDArray[np.float64], data: HeadData, n_classes: int, folds: Folds, error: float
) -> Calibration:
    """Temperature, threshold, novelty and figures from cells held out by ``folds``."""
    all_logits, rows = _cross_fit(x, data.classes, n_classes, folds)
    logits, truth, misfit = all_logits[rows], data.classes[rows], data.mapped.misfit[rows]
    away = _cross_distance(data, n_classes, folds)[rows]
    temperature = fit_temperature(logits, truth)
    quantiles = np.quantile(away, QUANTILES), np.quantile(misfit, QUANTILES)
    checked = _predict(logits, temperature, _tail(away, misfit, *quantiles))
    guess = checked.probability.argmax(axis=1)
    right = guess == truth
    confidence = np.where(checked.novel, -1.0, checked.confidence)
    row = threshold_for(confidence, right, error, LEAST_CONFIDENCE)
    held_out = HeldOut(
        how=folds.how,
        n_cells=len(truth),
        accuracy=float(right.mean()),
        macro_f1=float(f1_score(truth, guess, average="macro", labels=np.unique(truth))),
        nll_before=negative_log_likelihood(logits, truth),
        nll_after=negative_log_likelihood(logits, truth, temperature),
        kept=row.kept,
        error=row.error,
        table=threshold_table(confidence, right),
    )
    return Calibration(temperature, row.threshold, *quantiles, held_out)


def _joined(mapped: Mapped) -> NDArray[np.float64]:
    """Cell and niche side by side, (n, 2k)."""
    return np.concatenate([mapped.z, mapped.niche], axis=1)


def _weighted(standard: NDArray[np.float64], niche_weight: float) -> NDArray[np.float64]:
    """Standardised features with the niche made heavier or lighter under the ridge."""
    k = standard.shape[1] // 2
    return np.concatenate([standard[:, :k], niche_weight * standard[:, k:]], axis=1)


def _fit(
    x: NDArray[np.float64], classes: NDArray[np.int64], n_classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients and intercepts."""
    return fit_logistic(x, classes, n_classes, class_weights(classes, n_classes))


def _cross_fit(
    x: NDArray[np.float64], classes: NDArray[np.int64], n_classes: int, folds: Folds
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits of every cell from a fit without its fold, and the rows that can be judged.

    A cell whose class is in its own fold only cannot be got right and is not judged.
    """
    logits = np.zeros((len(x), n_classes))
    judged = np.zeros(len(x), dtype=bool)
    for out in _held_out(folds):
        w, b = _fit(x[~out], classes[~out], n_classes)
        logits[out] = x[out] @ w + b
        judged[out] = np.isin(classes[out], classes[~out])
    rows = np.flatnonzero(judged)
    return logits, rows if len(rows) else np.arange(len(x))


def _held_out(folds: Folds) -> Iterator[NDArray[np.bool_]]:
    """Yield the cells of each fold, unless one fold is all there is."""
    names = np.unique(folds.of)
    if len(names) > 1:
        for fold in names:
            yield folds.of == fold


def _cross_distance(data: HeadData, n_classes: int, folds: Folds) -> NDArray[np.float64]:
    """Distance of every cell to the nearest centre learnt without its fold."""
    z, away = data.mapped.z, np.zeros(len(data.classes))
    for out in _held_out(folds):
        centres, precision = _centres(z[~out], data.classes[~out], n_classes)
        away[out] = _distance(z[out], centres, precision)
    return away


def _centres(
    z: NDArray[np.float64], classes: NDArray[np.int64], n_classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres (c, k) of the classes that occur, and the pooled precision within classes (k, k)."""
    total = np.zeros((n_classes, z.shape[1]))
    np.add.at(total, classes, z)
    count = np.bincount(classes, minlength=n_classes)
    centres = total / np.maximum(count, 1)[:, None]
    residual = z - centres[classes]
    covariance = residual.T @ residual / len(z) + 1e-3 * np.eye(z.shape[1])
    return centres[count > 0], np.asarray(np.linalg.inv(covariance), dtype=np.float64)


def _distance(
    z: NDArray[np.float64], centres: NDArray[np.float64], precision: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Squared Mahalanobis distance to the nearest centre, (n,)."""
    best = np.full(len(z), np.inf)
    for centre in centres:
        away = z - centre
        best = np.minimum(best, ((away @ precision) * away).sum(axis=1))
    return best
