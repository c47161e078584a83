"""Types of cells by a calibrated probe: logistic regressions on genes, components, an embedding.

Features are standardised by the training cells, whatever they are applied to: the published probe
standardises every split by itself, which lets unseen cells shift their own scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.core.errors import TooFewCells
from backend.models.common.calibration import (
    fit_temperature,
    negative_log_likelihood,
    probabilities,
)
from backend.models.common.logistic import class_weights, fit_logistic

#: Cells of a class without which it is not learnt.
LEAST_OF_A_CLASS = 5
#: Share of the training cells that the temperature and the choice of features are fitted on.
HELD_OUT = 0.2
#: Penalties that are tried on the held-out cells.
RIDGES = (10.0, 30.0)
#: Sets of features whose held-out macro-F1 is this near the best are averaged with it; genes always
#: are, since what else is made of them fits one tissue better than it carries over.
NEAR = 0.05


@dataclass(frozen=True, slots=True)
class Part:
    """A multinomial logistic regression on one set of features, scaled by its training cells."""

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    weights: NDArray[np.float64]
    offsets: NDArray[np.float64]

    def logits(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return logits (n, c)."""
        return np.asarray((x - self.mean) / self.sd @ self.weights + self.offsets)


@dataclass(frozen=True, slots=True)
class Probe:
    """A fitted probe.

    parts : mapping of str to Part
        By set of features; their logits are averaged.
    classes : (c,) int64
        Codes that it can say.
    temperature : float
    macro_f1 : mapping of str to float
        Of each set of features on held-out training cells.
    """

    parts: Mapping[str, Part]
    classes: NDArray[np.int64]
    temperature: float
    macro_f1: Mapping[str, float]

    def __call__(self, sets: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return calibrated probabilities (n, c) of cells with these sets of features."""
        logits = sum(part.logits(sets[name]) for name, part in self.parts.items())
        return probabilities(np.asarray(logits) / len(self.parts), self.temperature)

    def codes(self, sets: Mapping[str, NDArray[np.float64]]) -> NDArray[np.int64]:
        """Return the likeliest class of each cell."""
        return np.asarray(self.classes[self(sets).argmax(axis=1)])


def fit_probe(
    sets: Mapping[str, NDArray[np.float64]], codes: NDArray[np.int64], seed: int
) -> Probe:
    """Return a probe on the sets of features that are best on held-out training cells.

    Parameters
    ----------
    sets : mapping of str to (n, f) float64
        Features of the training cells, such as genes, components, an embedding.
    codes : (n,) int64
        -1 where unknown; those cells are left out, and classes of fewer than five cells too.
    seed : int

    Raises
    ------
    TooFewCells
        If fewer than two classes are left.
    """
    counts = np.bincount(codes[codes >= 0], minlength=1)
    classes = np.flatnonzero(counts >= LEAST_OF_A_CLASS)
    if len(classes) < 2:
        raise TooFewCells(
            f"{len(classes)} types have {LEAST_OF_A_CLASS} cells or more; two are needed.",
            "Choose a coarser label, or a section with more labelled cells.",
        )
    rows = np.flatnonzero(np.isin(codes, classes))
    own = np.searchsorted(classes, codes[rows])
    held = _held_out(own, len(classes), seed)
    ridges, logits = {}, {}
    for name, values in sets.items():
        x = values[rows]
        tried = {
            ridge: _fit(x[~held], own[~held], len(classes), ridge).logits(x[held])
            for ridge in RIDGES
        }
        loss = [negative_log_likelihood(tried[r], own[held]) for r in RIDGES]
        ridges[name] = RIDGES[int(np.argmin(loss))]
        logits[name] = tried[ridges[name]]
    scores = {name: macro_f1(own[held], x.argmax(axis=1)) for name, x in logits.items()}
    least = max(scores.values()) - NEAR
    kept = [name for name in sets if name == "genes" or scores[name] >= least]
    mean = np.mean([logits[n] for n in kept], axis=0)
    temperature = fit_temperature(mean, own[held])
    parts = {n: _fit(sets[n][rows], own, len(classes), ridges[n]) for n in kept}
    return Probe(parts, classes, temperature, scores)


def _held_out(codes: NDArray[np.int64], k: int, seed: int) -> NDArray[np.bool_]:
    """Return a random share of the cells of every class."""
    held = np.zeros(len(codes), bool)
    order = np.random.default_rng(seed).permutation(len(codes))
    for code in range(k):
        members = order[codes[order] == code]
        held[members[: max(int(len(members) * HELD_OUT), 1)]] = True
    return held


def macro_f1(truth: NDArray[np.int64], said: NDArray[np.int64]) -> float:
    """Return the mean F1 over the classes that ``truth`` holds."""
    out = []
    for code in np.unique(truth):
        hit = int(((truth == code) & (said == code)).sum())
        out.append(2 * hit / max(int((truth == code).sum() + (said == code).sum()), 1))
    return float(np.mean(out))


def _fit(x: NDArray[np.float64], codes: NDArray[np.int64], k: int, ridge: float) -> Part:
    mean, sd = x.mean(axis=0), x.std(axis=0)
    sd = np.where(sd > 1e-6, sd, 1.0)
    weights, offsets = fit_logistic(
        (x - mean) / sd, codes, k, class_weights(codes, k), ridge, iterations=80
    )
    return Part(mean, sd, weights, offsets)
