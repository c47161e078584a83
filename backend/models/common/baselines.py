"""What a method has to beat: the gene mean, and nearest neighbours in two plain spaces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from scipy.sparse.linalg import svds
from scipy.spatial import cKDTree
from sklearn.neighbors import KNeighborsClassifier

from backend.core.errors import NoSharedGenes

#: Genes up to which the covariance is decomposed whole.
DIRECT = 1000


def gene_mean(reference: csr_matrix, n: int) -> NDArray[np.float64]:
    """Return the mean of every gene of ``reference`` (r, g) for each of ``n`` cells: (n, g)."""
    return np.tile(np.asarray(reference.mean(axis=0), dtype=np.float64), (n, 1))


def shared_columns(
    reference: tuple[str, ...], query: tuple[str, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the columns of both panels that hold the same genes, matched without case.

    Raises
    ------
    NoSharedGenes
        If there is none.
    """
    place = {gene.upper(): i for i, gene in enumerate(reference)}
    pairs = [(place[g.upper()], j) for j, g in enumerate(query) if g.upper() in place]
    if not pairs:
        raise NoSharedGenes("The two panels share no gene.", "Use gene symbols of one species.")
    a, b = np.array(pairs, dtype=np.int64).T
    return a, b


def knn_labels(
    reference: NDArray[np.float64] | csr_matrix,
    codes: NDArray[np.int64],
    query: NDArray[np.float64] | csr_matrix,
    k: int = 15,
) -> NDArray[np.int64]:
    """Return the majority code among the ``k`` nearest reference cells of each query cell."""
    model = KNeighborsClassifier(min(k, len(codes))).fit(reference, codes)
    return np.asarray(model.predict(query), dtype=np.int64)


def knn_votes(
    reference: NDArray[np.float64] | csr_matrix,
    codes: NDArray[np.int64],
    query: NDArray[np.float64] | csr_matrix,
    n_classes: int,
    k: int = 15,
) -> NDArray[np.float64]:
    """Return the share of each class among the ``k`` nearest reference cells, (n, n_classes)."""
    model = KNeighborsClassifier(min(k, len(codes))).fit(reference, codes)
    out = np.zeros((query.shape[0], n_classes))
    out[:, model.classes_] = model.predict_proba(query)
    return out


def knn_values(
    reference: NDArray[np.float64],
    values: NDArray[np.float64],
    query: NDArray[np.float64],
    k: int = 50,
) -> NDArray[np.float64]:
    """Return the mean of ``values`` (r, m) over the ``k`` nearest reference cells: (n, m)."""
    _, near = cKDTree(reference).query(query, k=min(k, len(reference)))
    near = near.reshape(len(query), -1)
    out = np.zeros((len(query), values.shape[1]))
    for column in near.T:
        out += values[column]
    return np.asarray(out / near.shape[1])


def principal_components(y: NDArray[np.float64], count: int = 20) -> NDArray[np.float64]:
    """Return the scores of centred ``y`` (n, g) on its first components: (n, min(count, g)).

    Notes
    -----
    A whole transcriptome is not decomposed whole: the cube of 16,000 genes takes minutes.
    """
    centred = y - y.mean(axis=0)
    if min(centred.shape) <= count or centred.shape[1] <= DIRECT:
        _, vectors = np.linalg.eigh(centred.T @ centred)
        return np.asarray(centred @ vectors[:, ::-1][:, :count])
    start = np.random.default_rng(0).standard_normal(min(centred.shape))
    left, size, _ = svds(centred, k=count, v0=start)
    order = np.argsort(-size)
    return np.asarray(left[:, order] * size[order])


def harmony_space(
    reference: csr_matrix, query: csr_matrix, count: int = 20, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return reference and query cells in PCA space after Harmony.

    Parameters
    ----------
    reference, query : (r, g), (n, g) csr_matrix
        Log-normalised, the same genes in the same order.

    Notes
    -----
    Korsunsky et al., Nat Methods 16, 1289 (2019). harmonypy is an optional package.
    """
    import harmonypy  # optional, and slow to import
    import pandas as pd

    both = np.asarray(vstack([reference, query]).todense(), dtype=np.float64)
    sd = both.std(axis=0)
    both = (both - both.mean(axis=0)) / np.where(sd > 0, sd, 1.0)
    scores = principal_components(both, count)
    batch = ["reference"] * reference.shape[0] + ["query"] * query.shape[0]
    out = harmonypy.run_harmony(
        scores, pd.DataFrame({"batch": batch}), ["batch"], random_state=seed, verbose=False
    ).Z_corr
    out = np.asarray(out)
    out = out if out.shape[0] == len(batch) else out.T
    return out[: reference.shape[0]], out[reference.shape[0] :]
