"""Labelled cells as heads are trained on them, how they are held out, and how readings see them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backend.models.common.calibration import negative_log_likelihood
from backend.models.fusemap.heads import Cells, Reading
from backend.models.fusemap.plain_labels import PlainGuess
from backend.models.fusemap.reader import Reader, Scale, fit_reader

#: How heavy the niche is for a near query; the best on held-out cells is taken.
NICHE_WEIGHTS = (0.3, 1.0, 3.0)
#: How heavy it is for a far one, and cells that the choice is judged on, at most.
FAR_NICHE_WEIGHT, CHOICE_CELLS = 0.5, 3_000


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
class View:
    """Features that a reading looks at, and how."""

    standard: NDArray[np.float64]
    niche_weight: float
    scale: Scale
    adapts: bool

    def fit(self, data: HeadData, rows: NDArray[np.bool_]) -> Reader:
        """Return a reader trained on some cells."""
        return fit_reader(
            self.standard[rows],
            data.classes[rows],
            data.n_classes,
            self.niche_weight,
            self.scale,
            self.adapts,
        )


def views_of(data: HeadData, near: Folds) -> dict[Reading, View]:
    """Return what each reading looks at; a label of places cannot be read without them."""
    own = near_view(data, 1.0, Scale.of(data.cells.own))
    own = replace(own, niche_weight=_best_niche_weight(own.standard, data, near))
    views: dict[Reading, View] = {"near": own, "far": far_view(data, FAR_NICHE_WEIGHT)}
    if not data.of_places:
        views["alone"] = far_view(data, 0.0)
    return views


def near_view(data: HeadData, niche_weight: float, scale: Scale) -> View:
    """Return the own space of a head on a scale."""
    return View(scale.apply(data.cells.own), niche_weight, scale, False)


def far_view(data: HeadData, niche_weight: float) -> View:
    """Return the common space, each section on its own scale."""
    return View(data.cells.common, niche_weight, data.scale, True)


def _best_niche_weight(standard: NDArray[np.float64], data: HeadData, folds: Folds) -> float:
    """Weight of the niche under which held-out cells are most likely."""
    step = -(-len(data.classes) // CHOICE_CELLS)
    classes = data.classes[::step]
    few = replace(folds, of=folds.of[::step] % 2 if step > 1 else folds.of)
    part = replace(data, classes=classes, section=data.section[::step])
    losses = []
    for weight in NICHE_WEIGHTS:
        view = View(standard[::step], weight, data.scale, False)
        scores, judged = np.zeros((len(classes), data.n_classes)), np.zeros(len(classes), bool)
        for out in held_out(few):
            scores[out] = view.fit(part, ~out).linear(view.standard[out])
            judged[out] = np.isin(classes[out], classes[~out])
        rows = np.flatnonzero(judged) if judged.any() else np.arange(len(classes))
        losses.append(negative_log_likelihood(scores[rows], classes[rows]))
    return NICHE_WEIGHTS[int(np.argmin(losses))]


def held_out(folds: Folds) -> Iterator[NDArray[np.bool_]]:
    """Yield the cells of each fold, unless one fold is all there is."""
    names = np.unique(folds.of)
    if len(names) > 1:
        for fold in names:
            yield folds.of == fold
