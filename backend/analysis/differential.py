"""Which genes differ between two groups of cells, with effect size and adjusted p."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.stats import ttest_ind_from_stats


class Difference(NamedTuple):
    """One row of a differential table, per gene.

    mean_a, mean_b are of log1p counts; percent is the share of cells with at least one count;
    effect is Cohen's d; p_adjusted is Benjamini-Hochberg over the genes.
    """

    gene: str
    mean_a: float
    mean_b: float
    percent_a: float
    percent_b: float
    effect: float
    p_adjusted: float


def differential(a: csr_matrix, b: csr_matrix, genes: tuple[str, ...]) -> list[Difference]:
    """Return genes by falling absolute effect, Welch's t test on log1p counts.

    Parameters
    ----------
    a, b : (n_a, g), (n_b, g) csr_matrix
        Counts of the two groups; each needs two cells.
    genes : tuple of str
        g names.

    Notes
    -----
    Cells of one section are not independent samples of an animal: p says how sure the difference
    between these cells is, not how it generalises to other animals.
    """
    if a.shape[0] < 2 or b.shape[0] < 2:
        return []
    (mean_a, sd_a, some_a), (mean_b, sd_b, some_b) = _moments(a), _moments(b)
    test = ttest_ind_from_stats(
        mean_a, sd_a + 1e-9, a.shape[0], mean_b, sd_b + 1e-9, b.shape[0], equal_var=False
    )
    adjusted = benjamini_hochberg(np.nan_to_num(np.asarray(test.pvalue), nan=1.0))
    effect = (mean_a - mean_b) / np.sqrt((sd_a**2 + sd_b**2) / 2 + 1e-9)
    order = np.argsort(-np.abs(effect), kind="stable")
    columns = (mean_a, mean_b, 100 * some_a, 100 * some_b, effect, adjusted)
    return [Difference(genes[i], *(float(column[i]) for column in columns)) for i in order]


def _moments(
    counts: csr_matrix,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of log1p counts, and the share of non-zero cells."""
    logged = counts.astype(np.float64).log1p()
    n = counts.shape[0]
    mean = np.asarray(logged.mean(axis=0)).ravel()
    square = np.asarray(logged.power(2).mean(axis=0)).ravel()
    sd = np.sqrt(np.maximum(square - mean**2, 0) * n / max(n - 1, 1))
    return mean, sd, np.asarray((counts > 0).mean(axis=0)).ravel()


def benjamini_hochberg(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p values adjusted for the false discovery rate (Benjamini & Hochberg 1995).

    Parameters
    ----------
    p : (g,) float64
    """
    order = np.argsort(p)
    ranked = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.minimum.accumulate(ranked[::-1])[::-1], 1.0)
    return adjusted
