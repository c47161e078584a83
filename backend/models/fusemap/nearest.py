"""Which atlas sections a section is most like: by its niches, and by its mean expression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.cluster import KMeans

#: Kinds of niche that profiles are counted in.
NICHES = 24
#: Cells per section that niches are learnt from.
CELLS = 1_000
#: Sections whose mean expression correlates at least so are of one kind of data.
ALIKE = 0.9
#: Fewer shared genes than this say nothing about mean expression.
LEAST_GENES = 10


@dataclass(frozen=True, slots=True)
class Near:
    """One atlas section: score in 0..1 and its two halves (nan where not known)."""

    section: str
    score: float
    niches: float
    expression: float

    @property
    def is_alike(self) -> bool:
        """Whether it is the same kind of data, so that its held-out figures apply."""
        return self.expression >= ALIKE


def learn_niches(
    niches: Sequence[NDArray[np.float64]], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return centres of kinds of niche (c, k), and the share of each in every section (s, c)."""
    rng = np.random.default_rng(seed)
    some = np.concatenate([n[np.sort(rng.permutation(len(n))[:CELLS])] for n in niches])
    kinds = min(NICHES, len(np.unique(some, axis=0)))
    centres = KMeans(kinds, n_init=1, random_state=seed).fit(some).cluster_centers_
    return centres, np.stack([profile(n, centres) for n in niches])


def profile(niche: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of cells (n, k) nearest to each centre, (c,)."""
    away = (centres**2).sum(axis=1) - 2 * niche @ centres.T
    return np.bincount(away.argmin(axis=1), minlength=len(centres)) / max(len(niche), 1)


def rank_sections(
    own_profile: NDArray[np.float64],
    own_mean: Mapping[int, float],
    profiles: Mapping[str, NDArray[np.float64]],
    means: Mapping[str, tuple[NDArray[np.int64], NDArray[np.float64]]],
) -> list[Near]:
    """Return the atlas sections, the most similar first.

    Parameters
    ----------
    own_profile : (c,) float64
    own_mean : gene to mean log expression of the query
    profiles : section id to (c,) float64
    means : section id to (genes, mean log expression)

    Notes
    -----
    The score is the mean of the Bhattacharyya coefficient of the niche profiles and of Spearman's
    correlation of mean expression over shared genes (0 where negative). Standardisation removes
    the difference of means between sections from the embedding, hence the second half.
    """
    found = []
    for section, other in profiles.items():
        niches = float(np.sqrt(own_profile * other).sum())
        expression = _correlation(own_mean, *means[section])
        halves = [niches] if np.isnan(expression) else [niches, max(expression, 0.0)]
        found.append(Near(section, float(np.mean(halves)), niches, expression))
    return sorted(found, key=lambda near: (-near.score, near.section))


def _correlation(
    own: Mapping[int, float], genes: NDArray[np.int64], mean: NDArray[np.float64]
) -> float:
    """Spearman's correlation over shared genes; nan with too few."""
    pairs = [(own[int(g)], m) for g, m in zip(genes, mean, strict=True) if int(g) in own]
    if len(pairs) < LEAST_GENES:
        return float("nan")
    a, b = (rankdata(column) for column in zip(*pairs, strict=True))
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / norm) if norm > 0 else float("nan")
