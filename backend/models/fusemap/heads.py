"""Label transfer: one calibrated linear classifier per label and taxonomy, and a sense of novelty.

Features are a cell's place in a latent space and that of its niche. Everything that is stated about
a head (accuracy, temperature, threshold, novelty) comes from cells that it was not trained on.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
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
#: Cells further out than this share of the held-out reference are called novel.
NOVEL_TAIL = 0.01
#: Confidence is lowered from this tail on.
FULL_TRUST_TAIL = 0.05
#: Levels of the stored reference quantiles.
QUANTILES = np.linspace(0, 1, 401)


@dataclass(frozen=True, slots=True)
class HeadData:
    """Labelled cells: place in the space, class 0..c-1, fold."""

    mapped: Mapped
    classes: NDArray[np.int64]
    folds: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Novelty:
    """What distances and misfits held-out cells of known classes have."""

    centres: NDArray[np.float64]
    precision: NDArray[np.float64]
    distance_quantiles: NDArray[np.float64]
    misfit_quantiles: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """How far a head was right on cells that it was not trained on."""

    n_cells: int
    accuracy: float
    macro_f1: float
    nll_before: float
    nll_after: float
    kept: float
    error: float
    table: tuple[ThresholdRow, ...]
    how: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Head:
    """A trained classifier."""

    weights: NDArray[np.float64]
    intercept: NDArray[np.float64]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    niche_weight: float
    temperature: float
    threshold: float
    novelty: Novelty
    held_out: HeldOut

    def features(self, mapped: Mapped) -> NDArray[np.float64]:
        """Return the standardised features of cells, (n, 2k)."""
        return _weighted((_joined(mapped) - self.mean) / self.sd, self.niche_weight)


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


def train_head(data: HeadData, n_classes: int, error: float, how: str = "") -> Head:
    """Return a head trained on all cells, its figures from cross-fitting over the folds.

    Parameters
    ----------
    data : HeadData
    n_classes : int
    error : float
        Share of wrong labels to allow among the cells that keep theirs.
    how : str
        What the folds hold out, in words.
    """
    plain = _joined(data.mapped)
    mean, sd = plain.mean(axis=0), plain.std(axis=0)
    sd = np.where(sd > 0, sd, 1.0)
    standard = (plain - mean) / sd
    tried = [_cross_fit(_weighted(standard, w), data, n_classes) for w in NICHE_WEIGHTS]
    rows = tried[0][1]
    losses = [negative_log_likelihood(t[0][rows], data.classes[rows]) for t in tried]
    best = int(np.argmin(losses))
    logits = tried[best][0][rows]
    truth = data.classes[rows]
    temperature = fit_temperature(logits, truth)
    novelty = _learn_novelty(data, n_classes)
    head = Head(
        *_fit(_weighted(standard, NICHE_WEIGHTS[best]), data.classes, n_classes),
        mean=mean,
        sd=sd,
        niche_weight=NICHE_WEIGHTS[best],
        temperature=temperature,
        threshold=0.0,
        novelty=novelty,
        held_out=HeldOut(0, 0, 0, 0, 0, 0, 0, ()),
    )
    checked = _predict(
        head, logits, _cross_distance(data, n_classes)[rows], data.mapped.misfit[rows]
    )
    return _with_figures(head, checked, logits, truth, error, how)


def predict(head: Head, mapped: Mapped) -> Prediction:
    """Return what ``head`` says of cells in its space."""
    logits = head.features(mapped) @ head.weights + head.intercept
    away = _distance(mapped.z, head.novelty.centres, head.novelty.precision)
    return _predict(head, logits, away, mapped.misfit)


def _predict(
    head: Head,
    logits: NDArray[np.float64],
    distance: NDArray[np.float64],
    misfit: NDArray[np.float64],
) -> Prediction:
    """Calibrated probabilities, lowered where a cell is unlike the reference."""
    probability = probabilities(logits, head.temperature)
    tail = np.minimum(
        tail_probability(distance, head.novelty.distance_quantiles),
        tail_probability(misfit, head.novelty.misfit_quantiles),
    )
    confidence = probability.max(axis=1) * np.minimum(1.0, tail / FULL_TRUST_TAIL)
    return Prediction(probability, confidence, tail < NOVEL_TAIL)


def _with_figures(
    head: Head,
    checked: Prediction,
    logits: NDArray[np.float64],
    truth: NDArray[np.int64],
    error: float,
    how: str,
) -> Head:
    """Complete the head with its threshold and held-out figures."""
    guess = checked.probability.argmax(axis=1)
    right = guess == truth
    confidence = np.where(checked.novel, -1.0, checked.confidence)
    row = threshold_for(confidence, right, error)
    held_out = HeldOut(
        n_cells=len(truth),
        accuracy=float(right.mean()),
        macro_f1=float(f1_score(truth, guess, average="macro", labels=np.unique(truth))),
        nll_before=negative_log_likelihood(logits, truth),
        nll_after=negative_log_likelihood(logits, truth, head.temperature),
        kept=row.kept,
        error=row.error,
        table=threshold_table(confidence, right),
        how=how,
    )
    return replace(head, threshold=row.threshold, held_out=held_out)


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
    x: NDArray[np.float64], data: HeadData, n_classes: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits of every cell from a fit without its fold, and the rows that can be judged.

    A cell whose class is in its own fold only cannot be got right and is not judged.
    """
    logits = np.zeros((len(x), n_classes))
    judged = np.zeros(len(x), dtype=bool)
    for fold in np.unique(data.folds):
        out = data.folds == fold
        if out.all():
            break
        w, b = _fit(x[~out], data.classes[~out], n_classes)
        logits[out] = x[out] @ w + b
        judged[out] = np.isin(data.classes[out], data.classes[~out])
    rows = np.flatnonzero(judged)
    return logits, rows if len(rows) else np.arange(len(x))


def _learn_novelty(data: HeadData, n_classes: int) -> Novelty:
    """Class centres from all cells, quantiles from held-out ones."""
    centres, precision = _centres(data.mapped.z, data.classes, n_classes)
    away = _cross_distance(data, n_classes)
    return Novelty(
        centres,
        precision,
        np.quantile(away, QUANTILES),
        np.quantile(data.mapped.misfit, QUANTILES),
    )


def _cross_distance(data: HeadData, n_classes: int) -> NDArray[np.float64]:
    """Distance of every cell to the nearest centre learnt without its fold."""
    z, away = data.mapped.z, np.zeros(len(data.classes))
    for fold in np.unique(data.folds):
        out = data.folds == fold
        kept = ~out if not out.all() else out
        centres, precision = _centres(z[kept], data.classes[kept], n_classes)
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
    return centres[count > 0], np.linalg.inv(covariance)


def _distance(
    z: NDArray[np.float64], centres: NDArray[np.float64], precision: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Squared Mahalanobis distance to the nearest centre, (n,)."""
    best = np.full(len(z), np.inf)
    for centre in centres:
        away = z - centre
        best = np.minimum(best, ((away @ precision) * away).sum(axis=1))
    return best
