"""Balance weights: cells whose kind has a counterpart in the other sections drive the alignment.

He et al. 2024, Methods, "Training procedure" (after GLUE, Cao and Gao 2022). Cells of every section
are clustered on their embedding; cluster c of section v has the mean embedding m_c, of length one,
and s_c cells. Similarity of clusters of two sections:

    C = cos(m_c, m_d), zero below the cut-off 0.5, to the power 4                            (1)

Up to six sections (joint): the product of C over all pairs of sections is a tensor with one axis
per section; the weight of a cluster is its sum over all other axes over s_c. More sections
(pairwise): per pair, row sums of C over s_c, per cell and with mean 1; then
0.9 x (sum over partners, mean 1) + 0.1 x (product over partners, mean 1). Both end with mean 1
over the cells of a section.

Deviations
----------
- The joint tensor is summed section by section; what the authors store in full (clusters to the
  power of sections) exists here for one cluster at a time.
- Where no cluster of a section has a counterpart the authors' joint rule ends with an error and
  their pairwise rule lowers the cut-off by 0.1 and starts again. Here both lower the cut-off; at a
  cut-off below zero all weights are 1.
- Clusters come from Louvain communities at resolution 1 instead of Leiden's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from backend.models.fusemap.parity.settings import Settings

Floats = NDArray[np.float64]

CUT_OFF, POWER, LOWER = 0.5, 4, 0.1
SUM_SHARE, PRODUCT_SHARE = 0.9, 0.1
#: What an infinite product of weights becomes.
HUGE = 1e308


def cluster_weights(
    means: Sequence[Floats], sizes: Sequence[Floats], settings: Settings
) -> list[Floats]:
    """Return the weight of a cell of every cluster of every section.

    Parameters
    ----------
    means : sequence of (c, k)
        Mean embedding of every cluster, per section.
    sizes : sequence of (c,)
        Cells per cluster.

    Returns
    -------
    list of (c,) float64, of mean 1 over the cells of each section
    """
    unit = [m / np.maximum(np.linalg.norm(m, axis=1, keepdims=True), 1e-12) for m in means]
    sizes = [np.asarray(s, dtype=np.float64) for s in sizes]
    rule = joint if len(means) <= settings.joint_up_to else pairwise
    return _lowering(rule, unit, sizes)


def _lowering(
    rule: Callable[[Sequence[Floats], Sequence[Floats], float], list[Floats]],
    unit: Sequence[Floats],
    sizes: Sequence[Floats],
) -> list[Floats]:
    """Apply a rule at the highest cut-off at which every section has a weight."""
    cut = CUT_OFF
    while cut > -LOWER / 2:
        found = rule(unit, sizes, cut)
        if all(np.isfinite(w).all() and w.any() for w in found):
            return found
        cut -= LOWER
    return [np.ones(len(s)) for s in sizes]


def joint(unit: Sequence[Floats], sizes: Sequence[Floats], cut: float = CUT_OFF) -> list[Floats]:
    """Return weights per cluster from the product over all pairs of sections."""
    n = len(unit)
    similar = {(v, w): _similar(unit[v], unit[w], cut) for v in range(n) for w in range(v + 1, n)}
    out = [np.zeros(len(u)) for u in unit]
    for place in product(*[range(len(u)) for u in unit[:-1]]):
        pairs = [
            similar[v, w][place[v], place[w]] for v in range(n - 1) for w in range(v + 1, n - 1)
        ]
        first = float(np.prod(pairs))
        if first == 0.0:
            continue
        # The last axis of the tensor at once: (clusters of the last section,)
        line = first * np.prod([similar[v, n - 1][place[v]] for v in range(n - 1)], axis=0)
        for v, c in enumerate(place):
            out[v][c] += line.sum()
        out[-1] += line
    return [_mean_one(w / s, s) for w, s in zip(out, sizes, strict=True)]


def pairwise(unit: Sequence[Floats], sizes: Sequence[Floats], cut: float = CUT_OFF) -> list[Floats]:
    """Return weights per cluster from the sum and product over partners."""
    out = []
    for v, (own, size) in enumerate(zip(unit, sizes, strict=True)):
        partners = [u for w, u in enumerate(unit) if w != v]
        each = np.array(
            [_mean_one(_similar(own, u, cut).sum(axis=1) / size, size) for u in partners]
        )
        with np.errstate(over="ignore"):
            times = np.nan_to_num(each.prod(axis=0), nan=np.nan, posinf=HUGE)
        mixed = SUM_SHARE * _mean_one(each.sum(axis=0), size) + PRODUCT_SHARE * _mean_one(
            times, size
        )
        out.append(_mean_one(mixed, size))
    return out


def _similar(a: Floats, b: Floats, cut: float) -> Floats:
    """Return (1) for unit vectors (c, k) and (d, k)."""
    cosine = a @ b.T
    return np.where(cosine < cut, 0.0, cosine) ** POWER


def _mean_one(weight: Floats, size: Floats) -> Floats:
    """Return ``weight`` per cluster with mean 1 over cells; nan where all are zero."""
    mean = float((weight * size).sum() / size.sum())
    return weight / mean if mean > 0 else np.full(len(weight), np.nan)
