"""How good a partition or an embedding is, with truth and without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.metrics import normalized_mutual_info_score

from backend.models.spatialglue.consensus import adjusted_rand

#: Neighbours that a modality and an embedding are compared by, as in the article.
NEIGHBOURS = 50
#: Distances computed for that at most; fewer spots are asked where there are many.
DISTANCES = 10_000_000
#: Distances held at once.
_BLOCK = 4_000_000


def morans_i(labels: NDArray[np.integer], ring: csr_matrix, k: int) -> NDArray[np.float64]:
    """Return Moran's I of membership in each domain, (k,); nan for an empty or whole domain.

    I = (n / W) sum_ij w_ij z_i z_j / sum_i z_i^2, with row-normalised weights (W = n).
    """
    out = np.full(k, np.nan)
    for code in range(k):
        z = (labels == code).astype(np.float64)
        z -= z.mean()
        spread = float(z @ z)
        if spread > 0:
            out[code] = float(z @ (ring @ z)) / spread
    return out


@dataclass(frozen=True, slots=True)
class Near:
    """Nearest spots by each modality, of a sample of the spots.

    rows : (q,) int64
    by_modality : modality name to (q, k) int64
    """

    rows: NDArray[np.int64]
    by_modality: dict[str, NDArray[np.int64]]


def near_by_modality(components: dict[str, NDArray[np.float32]], seed: int) -> Near:
    """Return the 50 nearest spots by Euclidean distance in the components of each modality."""
    n = len(next(iter(components.values())))
    order = np.random.default_rng(seed).permutation(n)
    rows = np.sort(order[: max(100, min(n, DISTANCES // n))])
    k = min(NEIGHBOURS, n - 1)
    return Near(rows, {name: nearest_of(x, rows, k) for name, x in components.items()})


def jaccard(near: Near, embedding: NDArray[np.floating]) -> dict[str, float]:
    """Return, per modality, the mean share of nearest spots that it and an embedding have alike.

    Intersection over union, averaged over the sample.
    """
    x = np.asarray(embedding, np.float32)
    found = nearest_of(x, near.rows, min(NEIGHBOURS, len(x) - 1))
    return {name: _overlap(own, found) for name, own in near.by_modality.items()}


def _overlap(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    shared = [len(np.intersect1d(p, q, assume_unique=True)) for p, q in zip(a, b, strict=True)]
    both = np.array(shared, np.float64)
    return float((both / (2 * a.shape[1] - both)).mean())


def nearest_of(x: NDArray[np.float32], rows: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Return the ``k`` rows nearest to each of ``rows``, itself left out, in no order."""
    norm = (x**2).sum(axis=1)
    found = []
    step = max(1, _BLOCK // len(x))
    for start in range(0, len(rows), step):
        own = rows[start : start + step]
        distance = norm - 2 * (x[own] @ x.T)
        distance[np.arange(len(own)), own] = np.inf
        found.append(np.argpartition(distance, k - 1, axis=1)[:, :k])
    return np.concatenate(found)


def against_truth(labels: NDArray[np.integer], truth: NDArray[np.integer]) -> dict[str, float]:
    """Return ARI and NMI over the spots that have both a label and a truth."""
    known = (truth >= 0) & (labels >= 0)
    return {
        "ari": adjusted_rand(labels[known], truth[known]),
        "nmi": float(normalized_mutual_info_score(truth[known], labels[known])),
    }


def measure(
    labels: NDArray[np.integer],
    embedding: NDArray[np.floating],
    near: Near,
    ring: csr_matrix,
    truth: NDArray[np.integer] | None,
) -> dict[str, Any]:
    """Return all measures of one partition as JSON values.

    Returns
    -------
    dict
        ``moran`` per domain and its median, ``jaccard`` per modality and their sum, and ``ari``
        and ``nmi`` where there is a truth.
    """
    moran = morans_i(labels, ring, int(labels.max()) + 1)
    kept = jaccard(near, embedding)
    found: dict[str, Any] = {
        "moran": [None if np.isnan(v) else float(v) for v in moran],
        "median_moran": float(np.nanmedian(moran)) if np.isfinite(moran).any() else None,
        "jaccard": kept,
        "jaccard_sum": float(sum(kept.values())),
    }
    return {**found, **(against_truth(labels, truth) if truth is not None else {})}
