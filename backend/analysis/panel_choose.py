"""Choosing the genes of a panel: by gene embedding and labels, and the ways it has to beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from backend.analysis.panel_score import LEAST_CELLS, Sample, gathered

#: Gene modules, as published.
MODULES = 13
#: A candidate whose embedding equals that of a chosen gene loses this part of its gain.
NOVELTY = 0.5
#: Added to the diagonal of the gene correlations: two genes are never quite the same.
RIDGE = 0.05


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the training cells say about m candidate genes.

    correlation : (m, m)
        Of genes over cells, after log1p, standardised per section.
    link : (m, c)
        Of genes with classes, rare classes weighed up.
    share : (m,)
        Part of a gene's variance that lies between classes.
    excess : (m,)
        Log variance above what genes of that mean have.
    best : (m,) int
        Class with the highest mean, by its code.
    markers : (c, m) int
        Genes of each class by falling difference from the other classes.
    """

    correlation: NDArray[np.float64]
    link: NDArray[np.float64]
    share: NDArray[np.float64]
    excess: NDArray[np.float64]
    best: NDArray[np.int64]
    markers: NDArray[np.int64]


def evidence(samples: Sequence[Sample], label: str, is_place: bool, seed: int) -> Evidence:
    """Return what labelled cells of ``samples`` say about all candidate genes."""
    m = samples[0].counts.shape[1]
    cells = gathered(samples, label, np.arange(m), is_place, seed)
    known = np.flatnonzero(np.bincount(cells.codes, minlength=1) >= LEAST_CELLS)
    kept = np.isin(cells.codes, known)
    x, codes = cells.features[kept, :m], np.searchsorted(known, cells.codes[kept])
    one_hot = np.eye(len(known))[codes]
    size = one_hot.sum(axis=0)
    means = one_hot.T @ x / size[:, None]  # (c, m); genes have mean 0 and spread 1
    share = (means**2 * size[:, None]).sum(axis=0) / len(x)
    target = one_hot - size / len(x)
    target /= np.sqrt(target.std(axis=0))
    rest = -means * size[:, None] / (len(x) - size)[:, None]
    return Evidence(
        correlation=x.T @ x / len(x),
        link=x.T @ target / len(x),
        share=np.clip(share, 0, 1),
        excess=excess_variance(samples),
        best=known[means.argmax(axis=0)],
        markers=np.argsort(-(means - rest), axis=1, kind="stable"),
    )


def excess_variance(samples: Sequence[Sample]) -> NDArray[np.float64]:
    """Return log variance of counts above a quadratic in the log mean, mean over sections."""
    out = []
    for sample in samples:
        mean = np.asarray(sample.counts.mean(axis=0), np.float64).ravel()
        square = np.asarray(sample.counts.multiply(sample.counts).mean(axis=0), np.float64)
        spread = np.log(np.maximum(square.ravel() - mean**2, 0) + 1e-9)
        level = np.log(mean + 1e-6)
        out.append(spread - np.polyval(np.polyfit(level, spread, min(2, len(mean) - 1)), level))
    return np.asarray(np.mean(out, axis=0))


def unit_rows(embedding: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return gene embeddings of length one; a gene without one stays zero."""
    length = np.linalg.norm(embedding, axis=1, keepdims=True)
    return np.asarray(embedding / np.where(length > 0, length, 1), np.float64)


def modules(unit: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """Return the module of each gene: k-means of unit embeddings, the largest module first."""
    k = max(1, min(MODULES, len(np.unique(unit, axis=0))))
    found = KMeans(k, n_init=4, random_state=seed).fit_predict(unit)
    order = np.argsort(-np.bincount(found, minlength=k), kind="stable")
    rank = np.empty(k, np.int64)
    rank[order] = np.arange(k)
    return rank[found]


@dataclass(frozen=True, slots=True)
class Start:
    """What every way of choosing is given.

    n : int, genes to choose; forced : (f,) int, genes that are in; unit : (m, d) embeddings;
    module : (m,) int
    """

    n: int
    forced: NDArray[np.int64]
    unit: NDArray[np.float64]
    module: NDArray[np.int64]


def by_gain(found: Evidence, start: Start, novelty: float) -> list[int]:
    """Return genes one by one, each the one that adds most to telling the classes apart.

    Notes
    -----
    Orthogonal matching pursuit with several responses (Tropp et al. 2006): a gene's gain is its
    squared correlation with all classes, after what the chosen genes already say is taken out.
    ``novelty`` times the largest cosine of its embedding with a chosen gene's is taken off, so
    that with few labelled cells the panel still spreads over the modules of the whole corpus.
    """
    gram = found.correlation + RIDGE * np.eye(len(found.correlation))
    link = found.link.copy()
    near = np.zeros(len(gram))
    free = np.ones(len(gram), bool)
    chosen: list[int] = []
    forced = list(start.forced)
    while len(chosen) < min(start.n, len(gram)):
        own = np.maximum(np.diag(gram), 1e-6)
        gain = (link**2).sum(axis=1) / own * (1 - novelty * near)
        best = forced.pop(0) if forced else int(np.where(free, gain, -1.0).argmax())
        chosen.append(int(best))
        free[best] = False
        slope = gram[:, best] / own[best]
        link -= np.outer(slope, link[best])
        gram -= np.outer(slope, gram[best])
        near = np.maximum(near, np.clip(start.unit @ start.unit[best], 0, 1))
    return chosen


def by_rank(order: Sequence[int] | NDArray[np.int64], start: Start) -> list[int]:
    """Return forced genes, then the first of ``order``."""
    return list(dict.fromkeys([*map(int, start.forced), *map(int, order)]))[: start.n]


def in_turn(queues: Sequence[Sequence[int]], start: Start) -> list[int]:
    """Return forced genes, then the first of each queue, the second of each, and so on."""
    longest = max((len(q) for q in queues), default=0)
    order = [int(q[k]) for k in range(longest) for q in queues if k < len(q)]
    return by_rank(order, start)


def _variable(found: Evidence, start: Start) -> list[int]:
    return by_rank(np.argsort(-found.excess, kind="stable"), start)


def _published(found: Evidence, start: Start) -> list[int]:
    order = np.argsort(-found.excess, kind="stable")
    queues = [order[start.module[order] == k] for k in range(int(start.module.max()) + 1)]
    return in_turn(queues, start)


#: Ways of choosing by name; the first is ours, the others are held against it.
WAYS: Mapping[str, Callable[[Evidence, Start], list[int]]] = {
    "embedding": lambda found, start: by_gain(found, start, NOVELTY),
    "greedy": lambda found, start: by_gain(found, start, 0.0),
    "markers": lambda found, start: in_turn(list(found.markers), start),
    "modules": _published,
    "variable": _variable,
}
#: What each way is, in words.
TITLES: Mapping[str, str] = {
    "embedding": "Gene embedding and labels",
    "greedy": "Greedy, labels only",
    "markers": "Markers, one type after the other",
    "modules": "Most variable per module, as published",
    "variable": "Most variable",
    "random": "Random",
}


def random_panel(start: Start, m: int, seed: int) -> list[int]:
    """Return forced genes and others drawn at random."""
    return by_rank(np.random.default_rng(seed).permutation(m), start)
