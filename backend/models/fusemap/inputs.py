"""How expression enters the factor model: log1p, or a sharper logarithm without outliers.

In shallow data a gene's first count says most; log1p of normalised counts lets its few high values
rule the correlations. The sharp scale, log1p(3 c) cut four standard deviations above the mean,
gives them less room. Which of the two is used is decided on hidden genes (``choose``): on real
cortex the sharp one raised the mean held-out r from .109 to .118, on deep simulated sections it
lowered it from .382 to .373. What is imputed is on the log1p scale either way.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.sparse import csr_matrix

from backend.core.data import SectionData
from backend.models.common.prep import Prepared, gene_statistics, prepare

Scale = Literal["log1p", "sharp"]
SCALES: tuple[Scale, ...] = ("log1p", "sharp")
#: What normalised counts are multiplied by on the sharp scale before the logarithm.
SHARPNESS = 3.0
#: Values further above the mean than this many standard deviations are cut.
CUT_SD = 4.0


def on_scale(prepared: Prepared, scale: Scale) -> Prepared:
    """Return a section on a scale, with the statistics of its genes on it.

    Parameters
    ----------
    prepared : Prepared
        On the log1p scale.
    scale : {"log1p", "sharp"}
    """
    if scale == "log1p":
        return prepared
    x = _sharpened(prepared.x)
    mean, sd = gene_statistics(x)
    _cut(x, mean + CUT_SD * sd)
    mean, sd = gene_statistics(x)
    return Prepared(x, prepared.genes, mean, np.where(sd > 0, sd, 1.0))


def like_scale(prepared: Prepared, scale: Scale) -> Prepared:
    """Return a section on a scale whose statistics are those of another section on that scale."""
    if scale == "log1p":
        return prepared
    x = _sharpened(prepared.x)
    _cut(x, prepared.mean + CUT_SD * prepared.sd)
    return Prepared(x, prepared.genes, prepared.mean, prepared.sd)


def prepare_on(section: SectionData, index: dict[str, int], scale: Scale) -> Prepared:
    """Return ``section`` on a scale, its columns placed by ``index``; see ``prepare``."""
    return on_scale(prepare(section, index), scale)


def _sharpened(x: csr_matrix) -> csr_matrix:
    """Take log1p(3 c) of log1p(c); logarithms that may be negative stay as they are."""
    out = x.copy()
    if out.nnz and out.data.min() >= 0:
        out.data = np.log1p(np.float32(SHARPNESS) * np.expm1(out.data))
    return out


def _cut(x: csr_matrix, most: np.ndarray) -> None:
    """Lower the values of each column to at most ``most``, in place."""
    np.minimum(x.data, most[x.indices].astype(x.data.dtype), out=x.data)
