"""The pair model: how likely two cells lie within 30 um of one another, from expression only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from backend.core.data import SectionData
from backend.models.common.logistic import fit_logistic
from backend.models.spatialformer.niches import Niches, fit_niches, predict_niches
from backend.models.spatialformer.pair_features import Described, Set, pair_features, products
from backend.models.spatialformer.pairs import (
    EASY_NEGATIVE,
    HARD_NEGATIVE,
    POSITIVE,
    RADIUS,
    Pairs,
    refuse_few,
    sample_pairs,
)
from backend.models.spatialformer.profiles import Profiles, describe, fit_profiles

#: Weight of a pair of each kind: as much of neighbours as of all others.
WEIGHTS = np.array([1.0, 0.5, 0.5])
#: Inverse penalties of the two heads, on standardised features and mean-free of their number.
C, C_BILINEAR = 0.01, 3e-4
#: Rows of features made at once.
ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Head:
    """A logistic regression: logit = (features - mean) / sd . weight + offset."""

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    weight: NDArray[np.float64]
    offset: float

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return logits (m,)."""
        scaled = self.weight / self.sd
        return np.asarray(features @ scaled + (self.offset - float(self.mean @ scaled)))


@dataclass(frozen=True, slots=True)
class PairModel:
    """What scores pairs of cells.

    Parameters
    ----------
    profiles, niches
    head : Head
        On ``pair_features`` of ``kind``.
    bilinear : Head or None
        Second head on products of components; the logits are averaged.
    quick : (d, d) float64
        Closed form: mean outer product of neighbours less that of negatives.
    extra_axes : (e, e') float64 or None, extra_mean : (e,) float64 or None
        Whitening of another embedding.
    """

    profiles: Profiles
    niches: Niches
    head: Head
    quick: NDArray[np.float64]
    kind: Set = "niche"
    bilinear: Head | None = None
    extra_mean: NDArray[np.float64] | None = None
    extra_axes: NDArray[np.float64] | None = None

    def describe(
        self, section: SectionData, extra: NDArray[np.floating] | None = None
    ) -> Described:
        """Return the cells of a section as the model sees them; ``extra`` is another embedding."""
        own = self._extra(extra)
        return described(describe(section, self.profiles), self.niches, own)

    def _extra(self, extra: NDArray[np.floating] | None) -> NDArray[np.float64] | None:
        if extra is None or self.extra_axes is None or self.extra_mean is None:
            return None
        return np.asarray((extra - self.extra_mean) @ self.extra_axes, dtype=np.float64)

    def logits(self, a: Described, b: Described) -> NDArray[np.float64]:
        """Return the logit of every pair (m,); of one cell against all where one has one row."""
        m = max(len(a.h), len(b.h))
        if not m:  # no pair of cells is that near
            return np.zeros(0)
        return np.concatenate(
            [self._logits(_slice(a, s, m), _slice(b, s, m)) for s in range(0, m, ROWS)]
        )

    def _logits(self, a: Described, b: Described) -> NDArray[np.float64]:
        own = self.head(pair_features(a, b, self.kind))
        return own if self.bilinear is None else (own + self.bilinear(products(a, b))) / 2

    def probability(self, a: Described, b: Described) -> NDArray[np.float64]:
        """Return the chance that a pair is within the radius, were that as likely as not."""
        return np.asarray(expit(self.logits(a, b)))

    def quick_scores(self, a: Described, b: Described) -> NDArray[np.float64]:
        """Return the closed-form scores h_a' W h_b, (m,)."""
        return np.asarray(((a.h @ self.quick) * b.h).sum(axis=1))


@dataclass(frozen=True, slots=True)
class Training:
    """Everything the pair model is fitted to; features are made once per kind."""

    profiles: Profiles
    niches: Niches
    cells: list[Described]
    pairs: list[Pairs]
    extra_mean: NDArray[np.float64] | None = None
    extra_axes: NDArray[np.float64] | None = None


def described(
    h: NDArray[np.float64], niches: Niches, extra: NDArray[np.float64] | None = None
) -> Described:
    """Return components with their predicted niches."""
    found = predict_niches(h, niches)
    return Described(h, [n for n, _ in found], [t for _, t in found], extra)


def make_training(
    sections: Sequence[SectionData],
    seed: int,
    radius: float = RADIUS,
    extra: Sequence[NDArray[np.floating]] | None = None,
) -> Training:
    """Return profiles, niches and drawn pairs of the sections that are trained on.

    Raises
    ------
    BadRequest, NoSharedGenes, TooFewCells
    """
    pairs = [sample_pairs(s.xy, seed + i, radius) for i, s in enumerate(sections)]
    refuse_few(_joined(pairs))
    profiles, h = fit_profiles(sections)
    niches = fit_niches(h, [s.xy for s in sections], seed)
    if extra is None:
        return Training(profiles, niches, [described(x, niches) for x in h], pairs)
    whole = np.concatenate([np.asarray(e, dtype=np.float64) for e in extra])
    mean, axes = _whitening(whole)
    cells = [described(x, niches, (e - mean) @ axes) for x, e in zip(h, extra, strict=True)]
    return Training(profiles, niches, cells, pairs, mean, axes)


def fit_pairs(
    training: Training, c: float = C, kind: Set = "niche", bilinear: bool = False
) -> PairModel:
    """Return the pair model of one inverse penalty ``c``."""
    kinds = np.concatenate([p.kind for p in training.pairs])
    features = np.concatenate([_of(training, i, kind) for i in range(len(training.pairs))])
    second = None
    if bilinear:
        both = [
            products(x.rows(p.a), x.rows(p.b))
            for x, p in zip(training.cells, training.pairs, strict=True)
        ]
        second = fit_head(np.concatenate(both), kinds, C_BILINEAR)
    return PairModel(
        training.profiles, training.niches, fit_head(features, kinds, c), quick_form(training),
        kind, second, training.extra_mean, training.extra_axes,
    )  # fmt: skip


def quick_form(training: Training) -> NDArray[np.float64]:
    """Return W = E+[h_a h_b'] - E-[h_a h_b'], symmetric (d, d): a bilinear score without a fit.

    Notes
    -----
    For whitened components this is one Newton step of the logistic bilinear model from zero.
    """
    d = training.profiles.d
    total = np.zeros((d, d))
    kinds = np.concatenate([p.kind for p in training.pairs])
    counts = np.bincount(kinds, minlength=3)
    signs = (1.0, -0.5, -0.5)
    for cells, pairs in zip(training.cells, training.pairs, strict=True):
        for kind in (POSITIVE, HARD_NEGATIVE, EASY_NEGATIVE):
            a, b = pairs.of(kind)
            total += signs[kind] / counts[kind] * (cells.h[a].T @ cells.h[b])
    return np.asarray((total + total.T) / 2)


def fit_head(features: NDArray[np.float32], kinds: NDArray[np.int8], c: float) -> Head:
    """Return a logistic regression of neighbours against both negatives, on standardised features.

    Parameters
    ----------
    features : (m, f) float32
    kinds : (m,) int8
    c : float
        Inverse penalty: .5 |w|^2 + c times the summed weighted loss is least.
    """
    counts = np.bincount(kinds, minlength=3)
    # Weights are per kind, whatever the number of pairs that could be drawn.
    weight = (WEIGHTS / np.maximum(counts, 1))[kinds]
    weight *= len(kinds) / weight.sum()
    mean = features.mean(axis=0, dtype=np.float64)
    sd = features.std(axis=0, dtype=np.float64)
    sd = np.where(sd > 1e-6, sd, 1.0)
    x = (features - mean.astype(np.float32)) / sd.astype(np.float32)
    # Two columns of coefficients share what one would have, so the penalty is counted four times.
    w, b = fit_logistic(x, (kinds == POSITIVE).astype(np.int64), 2, weight, 2 / c, 100)
    return Head(mean, sd, w[:, 1] - w[:, 0], float(b[1] - b[0]))


def _of(training: Training, i: int, kind: Set) -> NDArray[np.float32]:
    cells, pairs = training.cells[i], training.pairs[i]
    return pair_features(cells.rows(pairs.a), cells.rows(pairs.b), kind)


def _joined(pairs: Sequence[Pairs]) -> Pairs:
    return Pairs(
        np.concatenate([p.a for p in pairs]),
        np.concatenate([p.b for p in pairs]),
        np.concatenate([p.kind for p in pairs]),
    )


def _slice(cells: Described, start: int, m: int) -> Described:
    """Return rows of one side of m pairs; a single cell is on every pair."""
    if len(cells.h) == 1 and m > 1:
        return cells
    return cells.rows(np.arange(start, min(start + ROWS, len(cells.h))))


def _whitening(
    values: NDArray[np.float64], count: int = 30
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean = values.mean(axis=0)
    spread, vectors = np.linalg.eigh(np.cov((values - mean).T))
    order = np.argsort(-spread)[:count]
    order = order[spread[order] > 1e-4 * spread.max()]
    return mean, vectors[:, order] / np.sqrt(spread[order])
