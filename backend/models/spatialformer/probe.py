"""Types of cells by a calibrated probe: logistic regression on genes, components or an embedding.

Features are standardised by the training cells, whatever they are applied to: the published probe
standardises every split by itself, which lets unseen cells shift their own scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.core.errors import TooFewCells
from backend.models.common.calibration import fit_temperature, probabilities
from backend.models.common.logistic import class_weights, fit_logistic

#: Cells of a class without which it is not learnt.
LEAST_OF_A_CLASS = 5
#: Share of the training cells that the temperature and the choice of features are fitted on.
HELD_OUT = 0.2
#: Penalties that are tried on the held-out cells.
RIDGES = (3.0, 10.0, 30.0, 100.0)


@dataclass(frozen=True, slots=True)
class Probe:
    """A fitted probe.

    features : str
        Name of the set of features it reads.
    classes : (c,) int64
        Codes that it can say.
    mean, sd : (f,) float64
    weights, offsets : (f, c), (c,) float64
    temperature : float
    macro_f1 : mapping of str to float
        Of each set of features on held-out training cells.
    """

    features: str
    classes: NDArray[np.int64]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    weights: NDArray[np.float64]
    offsets: NDArray[np.float64]
    temperature: float
    macro_f1: Mapping[str, float]

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return calibrated probabilities (n, c) of cells with features ``x`` (n, f)."""
        logits = (x - self.mean) / self.sd @ self.weights + self.offsets
        return probabilities(logits, self.temperature)

    def codes(self, x: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the likeliest class of each cell."""
        return np.asarray(self.classes[self(x).argmax(axis=1)])


def fit_probe(
    sets: Mapping[str, NDArray[np.float64]], codes: NDArray[np.int64], seed: int
) -> Probe:
    """Return the probe on the set of features that is best on held-out training cells.

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
    held = np.zeros(len(rows), bool)
    order = np.random.default_rng(seed).permutation(len(rows))
    for code in range(len(classes)):  # a share of every class
        members = order[own[order] == code]
        held[members[: max(int(len(members) * HELD_OUT), 1)]] = True
    best: tuple[float, str, float, float] = (-1.0, "", 0.0, 1.0)
    scores: dict[str, float] = {}
    for name, values in sets.items():
        x = values[rows]
        for ridge in RIDGES:
            parts = _fit(x[~held], own[~held], len(classes), ridge)
            logits = _logits(x[held], *parts)
            score = macro_f1(own[held], logits.argmax(axis=1))
            scores[name] = max(scores.get(name, 0.0), score)
            if score > best[0]:
                best = score, name, ridge, fit_temperature(logits, own[held])
    _, name, ridge, temperature = best
    parts = _fit(sets[name][rows], own, len(classes), ridge)
    return Probe(name, classes, *parts, temperature, scores)


def macro_f1(truth: NDArray[np.int64], said: NDArray[np.int64]) -> float:
    """Return the mean F1 over the classes that ``truth`` holds."""
    out = []
    for code in np.unique(truth):
        hit = int(((truth == code) & (said == code)).sum())
        out.append(2 * hit / max(int((truth == code).sum() + (said == code).sum()), 1))
    return float(np.mean(out))


def _fit(
    x: NDArray[np.float64], codes: NDArray[np.int64], k: int, ridge: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    mean, sd = x.mean(axis=0), x.std(axis=0)
    sd = np.where(sd > 1e-6, sd, 1.0)
    weights, offsets = fit_logistic(
        (x - mean) / sd, codes, k, class_weights(codes, k), ridge, iterations=80
    )
    return mean, sd, weights, offsets


def _logits(
    x: NDArray[np.float64],
    mean: NDArray[np.float64],
    sd: NDArray[np.float64],
    weights: NDArray[np.float64],
    offsets: NDArray[np.float64],
) -> NDArray[np.float64]:
    return np.asarray((x - mean) / sd @ weights + offsets)
