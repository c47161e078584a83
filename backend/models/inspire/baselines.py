"""Plain methods beside the factors: NMF pooled and smoothed, PCA with Harmony, smoothed PCA."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, vstack
from sklearn.decomposition import NMF, TruncatedSVD

from backend.core.data import SectionData
from backend.models.common.prep import normalised
from backend.models.inspire.inputs import Joined

Floats = NDArray[np.float64]

POOLED, SMOOTHED = "NMF of pooled counts", "NMF of smoothed counts"
HARMONY, SMOOTH_PCA = "PCA and Harmony", "PCA of smoothed counts"
#: Components, genes of a decomposition, and iterations of NMF at most.
COMPONENTS, MOST_GENES, ITERATIONS = 20, 1_000, 200


def shared_log(sections: Sequence[SectionData]) -> tuple[list[csr_matrix], list[str]]:
    """Return log-normalised values of the genes that all sections have, and their names.

    The ``MOST_GENES`` of largest variance are kept.
    """
    panels = [{g.upper(): j for j, g in enumerate(s.genes)} for s in sections]
    shared = sorted(set.intersection(*(set(p) for p in panels)))
    logs = [
        csr_matrix(normalised(s.counts, s.is_counts)[:, [p[g] for g in shared]])
        for s, p in zip(sections, panels, strict=True)
    ]
    if len(shared) > MOST_GENES:
        whole = csr_matrix(vstack(logs))
        variance = np.asarray(whole.multiply(whole).mean(axis=0)).ravel()
        variance -= np.asarray(whole.mean(axis=0)).ravel() ** 2
        keep = np.sort(np.argsort(-variance, kind="stable")[:MOST_GENES])
        logs, shared = [csr_matrix(x[:, keep]) for x in logs], [shared[j] for j in keep]
    return logs, shared


def smoothed(data: Joined, logs: Sequence[csr_matrix]) -> list[csr_matrix]:
    """Return half own, half mean of neighbours."""
    out = []
    for cells, x in zip(data.sections, logs, strict=True):
        alone = np.asarray(cells.near.sum(axis=1)).ravel() == 0
        out.append(csr_matrix(diags(np.where(alone, 1.0, 0.5)) @ x + 0.5 * (cells.near @ x)))
    return out


def nmf(logs: Sequence[csr_matrix], k: int, seed: int) -> tuple[list[Floats], Floats]:
    """Return loadings (n, k) per section and components (k, g), whose rows sum to 1."""
    model = NMF(k, init="nndsvda", random_state=seed, max_iter=ITERATIONS)
    with warnings.catch_warnings():
        # Not converged in so many iterations: level with more on every set tried.
        warnings.simplefilter("ignore")
        w = model.fit_transform(csr_matrix(vstack(logs), dtype=np.float64))
    # NMF leaves the scale between a loading and its component open; shares need it fixed.
    size = np.maximum(model.components_.sum(axis=1), 1e-12)
    return _split(w * size, logs), np.asarray(model.components_ / size[:, None])


def components(logs: Sequence[csr_matrix], seed: int) -> list[Floats]:
    """Return principal components of every section's cells; means per gene are taken out."""
    whole = csr_matrix(vstack(logs), dtype=np.float64)
    count = min(COMPONENTS, whole.shape[1] - 1, whole.shape[0] - 1)
    svd = TruncatedSVD(count, random_state=seed).fit(whole)
    scores = svd.transform(whole)
    return _split(scores - scores.mean(axis=0), logs)


def harmony(logs: Sequence[csr_matrix], seed: int) -> list[Floats] | None:
    """Return components after Harmony with the section as batch, or None without the package.

    Korsunsky et al., Nat Methods 16, 1289 (2019).
    """
    try:
        import harmonypy  # optional, and slow to import
    except ImportError:
        return None
    import pandas as pd

    scores = components(logs, seed)
    batch = [str(s) for s, part in enumerate(scores) for _ in range(len(part))]
    out = harmonypy.run_harmony(
        np.vstack(scores), pd.DataFrame({"batch": batch}), ["batch"], random_state=seed,
        verbose=False,
    ).Z_corr  # fmt: skip
    z = np.asarray(out)
    return _split(z if len(z) == len(batch) else z.T, logs)


def embeddings(
    sections: Sequence[SectionData], data: Joined, k: int, seed: int, with_harmony: bool = True
) -> Mapping[str, list[Floats]]:
    """Return the embedding of every plain method, (n, d) per section."""
    logs, _ = shared_log(sections)
    if logs[0].shape[1] < 3:
        return {}
    smooth = smoothed(data, logs)
    found: dict[str, list[Floats]] = {
        POOLED: _proportions(nmf(logs, min(k, logs[0].shape[1] - 1), seed)[0]),
        SMOOTHED: _proportions(nmf(smooth, min(k, logs[0].shape[1] - 1), seed)[0]),
        SMOOTH_PCA: components(smooth, seed),
    }
    corrected = harmony(logs, seed) if with_harmony else None
    return found if corrected is None else {**found, HARMONY: corrected}


def _proportions(loadings: Sequence[Floats]) -> list[Floats]:
    return [w / np.maximum(w.sum(axis=1, keepdims=True), 1e-12) for w in loadings]


def _split(values: Floats, logs: Sequence[csr_matrix]) -> list[Floats]:
    ends = np.cumsum([x.shape[0] for x in logs])[:-1]
    return [np.asarray(part) for part in np.split(values, ends)]
