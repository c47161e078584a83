"""Train a head on labelled cells, and hold cells out to say how far it is right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backend.models.common.calibration import (
    fit_pool,
    fit_temperature,
    negative_log_likelihood,
    pooled,
)
from backend.models.fusemap.heads import (
    LISTENS,
    Calibration,
    Cells,
    Head,
    Reading,
    lack_of_evidence,
    novelty_of,
    robust,
    smoother,
    trust_left,
    voices,
)
from backend.models.fusemap.held_out import PlainReading, Said, accuracy_and_f1, judged
from backend.models.fusemap.plain_labels import GENES, MODEL, PlainGuess
from backend.models.fusemap.reader import Reader, Scale, fit_reader, over_niches

#: How heavy the niche is for a near query; the best on held-out cells is taken.
NICHE_WEIGHTS = (0.3, 1.0, 3.0)
#: How heavy it is for a far one, and cells that the choice is judged on, at most.
FAR_NICHE_WEIGHT, CHOICE_CELLS = 0.5, 3_000
#: Shares of known held-out cells whose confidence is lowered, and that are called novel.
DOUBTED_TAIL, NOVEL_TAIL = 0.03, 0.01


@dataclass(frozen=True, slots=True)
class Folds:
    """A way to hold cells out: the fold of every cell (n,), and in words what that is.

    plain : name to what plain methods say of the same cells
    """

    of: NDArray[np.int64]
    how: str
    plain: Mapping[str, PlainGuess]


@dataclass(frozen=True, slots=True)
class HeadData:
    """Labelled cells of several sections, and their class 0..c-1.

    cells : those of all sections; ``common`` on each section's own scale
    section : (n,) section of each cell;  scale : mean scale of the sections in the common space
    """

    cells: Cells
    classes: NDArray[np.int64]
    section: NDArray[np.int64]
    scale: Scale
    n_classes: int
    of_places: bool


@dataclass(frozen=True, slots=True)
class _View:
    """Features that a reading looks at, and how."""

    standard: NDArray[np.float64]
    niche_weight: float
    scale: Scale
    adapts: bool


def train_head(data: HeadData, error: float, near: Folds, far: Folds | None) -> Head:
    """Return a head trained on all cells, its figures from cross-fitting over folds.

    Parameters
    ----------
    data : HeadData
    error : float
        Share of wrong labels to allow among the cells that keep theirs.
    near, far : Folds
        Hold out cells of a section or data set that the fit otherwise sees, and whole data sets;
        ``far`` is None where there is only one, and ``soften`` is to be called for the head.
    """
    readers: dict[Reading, Reader] = {}
    calibrations: dict[Reading, Calibration] = {}
    views = _views(data, near)
    for reading, view in views.items():
        readers[reading] = _fit(view, data, np.ones(len(data.classes), dtype=bool))
        folds = near if reading == "near" or far is None else far
        heard = [views[name] for name in LISTENS[reading]]
        calibrations[reading] = _calibrate(heard, data, folds, error)
    return Head(data.of_places, readers, calibrations)


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
    view = _far_view(data, FAR_NICHE_WEIGHT)
    found = []
    for folds in (far, near):
        scores, _, rows = _cross_fit(view, data, folds)
        found.append(fit_temperature(scores[rows], data.classes[rows]))
    return max(found[0] / found[1], 1.0)


def _views(data: HeadData, near: Folds) -> dict[Reading, _View]:
    """Return what each reading looks at; a label of places cannot be read without them."""
    scale = Scale.of(data.cells.own)
    standard = scale.apply(data.cells.own)
    own = _View(standard, _best_niche_weight(standard, data, near), scale, False)
    views: dict[Reading, _View] = {"near": own, "far": _far_view(data, FAR_NICHE_WEIGHT)}
    if not data.of_places:
        views["alone"] = _far_view(data, 0.0)
    return views


def _far_view(data: HeadData, niche_weight: float) -> _View:
    return _View(data.cells.common, niche_weight, data.scale, True)


def _fit(view: _View, data: HeadData, rows: NDArray[np.bool_]) -> Reader:
    return fit_reader(
        view.standard[rows],
        data.classes[rows],
        data.n_classes,
        view.niche_weight,
        view.scale,
        view.adapts,
    )


def _best_niche_weight(standard: NDArray[np.float64], data: HeadData, folds: Folds) -> float:
    """Weight of the niche under which held-out cells are most likely."""
    step = -(-len(data.classes) // CHOICE_CELLS)
    classes = data.classes[::step]
    few = replace(folds, of=folds.of[::step] % 2 if step > 1 else folds.of)
    part = replace(data, classes=classes, section=data.section[::step])
    losses = []
    for weight in NICHE_WEIGHTS:
        view = _View(standard[::step], weight, data.scale, False)
        scores, judged = np.zeros((len(classes), data.n_classes)), np.zeros(len(classes), bool)
        for out in held_out(few):
            scores[out] = _fit(view, part, ~out).linear(view.standard[out])
            judged[out] = np.isin(classes[out], classes[~out])
        rows = np.flatnonzero(judged) if judged.any() else np.arange(len(classes))
        losses.append(negative_log_likelihood(scores[rows], classes[rows]))
    return NICHE_WEIGHTS[int(np.argmin(losses))]


def _cross_fit(
    view: _View, data: HeadData, folds: Folds
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Scores and lack of evidence of every cell from a fit without its fold, and rows to judge.

    A cell whose class is in its own fold only cannot be got right and is not judged.
    """
    n = len(data.classes)
    scores, missing = np.zeros((n, data.n_classes)), np.zeros(n)
    judged = np.zeros(n, dtype=bool)
    one = np.ones(n, dtype=bool)
    mean = smoother(data.cells, data.of_places)
    for out in held_out(folds):
        reader = _fit(view, data, ~out & one)
        missing[out] = lack_of_evidence(reader, view.standard, mean)[out]
        for section in np.unique(data.section[out]):
            rows = np.flatnonzero(out & (data.section == section))
            scores[rows] = reader.scores(view.standard[rows], adapt=True)
        judged[out] = np.isin(data.classes[out], data.classes[~out])
    if data.of_places and data.cells.near is not None:
        scores = over_niches(scores, data.cells.near)
    rows = np.flatnonzero(judged)
    return scores, missing, rows if len(rows) else np.arange(n)


def held_out(folds: Folds) -> Iterator[NDArray[np.bool_]]:
    """Yield the cells of each fold, unless one fold is all there is."""
    names = np.unique(folds.of)
    if len(names) > 1:
        for fold in names:
            yield folds.of == fold


def _calibrate(views: Sequence[_View], data: HeadData, folds: Folds, error: float) -> Calibration:
    """Weights, threshold, novelty and figures of the first view from cells held out by ``folds``.

    The other views are those that it listens to.
    """
    crossed = [_cross_fit(view, data, folds) for view in views]
    _, all_missing, rows = crossed[0]
    mean = smoother(data.cells, data.of_places)
    heard = [voice[rows] for voice in voices([scores for scores, _, _ in crossed], mean)]
    truth = data.classes[rows]
    weights = fit_pool(heard, truth)
    usual, spread = robust(all_missing[rows])
    novelty = novelty_of(all_missing[rows], data.cells.unexplained[rows], usual, spread)
    doubted_from, novel_from = np.quantile(novelty, [1 - DOUBTED_TAIL, 1 - NOVEL_TAIL]).tolist()
    left = trust_left(novelty, doubted_from, novel_from)
    said = Said(heard[0], pooled(heard, weights), truth, left, novelty > novel_from)
    baselines = {name: guess.figures(data.classes) for name, guess in folds.plain.items()}
    threshold, figures = judged(said, folds.how, error, baselines)
    plain = _plain_reading(said, rows, folds, error, baselines)
    return Calibration(weights, threshold, usual, spread, doubted_from, novel_from, figures, plain)


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
