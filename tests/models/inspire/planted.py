"""Planted factors: panels that overlap in part, scales of genes, programs of one section."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.sparse import csr_matrix

from backend.core.data import SectionData

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Planted:
    """Sections, proportions (n, K), programs (K, genes), who has which, scales (S, genes)."""

    sections: list[SectionData]
    proportions: list[Floats]
    programs: Floats
    present: NDArray[np.bool_]
    scales: Floats


def plant(
    seed: int,
    *,
    noisy: bool = False,
    sections: int = 3,
    side: int = 12,
    genes: int = 120,
    factors: int = 5,
    own: int = 1,
    panel: int = 100,
    scale_sd: float = 0.4,
    markers: int = 12,
) -> Planted:
    """Return sections of ``side`` x ``side`` cells with smooth proportions.

    The last ``own`` factors are in one section each; factors that a section has are equally
    common there. Counts are Poisson, or have gamma noise of shape 2 where ``noisy``.
    """
    rng = np.random.default_rng(seed)
    programs = _programs(rng, factors, genes, markers)
    present = np.ones((sections, factors), dtype=np.bool_)
    for j in range(own):
        present[:, factors - 1 - j] = False
        present[j * (sections - 1) // max(own - 1, 1), factors - 1 - j] = True
    common = rng.permutation(genes)[: int(0.4 * panel)]
    rest = np.setdiff1d(np.arange(genes), common)
    xy = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) * 50.0
    made, shares, all_scales = [], [], []
    for s in range(sections):
        p = _proportions(rng, side, present[s])
        scales = np.exp(rng.normal(0, scale_sd, genes))
        depth = rng.uniform(120, 360, side * side)
        others = rng.choice(rest, panel - len(common), replace=False)
        measured = np.sort(np.concatenate([common, others]))
        rate = ((p @ programs) * scales)[:, measured]
        rate *= (depth / rate.sum(axis=1))[:, None]
        noise = rng.gamma(2, 0.5, rate.shape) if noisy else 1.0
        counts = csr_matrix(rng.poisson(rate * noise).astype(np.float32))
        made.append(
            SectionData(
                id=f"s{s}",
                title=f"Section {s}",
                xy=xy.astype(np.float32),
                counts=counts,
                genes=tuple(f"G{g}" for g in measured),
                names=np.arange(side * side).astype(str),
            )
        )
        shares.append(p)
        all_scales.append(scales)
    return Planted(made, shares, programs, present, np.array(all_scales))


def _programs(rng: np.random.Generator, factors: int, genes: int, markers: int) -> Floats:
    programs = np.tile(rng.gamma(1.0, 1.0, genes) + 0.05, (factors, 1))
    for row in programs:
        own = rng.choice(genes, markers, replace=False)
        row[own] *= np.exp(rng.uniform(1.2, 2.6, markers))
    return np.asarray(programs / programs.sum(axis=1, keepdims=True))


def _proportions(rng: np.random.Generator, side: int, present: NDArray[np.bool_]) -> Floats:
    fields = np.stack(
        [gaussian_filter(rng.normal(size=(side, side)), 2.5).ravel() for _ in present], axis=1
    )
    weight = np.exp(2.0 * fields / fields.std(axis=0)) * present
    for _ in range(30):
        share = (weight / weight.sum(axis=1, keepdims=True)).mean(axis=0)
        weight[:, present] *= (1 / present.sum() / share[present]) ** 0.7
    p = weight / weight.sum(axis=1, keepdims=True)
    drawn = np.array([rng.dirichlet(30 * row + 1e-3) for row in p]) * present
    return np.asarray(drawn / drawn.sum(axis=1, keepdims=True))
