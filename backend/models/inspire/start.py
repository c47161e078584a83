"""Where the factors start: k-means on the missing-gene factor analysis of all sections."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans, MiniBatchKMeans

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.models.common.factors import FactorFit, balance_weights, posterior, read_cells
from backend.models.common.factors import fit as fit_analysis
from backend.models.common.moments import moments_of
from backend.models.common.prep import gene_index, prepare
from backend.models.inspire.em import SHAPES, Floats, State, mean_profile, shares
from backend.models.inspire.inputs import Joined

#: Factors of the analysis, and its iterations.
ANALYSIS, ITERATIONS = 10, 50
#: How much of a cell starts in the factor of its own cluster.
OWN = 0.7
#: Cells above which clusters are found in batches.
MANY = 50_000
#: Tries of k-means: the best of so many is nearly always the same, so that programs do not hang on
#: the seed.
TRIES = 30


def analysis(
    sections: Sequence[SectionData], data: Joined, k: int, ctx: RunContext
) -> list[NDArray[np.float64]]:
    """Return the latent (n, d) of every section by the missing-gene factor analysis."""
    return analysed(sections, data, min(k, ANALYSIS), ctx)[0]


def analysed(
    sections: Sequence[SectionData], data: Joined, k: int, ctx: RunContext
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """Return the latent (n, d) of every section, and the embedding (G, d) of every gene.

    Their product is a gene's standardised value, whether or not a section measures it.
    """
    index = gene_index(data.genes)
    prepared = [prepare(s, index) for s in sections]
    weights = balance_weights([p.n_cells for p in prepared], [s.dataset or s.id for s in sections])
    d = max(1, min(k, *(len(p.genes) - 1 for p in prepared)))
    found = fit_analysis(
        [moments_of(p) for p in prepared], len(data.genes), weights, FactorFit(d, ITERATIONS), ctx
    )
    out = []
    for p, noise in zip(prepared, found.noise, strict=True):
        out.append(read_cells(p, posterior(found.embedding[p.genes], noise)))
    return out, np.asarray(found.embedding, dtype=np.float64)


def clusters(latent: Sequence[NDArray[np.float64]], k: int, seed: int) -> list[NDArray[np.int64]]:
    """Return k-means clusters of all cells together, per section."""
    z = np.vstack(latent)
    k = min(k, len(z))
    method = MiniBatchKMeans if len(z) > MANY else KMeans
    with warnings.catch_warnings():
        # Fewer distinct cells than clusters is no fault of the data.
        warnings.simplefilter("ignore")
        found = method(k, n_init=TRIES if method is KMeans else 4, random_state=seed).fit_predict(z)
    ends = np.cumsum([len(part) for part in latent])[:-1]
    return np.split(found.astype(np.int64), ends)


def start_from(data: Joined, groups: Sequence[NDArray[np.int64]], k: int) -> State:
    """Return programs from the mean profiles of clusters, and proportions close to one-hot.

    A cluster's profile is its ratio to the mean of its section, averaged over sections, times the
    mean profile, so that scales of genes in sections do not enter.
    """
    mean = mean_profile(data)
    g = len(data.genes)
    top, weight = np.full((k, g), 1e-3), np.full((k, g), 1e-3)
    for cells, group in zip(data.sections, groups, strict=True):
        ratio, size = _ratios(cells.counts, cells.depth, group, k)
        top[:, cells.genes] += size[:, None] * ratio
        weight[:, cells.genes] += size[:, None]
    programs = shares(mean * top / weight)
    loadings = []
    for cells, group in zip(data.sections, groups, strict=True):
        p = np.full((cells.n, k), (1 - OWN) / k)
        p[np.arange(cells.n), group] += OWN
        in_panel = np.maximum(p @ programs[:, cells.genes].sum(axis=1), 1e-6)
        loadings.append(p * (np.maximum(cells.depth, 0.5) / in_panel)[:, None])
    shapes = np.full(g, SHAPES[1])
    return State(tuple(loadings), programs, np.ones((len(data.sections), g)), shapes)


def _ratios(
    counts: object, depth: Floats, group: NDArray[np.int64], k: int
) -> tuple[Floats, Floats]:
    """Return (K, p) share of a gene in a cluster over that in the section, and (K,) depths."""
    from scipy.sparse import csr_matrix

    n = len(group)
    member = csr_matrix((np.ones(n), (group, np.arange(n))), shape=(k, n))
    total = np.asarray((member @ csr_matrix(counts)).todense(), dtype=np.float64)
    size = member @ depth
    overall = total.sum(axis=0)
    # Half a count of the section's own mean keeps rare genes of small clusters from exploding.
    share = overall / max(overall.sum(), 1.0)
    pseudo = 20.0
    own = (total + pseudo * share) / (size + pseudo)[:, None]
    return own / np.maximum(share, 1e-9), np.asarray(size)


def start(
    sections: Sequence[SectionData], data: Joined, k: int, seed: int, ctx: RunContext
) -> State:
    """Return the start of a fit with ``k`` factors."""
    return start_from(data, clusters(analysis(sections, data, k, ctx), k, seed), k)
