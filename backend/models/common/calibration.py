"""Confidence that means what it says: temperature, thresholds and the errors they leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax

#: Thresholds of the table that a person may choose from.
THRESHOLDS = tuple(np.round(np.linspace(0, 0.95, 20), 2).tolist())
#: A threshold must keep this share of the held-out cells to be estimated at all.
LEAST_KEPT = 0.02
#: Ranges of confidence of a reliability curve.
RELIABILITY_BINS = 10
#: No voice counts more than this.
LARGEST_WEIGHT = 20.0


@dataclass(frozen=True, slots=True)
class ThresholdRow:
    """What to expect above a confidence: share of cells kept, share of those that are wrong."""

    threshold: float
    kept: float
    error: float


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Cells of one range of confidence: how many, their mean confidence, and how many were right.

    lo, hi : ends of the range;  n : cells;  confidence, accuracy : means over them
    """

    lo: float
    hi: float
    n: int
    confidence: float
    accuracy: float


def reliability(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = RELIABILITY_BINS
) -> tuple[ReliabilityBin, ...]:
    """Return the reliability curve: equal ranges of confidence from 0 to 1, empty ones left out.

    Parameters
    ----------
    confidence : (n,) float64 in 0..1
    right : (n,) bool
    bins : int
    """
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    out = []
    for b in np.unique(place):
        own = place == b
        means = float(confidence[own].mean()), float(right[own].mean())
        out.append(ReliabilityBin(float(b / bins), float((b + 1) / bins), int(own.sum()), *means))
    return tuple(out)


def calibration_error(curve: Sequence[ReliabilityBin]) -> float:
    """Return the expected calibration error of a curve: mean |accuracy - confidence| over cells.

    Notes
    -----
    Guo et al., "On calibration of modern neural networks", ICML 2017, equation 3.
    """
    total = sum(b.n for b in curve)
    return sum(b.n * abs(b.accuracy - b.confidence) for b in curve) / max(total, 1)


def error_by_chance(confidence: NDArray[np.float64], draws: int = 100, seed: int = 0) -> float:
    """Return the calibration error that perfectly calibrated cells would show by chance, mean.

    Parameters
    ----------
    confidence : (n,) float64 in 0..1
    draws : int
        Times that rights and wrongs are drawn as the confidence says.
    seed : int
    """
    rng = np.random.default_rng(seed)
    drawn = (rng.random(len(confidence)) < confidence for _ in range(draws))
    return float(np.mean([calibration_error(reliability(confidence, right)) for right in drawn]))


def beyond_chance(error: float, chance: float) -> float:
    """Return the part of a calibration error that chance does not explain, as variances part."""
    return float(np.sqrt(max(error**2 - chance**2, 0.0)))


def negative_log_likelihood(
    logits: NDArray[np.float64], truth: NDArray[np.int64], temperature: float = 1.0
) -> float:
    """Return the mean negative log likelihood of ``truth`` (n,) under logits (n, c)."""
    scores = log_softmax(logits / temperature, axis=1)
    return float(-scores[np.arange(len(truth)), truth].mean())


def fit_temperature(logits: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """Return the temperature in 0.05..20 that makes held-out logits most likely.

    Parameters
    ----------
    logits : (n, c) float64
        Of cells that the classifier was not trained on.
    truth : (n,) int64

    Notes
    -----
    Guo et al., "On calibration of modern neural networks", ICML 2017. Never worse than 1.
    """
    found = minimize_scalar(
        lambda t: negative_log_likelihood(logits, truth, float(np.exp(t))),
        bounds=(np.log(0.05), np.log(20)),
        method="bounded",
    )
    temperature = float(np.exp(found.x))
    plain = negative_log_likelihood(logits, truth)
    return temperature if negative_log_likelihood(logits, truth, temperature) < plain else 1.0


def fit_pool(voices: Sequence[NDArray[np.float64]], truth: NDArray[np.int64]) -> tuple[float, ...]:
    """Return weights, none negative, under which the pooled voices make held-out cells likeliest.

    Parameters
    ----------
    voices : sequence of (n, c) float64
        Log probabilities of the same cells from several sources, none trained on the cells.
    truth : (n,) int64

    Notes
    -----
    The logarithmic pool of Genest and Zidek, Stat Sci 1, 114 (1986); with one voice the weight is
    the inverse of a temperature. Never worse than the first voice alone.
    """
    rows, first = np.arange(len(truth)), np.eye(len(voices))[0]
    said = np.stack(voices)
    right = said[:, rows, truth]

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = log_softmax(np.tensordot(weights, said, axes=1), axis=1)
        expected = np.einsum("nc,vnc->v", np.exp(scores), said) / len(truth)
        return -float(scores[rows, truth].mean()), expected - right.mean(axis=1)

    bounds = [(0.0, LARGEST_WEIGHT)] * len(voices)
    found = minimize(loss, first, jac=True, method="L-BFGS-B", bounds=bounds)
    best = found.x if found.fun < loss(first)[0] else first
    return tuple(best.tolist())


def pooled(voices: Sequence[NDArray[np.float64]], weights: Sequence[float]) -> NDArray[np.float64]:
    """Return the weighted sum of log probabilities (n, c): logits of a softmax."""
    out = weights[0] * voices[0]
    for weight, voice in zip(weights[1:], voices[1:], strict=True):
        out = out + weight * voice
    return np.asarray(out)


def probabilities(logits: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return calibrated probabilities (n, c)."""
    return np.asarray(softmax(logits / temperature, axis=1))


def threshold_table(
    confidence: NDArray[np.float64], right: NDArray[np.bool_]
) -> tuple[ThresholdRow, ...]:
    """Return what every threshold of ``THRESHOLDS`` keeps and gets wrong on held-out cells."""
    rows = []
    for threshold in THRESHOLDS:
        kept = confidence >= threshold
        if kept.mean() >= LEAST_KEPT:
            error = float(1 - right[kept].mean())
            rows.append(ThresholdRow(float(threshold), float(kept.mean()), error))
    return tuple(rows)


def threshold_for(
    confidence: NDArray[np.float64],
    right: NDArray[np.bool_],
    error: float,
    least: float = 0.0,
) -> ThresholdRow:
    """Return the lowest threshold that leaves at most ``error`` of the kept held-out cells wrong.

    Where no threshold reaches that, the one with the least error is returned; its row says so.
    No threshold is below ``least``: held-out cells are all of known types, new ones need not be.
    """
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence = confidence[order]
    n = np.arange(1, len(order) + 1)
    wrong = np.cumsum(~right[order]) / n
    last_of_ties = np.r_[sorted_confidence[1:] < sorted_confidence[:-1], True]
    allowed = last_of_ties & (n / len(n) >= LEAST_KEPT)
    good = np.flatnonzero(allowed & (wrong <= error))
    at = int(good[-1]) if len(good) else int(np.flatnonzero(allowed)[wrong[allowed].argmin()])
    kept = float(n[at] / len(n))
    threshold = 0.0 if kept == 1.0 else float(sorted_confidence[at])
    if threshold >= least:
        return ThresholdRow(threshold, kept, float(wrong[at]))
    above = confidence >= least
    missed = float(1 - right[above].mean()) if above.any() else 0.0
    return ThresholdRow(least, float(above.mean()), missed)


def tail_probability(
    values: NDArray[np.float64], reference_quantiles: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the share of the reference that lies above each value.

    Parameters
    ----------
    values : (n,) float64
    reference_quantiles : (q,) float64
        Quantiles at q evenly spaced levels from 0 to 1, ascending.
    """
    levels = np.linspace(0, 1, len(reference_quantiles))
    return 1 - np.interp(values, reference_quantiles, levels, left=0.0, right=1.0)
