"""Train a head on labelled cells, and hold cells out to say how far it is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backend.models.common.calibration import fit_pool, fit_temperature, pooled
from backend.models.fusemap.head_data import (
    FAR_NICHE_WEIGHT,
    Folds,
    HeadData,
    View,
    far_view,
    held_out,
    views_of,
)
from backend.models.fusemap.heads import (
    LISTENS,
    Calibration,
    Head,
    Reading,
    own_half,
    smoother,
    trust_left,
    voices,
)
from backend.models.fusemap.held_out import PlainReading, Said, accuracy_and_f1, judged
from backend.models.fusemap.left_out import Refit, learnt_weights
from backend.models.fusemap.novelty import SIGNS, USUAL, Known, Novelty, signs_of
from backend.models.fusemap.plain_labels import GENES, MODEL
from backend.models.fusemap.reader import Reader, over_niches

#: Shares of known held-out cells whose confidence is lowered, and that are called novel.
DOUBTED_TAIL, NOVEL_TAIL = 0.03, 0.01


def train_head(
    data: HeadData, error: float, near: Folds, far: Folds | None, refit: Refit | None = None
) -> Head:
    """Return a head trained on all cells, its figures from cross-fitting over folds.

    Parameters
    ----------
    data : HeadData
    error : float
        Share of wrong labels to allow among the cells that keep theirs.
    near, far : Folds
        Hold out cells of a section or data set that the fit otherwise sees, and whole data sets;
        ``far`` is None where there is only one, and ``soften`` is to be called for the head.
    refit : Refit or None
        What it takes to leave classes out, so that signs of novelty are weighed by that.
    """
    readers: dict[Reading, Reader] = {}
    calibrations: dict[Reading, Calibration] = {}
    views = views_of(data, near)
    everything = np.ones(len(data.classes), dtype=bool)
    learnt = {} if refit is None else learnt_weights(data, near, views, refit)
    for reading, view in views.items():
        readers[reading] = view.fit(data, everything)
        folds = near if reading == "near" or far is None else far
        heard = [views[name] for name in LISTENS[reading]]
        weights = learnt.get(reading, USUAL)
        calibrations[reading] = _calibrate(heard, data, folds, weights, error)
    known = {reading: _known(views[reading], data, everything) for reading in learnt}
    return Head(data.of_places, readers, calibrations, known)


def _known(view: View, data: HeadData, rows: NDArray[np.bool_]) -> Known:
    """Say where the classes of some cells lie."""
    mean = smoother(data.cells, data.of_places)
    at = np.flatnonzero(rows)
    return Known.of(_seen(view, data), mean, at, data.classes, data.n_classes)


def _seen(view: View, data: HeadData) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the features that distances are measured in."""
    half = data.of_places
    return own_half(view.standard, half), own_half(data.cells.common, half)


def soften(head: Head, ratio: float, threshold: float) -> Head:
    """Return a head that no other data set could check, with its far readings less sure.

    Parameters
    ----------
    ratio : float
        By which held-out data sets raised the temperature of other labels' far readings.
    threshold : float
        What they needed.
    """
    softer = {
        name: c
        if name == "near"
        else replace(
            c,
            weights=tuple(w / ratio for w in c.weights),
            threshold=max(c.threshold, threshold),
            held_out=replace(c.held_out, how=f"{c.held_out.how}, softened as other labels were"),
        )
        for name, c in head.calibrations.items()
    }
    return replace(head, calibrations=softer)


def far_temperature_ratio(data: HeadData, near: Folds, far: Folds) -> float:
    """Return how much hotter the far reading must be for held-out data sets than within them."""
    view = far_view(data, FAR_NICHE_WEIGHT)
    found = []
    for folds in (far, near):
        crossed = _cross_fit(view, data, folds, places=False)
        rows = crossed.rows
        found.append(fit_temperature(crossed.scores[rows], data.classes[rows]))
    return max(found[0] / found[1], 1.0)


@dataclass(frozen=True, slots=True)
class _Crossed:
    """Scores (n, c) and signs of novelty (n, s) of cells from fits without their fold.

    rows : (m,) cells to judge: one whose class is in its own fold only cannot be got right
    """

    scores: NDArray[np.float64]
    signs: NDArray[np.float64]
    rows: NDArray[np.int64]


def _cross_fit(view: View, data: HeadData, folds: Folds, *, places: bool) -> _Crossed:
    """Score every cell by a fit without its fold; with ``places``, distances are signs as well."""
    n = len(data.classes)
    scores, signs = np.zeros((n, data.n_classes)), np.zeros((n, len(SIGNS)))
    judged = np.zeros(n, dtype=bool)
    mean, seen = smoother(data.cells, data.of_places), _seen(view, data)
    for out in held_out(folds):
        reader = view.fit(data, ~out)
        known = _known(view, data, ~out) if places else None
        linear = reader.linear(view.standard)
        signs[out] = signs_of(linear, seen, known, data.cells.unexplained, mean)[out]
        for section in np.unique(data.section[out]):
            rows = np.flatnonzero(out & (data.section == section))
            scores[rows] = reader.scores(view.standard[rows], adapt=True)
        judged[out] = np.isin(data.classes[out], data.classes[~out])
    if data.of_places and data.cells.near is not None:
        scores = over_niches(scores, data.cells.near)
    return _Crossed(scores, signs, np.flatnonzero(judged) if judged.any() else np.arange(n))


def _calibrate(
    views: Sequence[View],
    data: HeadData,
    folds: Folds,
    sign_weights: tuple[float, ...],
    error: float,
) -> Calibration:
    """Weights, threshold, novelty and figures of the first view from cells held out by ``folds``.

    The other views are those that it listens to.
    """
    places = sign_weights != USUAL
    crossed = [_cross_fit(view, data, folds, places=places and i == 0)
               for i, view in enumerate(views)]  # fmt: skip
    rows = crossed[0].rows
    mean = smoother(data.cells, data.of_places)
    heard = [voice[rows] for voice in voices([c.scores for c in crossed], mean)]
    truth = data.classes[rows]
    weights = fit_pool(heard, truth)
    learnt = Novelty.learnt(sign_weights, crossed[0].signs[rows])
    novelty = learnt.of(crossed[0].signs[rows])
    doubted_from, novel_from = np.quantile(novelty, [1 - DOUBTED_TAIL, 1 - NOVEL_TAIL]).tolist()
    left = trust_left(novelty, doubted_from, novel_from)
    said = Said(heard[0], pooled(heard, weights), truth, left, novelty > novel_from)
    baselines = {name: guess.figures(data.classes) for name, guess in folds.plain.items()}
    threshold, figures = judged(said, folds.how, error, baselines)
    plain = _plain_reading(said, rows, folds, error, baselines)
    return Calibration(weights, threshold, learnt, doubted_from, novel_from, figures, plain)


def _plain_reading(
    said: Said,
    rows: NDArray[np.int64],
    folds: Folds,
    error: float,
    baselines: Mapping[str, Mapping[str, float]],
) -> PlainReading | None:
    """Calibrate nearest neighbours on the held-out cells that the model was judged on as well."""
    guess = folds.plain.get(GENES)
    if guess is None:
        return None
    _, own, other = np.intersect1d(rows, guess.rows, return_indices=True)
    if not len(own):
        return None
    truth, votes = said.truth[own], guess.log_votes[other]
    temperature = fit_temperature(votes, truth)
    model = accuracy_and_f1(truth, said.after[own].argmax(axis=1))
    beside = Said(votes, votes / temperature, truth, said.left[own], said.novel[own])
    others = {name: b for name, b in baselines.items() if name != GENES}
    threshold, figures = judged(beside, folds.how, error, {MODEL: model, **others})
    return PlainReading(temperature, threshold, model, figures)
