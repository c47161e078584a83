"""How far an imputed value of one cell may be off: split conformal intervals from hidden genes.

Cells of a section are ranked by their misfit on measured genes and by how many genes were detected
in them; both say, weakly, whose hidden genes are off. The two ranks make one certainty, in five
strata; in each, the interval that held nine of ten hidden values is kept, in standard deviations of
the gene in its section: how far its level differs between technologies is not covered. Vovk et al.,
"Algorithmic learning in a random world" (2005); strata as in Mondrian conformal prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

#: Strata of certainty, and the share of values that an interval is to hold.
STRATA, COVERAGE = 5, 0.9
#: Residuals kept per section and fold.
RESIDUALS = 20_000


@dataclass(frozen=True, slots=True)
class CellTrust:
    """Certainty of cells from ranks, and the half width of intervals by it.

    weights : (3,) intercept, of the misfit rank, of the shallowness rank: expected error rank
    edges : (STRATA - 1,) of expected error between strata, ascending
    widths : (STRATA,) half widths in standard deviations of the gene, from the most certain on
    coverage : share of fresh hidden values inside, genes and cells that did not set the widths
    rank_correlation : Spearman's between expected and realised error of cells, mean of sections
    """

    weights: NDArray[np.float64]
    edges: NDArray[np.float64]
    widths: NDArray[np.float64]
    coverage: float
    rank_correlation: float

    def certainty(
        self, misfit: NDArray[np.float64], detected: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Return the certainty of the cells of a section, (n,) in 0..1.

        1 for cells as sure as the surest fifth of the cells that were tested, 0 for the least sure
        fifth; straight lines between the middles of the strata.
        """
        expected = expected_error(self.weights, misfit, detected)
        return (1 - self._place(expected) / (STRATA - 1)).astype(np.float32)

    def half_width(self, certainty: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return half widths by certainty, in standard deviations of the gene, (n,)."""
        return np.interp(1 - certainty, np.linspace(0, 1, STRATA), self.widths)

    def _place(self, expected: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return places among the strata, 0..STRATA-1, in between too."""
        inner = (self.edges[1:] + self.edges[:-1]) / 2
        first = 2 * self.edges[0] - inner[0]
        last = 2 * self.edges[-1] - inner[-1]
        return np.interp(expected, np.r_[first, inner, last], np.arange(STRATA))


@dataclass(frozen=True, slots=True)
class Residuals:
    """Errors on hidden genes of one section in one fold.

    misfit, detected : (d,) of the cells
    error : (d, h) absolute, in standard deviations of the gene in the section
    """

    section: int
    fold: int
    misfit: NDArray[np.float64]
    detected: NDArray[np.float64]
    error: NDArray[np.float64]


def expected_error(
    weights: NDArray[np.float64], misfit: NDArray[np.float64], detected: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the expected rank of the error of every cell among those of its section, (n,)."""
    return weights[0] + weights[1] * _rank(misfit) + weights[2] * _rank(-detected)


def calibrate(found: Sequence[Residuals], seed: int) -> CellTrust | None:
    """Return what hidden genes teach about cells; None where nothing was hidden.

    Notes
    -----
    Coverage is cross-fitted: widths from all folds but one, measured on that one, whose genes were
    hidden from the fit that made its scores.
    """
    found = [f for f in found if f.error.size and len(f.misfit) > STRATA]
    if not found:
        return None
    weights = _weights(found)
    expected = [expected_error(weights, f.misfit, f.detected) for f in found]
    edges = np.quantile(np.concatenate(expected), np.linspace(0, 1, STRATA + 1)[1:-1])
    rng = np.random.default_rng(seed)
    strata, errors, folds = [], [], []
    for f, e in zip(found, expected, strict=True):
        row = np.repeat(np.searchsorted(edges, e), f.error.shape[1])
        keep = rng.permutation(len(row))[:RESIDUALS]
        strata.append(row[keep])
        errors.append(f.error.ravel()[keep])
        folds.append(np.full(len(keep), f.fold))
    stratum, error, fold = (np.concatenate(x) for x in (strata, errors, folds))
    ranks = [_spearman(e, (f.error**2).mean(axis=1)) for f, e in zip(found, expected, strict=True)]
    return CellTrust(
        weights, edges, _widths(stratum, error), _coverage(stratum, error, fold),
        float(np.mean(ranks)),
    )  # fmt: skip


def _weights(found: Sequence[Residuals]) -> NDArray[np.float64]:
    """Least squares of error ranks on ranks of misfit and shallowness; neither may lower it."""
    x = np.concatenate([np.stack([_rank(f.misfit), _rank(-f.detected)], axis=1) for f in found])
    y = np.concatenate([_rank((f.error**2).mean(axis=1)) for f in found])
    centred = x - x.mean(axis=0)
    slope = np.linalg.lstsq(centred, y - y.mean(), rcond=None)[0].clip(0)
    return np.r_[y.mean() - slope @ x.mean(axis=0), slope]


def _widths(stratum: NDArray[np.int64], error: NDArray[np.float64]) -> NDArray[np.float64]:
    """Conformal quantile per stratum; that of all where a stratum is empty."""
    whole = _quantile(error)
    return np.array(
        [_quantile(error[stratum == s]) if (stratum == s).any() else whole for s in range(STRATA)]
    )


def _quantile(error: NDArray[np.float64]) -> float:
    """Smallest half width that holds the share asked for of one more value, (n + 1) rule."""
    level = min(np.ceil((len(error) + 1) * COVERAGE) / len(error), 1.0)
    return float(np.quantile(error, level, method="higher"))


def _coverage(
    stratum: NDArray[np.int64], error: NDArray[np.float64], fold: NDArray[np.int64]
) -> float:
    """Share of values of each fold inside the intervals set by the others; nan with one fold."""
    names = np.unique(fold)
    if len(names) < 2:
        return float("nan")
    inside = [
        error[fold == f] <= _widths(stratum[fold != f], error[fold != f])[stratum[fold == f]]
        for f in names
    ]
    return float(np.concatenate(inside).mean())


def _rank(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks as shares, 0..1, ties in the middle."""
    return np.asarray((rankdata(values) - 0.5) / max(len(values), 1))


def _spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Spearman's correlation, 0 where one is constant."""
    x, y = rankdata(a), rankdata(b)
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum() / norm) if norm > 0 else 0.0
