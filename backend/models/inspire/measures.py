"""How good an embedding of sections is: agreement with labels, mixing, separation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import (
    adjusted_rand_score,
    normalized_mutual_info_score,
    silhouette_score,
)

from backend.models.common.agreement import mixing

Floats = NDArray[np.float64]

#: Cells that are measured at most, and fewest with a label that say something.
MOST, LEAST = 6_000, 30


def measure(
    points: Sequence[Floats], truth: Sequence[NDArray[np.integer]] | None, seed: int
) -> dict[str, Any]:
    """Return figures of an embedding.

    Parameters
    ----------
    points : (n, d) per section
    truth : (n,) codes per section, negative where unlabelled, or None

    Returns
    -------
    dict
        ``mixing`` (entropy of sections among 50 neighbours over its maximum); with a truth also
        ``ari``, ``nmi`` (k-means of all sections together at the true number, mean over sections),
        ``silhouette`` of the labels, and ``by_section``.
    """
    rng = np.random.default_rng([seed, 41])
    z = np.vstack(points)
    section = np.repeat(np.arange(len(points)), [len(p) for p in points])
    rows = np.sort(rng.choice(len(z), MOST, replace=False)) if len(z) > MOST else np.arange(len(z))
    near = min(50, len(rows) - 1)
    out: dict[str, Any] = {"mixing": mixing(z[rows], section[rows], near)}
    if truth is None:
        return out
    codes = np.concatenate([np.asarray(t, dtype=np.int64) for t in truth])
    labelled = codes >= 0
    if labelled.sum() < LEAST or len(np.unique(codes[labelled])) < 2:
        return out
    k = len(np.unique(codes[labelled]))
    found = KMeans(k, n_init=10, random_state=seed).fit_predict(z[labelled])
    return {**out, **_agreement(found, codes[labelled], section[labelled]),
            "silhouette": _silhouette(z[labelled], codes[labelled], rng)}  # fmt: skip


def measure_labels(
    found: Sequence[NDArray[np.integer]], truth: Sequence[NDArray[np.integer]]
) -> dict[str, Any]:
    """Return ``ari``, ``nmi`` and ``by_section`` of domains, as ``measure`` does."""
    section = np.repeat(np.arange(len(found)), [len(f) for f in found])
    codes = np.concatenate([np.asarray(t, dtype=np.int64) for t in truth])
    known = codes >= 0
    if known.sum() < LEAST or len(np.unique(codes[known])) < 2:
        return {}
    return _agreement(np.concatenate(found)[known], codes[known], section[known])


def _agreement(
    found: NDArray[np.integer], codes: NDArray[np.int64], section: NDArray[np.int64]
) -> dict[str, Any]:
    by_section = {}
    for s in np.unique(section):
        here = section == s
        if here.sum() >= LEAST and len(np.unique(codes[here])) > 1:
            by_section[int(s)] = (
                float(adjusted_rand_score(codes[here], found[here])),
                float(normalized_mutual_info_score(codes[here], found[here])),
            )
    pairs = np.array(list(by_section.values())) if by_section else np.full((1, 2), np.nan)
    ari, nmi = pairs.mean(axis=0)
    return {
        "ari": float(ari),
        "nmi": float(nmi),
        "ari_pooled": float(adjusted_rand_score(codes, found)),
        "by_section": {str(s): {"ari": a, "nmi": b} for s, (a, b) in by_section.items()},
    }


def _silhouette(z: Floats, codes: NDArray[np.int64], rng: np.random.Generator) -> float | None:
    rows = rng.choice(len(z), min(len(z), 3_000), replace=False)
    if len(np.unique(codes[rows])) < 2:
        return None
    return float(silhouette_score(z[rows], codes[rows]))


def better(
    model: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return every figure in which a plain method is better than the model."""
    out = []
    for name, found in baselines.items():
        for key in ("ari", "nmi", "silhouette"):
            ours, theirs = model.get(key), found.get(key)
            if ours is not None and theirs is not None and theirs > ours:
                out.append({"baseline": name, "measure": key, "baseline_figure": theirs,
                            "model_figure": ours})  # fmt: skip
    return out
