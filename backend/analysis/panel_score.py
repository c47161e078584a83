"""How well a panel tells classes apart in cells that it was not chosen on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from backend.models.common.logistic import class_weights, fit_logistic

#: Cells that a classifier is fitted on, and scored on, at most.
MOST_CELLS = 5000
#: A class with fewer training cells is left out of the test.
LEAST_CELLS = 10
#: Cells over which genes are averaged before places (regions, layers) are told apart.
NICHE = 20


@dataclass(frozen=True, slots=True)
class Sample:
    """Cells of one section, or of a part of one, with their candidate genes.

    section : str
    xy : (n, 2) float
    counts : (n, m) csr_matrix, as measured, no gene outside the candidates
    codes : label name to (n,) int, -1 where missing
    """

    section: str
    xy: NDArray[np.floating[Any]]
    counts: csr_matrix
    codes: Mapping[str, NDArray[np.integer[Any]]]

    def rows(self, chosen: NDArray[np.integer[Any]]) -> Sample:
        """Return some of the cells."""
        codes = {name: values[chosen] for name, values in self.codes.items()}
        return Sample(self.section, self.xy[chosen], self.counts[chosen], codes)


class Fold(NamedTuple):
    """Samples to choose a panel and fit on, and others to score on."""

    train: tuple[Sample, ...]
    test: tuple[Sample, ...]


class Score(NamedTuple):
    """Share of held-out cells told right, mean F1 over classes, and cells scored."""

    accuracy: float
    macro_f1: float
    n_cells: int


class Cells(NamedTuple):
    """Labelled cells of one sample: standardised features (k, f), codes (k,)."""

    features: NDArray[np.float64]
    codes: NDArray[np.int64]


def folds(samples: Sequence[Sample], most: int = 4) -> list[Fold]:
    """Return each section held out in turn, in groups above ``most``; quarters of a lone one."""
    if len(samples) == 1:
        return _quarters(samples[0])
    groups = [tuple(samples[k::most]) for k in range(min(most, len(samples)))]
    return [
        Fold(tuple(s for i, g in enumerate(groups) if i != held for s in g), groups[held])
        for held in range(len(groups))
    ]


def _quarters(sample: Sample) -> list[Fold]:
    """Return the four quarters of a section, cut at the median position, held out in turn."""
    right, low = (sample.xy > np.median(sample.xy, axis=0)).T
    quarter = 2 * right.astype(int) + low
    return [
        Fold(
            (sample.rows(np.flatnonzero(quarter != q)),),
            (sample.rows(np.flatnonzero(quarter == q)),),
        )
        for q in range(4)
        if np.any(quarter == q)
    ]


def labelled_cells(
    sample: Sample,
    label: str,
    columns: NDArray[np.integer[Any]],
    is_place: bool,
    most: int,
    seed: int,
) -> Cells:
    """Return features of labelled cells of one sample, as the panel alone would measure them.

    Parameters
    ----------
    columns : (k,) int
        The panel. Features are log1p of its counts and of their sum: genes outside the panel
        have no part in them, not even in a cell's total.
    is_place : bool
        Whether features are averaged over the ``NICHE`` nearest cells of the sample.
    most : int
        A seeded draw above that.

    Notes
    -----
    Features are standardised per sample, which needs no labels.
    """
    rows = np.flatnonzero(sample.codes[label] >= 0)
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    counts = csr_matrix(sample.counts[:, columns], dtype=np.float64)
    total = np.log1p(np.asarray(counts.sum(axis=1)).ravel())
    logged = counts.log1p()
    if is_place and len(rows):
        near = _mean_of_near(sample.xy, rows)
        wide, total = near @ logged, near @ total
    else:
        wide, total = logged[rows], total[rows]
    features = np.column_stack([wide.toarray(), total])
    spread = features.std(axis=0) if len(rows) else np.ones(features.shape[1])
    features = (features - (features.mean(axis=0) if len(rows) else 0)) / (spread + 1e-6)
    return Cells(features, sample.codes[label][rows].astype(np.int64))


def _mean_of_near(xy: NDArray[np.floating[Any]], rows: NDArray[np.integer[Any]]) -> csr_matrix:
    """Return the (rows, n) matrix that averages over the nearest cells, the cell itself too."""
    k = min(NICHE, len(xy))
    _, near = cKDTree(xy).query(xy[rows], k=k)
    near = near.reshape(len(rows), k)
    pointer = np.arange(0, k * len(rows) + 1, k)
    return csr_matrix((np.full(near.size, 1 / k), near.ravel(), pointer), (len(rows), len(xy)))


def gathered(
    samples: Sequence[Sample],
    label: str,
    columns: NDArray[np.integer[Any]],
    is_place: bool,
    seed: int,
) -> Cells:
    """Return the labelled cells of several samples together, each with an equal share."""
    most = max(1, MOST_CELLS // max(len(samples), 1))
    parts = [labelled_cells(s, label, columns, is_place, most, seed) for s in samples]
    return Cells(
        np.concatenate([p.features for p in parts]), np.concatenate([p.codes for p in parts])
    )


def score(
    fold: Fold, label: str, columns: NDArray[np.integer[Any]], is_place: bool, seed: int
) -> Score:
    """Return how well logistic regression on a panel tells the classes of held-out cells.

    Notes
    -----
    The published score was of the cells that the classifier had been fitted on. Classes with
    fewer than ``LEAST_CELLS`` training cells are left out.
    """
    train = gathered(fold.train, label, columns, is_place, seed)
    test = gathered(fold.test, label, columns, is_place, seed)
    known = np.flatnonzero(np.bincount(train.codes, minlength=1) >= LEAST_CELLS)
    kept, asked = np.isin(train.codes, known), np.isin(test.codes, known)
    if len(known) < 2 or not asked.any():
        return Score(float("nan"), float("nan"), 0)
    codes = np.searchsorted(known, train.codes[kept])
    weights = class_weights(codes, len(known))
    slope, intercept = fit_logistic(train.features[kept], codes, len(known), weights)
    said = known[(test.features[asked] @ slope + intercept).argmax(axis=1)]
    truth = test.codes[asked]
    return Score(float((said == truth).mean()), macro_f1(truth, said), len(truth))


def macro_f1(truth: NDArray[np.int64], said: NDArray[np.int64]) -> float:
    """Return the mean F1 over the classes that occur in ``truth``."""
    classes = np.unique(truth)
    right = np.array([np.sum((truth == c) & (said == c)) for c in classes])
    both = np.array([np.sum(truth == c) + np.sum(said == c) for c in classes])
    return float(np.mean(2 * right / both))
