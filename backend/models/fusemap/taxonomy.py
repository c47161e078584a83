"""Taxonomies: which sections speak of the same classes, so that vocabularies do not fight.

A taxonomy is a data set's set of names for one label. Data sets whose names are mostly the same
share one; all others are kept apart, each with a classifier of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

#: Data sets share a taxonomy when this share of the smaller set of names is in the larger.
SHARED_NAMES = 0.8
#: A class with fewer cells than this cannot be learnt or checked.
LEAST_CELLS_OF_A_CLASS = 5
#: Parts that cells are held out in, and blocks per axis of a section that is split.
FOLDS, BLOCKS = 4, 4
#: A label whose neighbours agree so much beyond chance (Cohen's kappa) is a label of places.
PLACES_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """Classes that one classifier tells apart.

    name : data sets, joined by " + "
    sections : ids of the labelled sections
    codes : (c,) codes in the label's categories, ascending
    """

    name: str
    sections: tuple[str, ...]
    codes: tuple[int, ...]


def taxonomies(
    codes: Mapping[str, NDArray[np.int16]], datasets: Mapping[str, str]
) -> tuple[Taxonomy, ...]:
    """Return the taxonomies of one label.

    Parameters
    ----------
    codes : section id to (n,) codes in one common list of categories, -1 where missing
    datasets : section id to the name of its data set
    """
    counts = _counts_per_dataset(codes, datasets)
    groups: list[list[str]] = []
    for dataset in counts:
        alike = [g for g in groups if any(_alike(counts[dataset], counts[d]) for d in g)]
        merged = [d for g in alike for d in g] + [dataset]
        groups = [g for g in groups if g not in alike] + [merged]
    out = []
    for group in groups:
        total = np.sum([counts[d] for d in group], axis=0)
        kept = np.flatnonzero(total >= LEAST_CELLS_OF_A_CLASS)
        sections = tuple(s for s, c in codes.items() if datasets[s] in group and (c >= 0).any())
        if len(kept) >= 2:
            out.append(Taxonomy(" + ".join(group), sections, tuple(int(c) for c in kept)))
    return tuple(out)


def parts_of(
    merged: Taxonomy, codes: Mapping[str, NDArray[np.int16]], datasets: Mapping[str, str]
) -> tuple[Taxonomy, ...]:
    """Return the taxonomies of the single data sets of a merged one; none of a single one."""
    names = list(dict.fromkeys(datasets[s] for s in merged.sections))
    if len(names) < 2:
        return ()
    return tuple(
        part
        for name in names
        for part in taxonomies(
            {s: codes[s] for s in merged.sections if datasets[s] == name}, datasets
        )
    )


def _counts_per_dataset(
    codes: Mapping[str, NDArray[np.int16]], datasets: Mapping[str, str]
) -> dict[str, NDArray[np.int64]]:
    """Cells per code, per data set that has any label."""
    size = max((int(c.max(initial=-1)) for c in codes.values()), default=-1) + 1
    out: dict[str, NDArray[np.int64]] = {}
    for section, c in codes.items():
        count = np.bincount(c[c >= 0], minlength=size)
        if count.any():
            dataset = datasets[section]
            out[dataset] = out.get(dataset, np.zeros(size, np.int64)) + count
    return out


def _alike(a: NDArray[np.int64], b: NDArray[np.int64]) -> bool:
    """Whether two data sets use mostly the same names."""
    names_a, names_b = a > 0, b > 0
    smaller = min(names_a.sum(), names_b.sum())
    return bool((names_a & names_b).sum() >= SHARED_NAMES * smaller)


def purity(near: csr_matrix, classes: NDArray[np.int64]) -> float:
    """How much more often neighbours share a class than cells drawn at random, 0..1."""
    share = np.bincount(classes) / max(len(classes), 1)
    chance = float((share**2).sum())
    edges = near.tocoo()
    same = float(near.data @ (classes[edges.row] == classes[edges.col])) / max(near.shape[0], 1)
    return (same - chance) / max(1 - chance, 1e-9)


def near_folds(
    datasets: Sequence[str], section_of: NDArray[np.int64], xy: NDArray[np.float32]
) -> tuple[NDArray[np.int64], str]:
    """Return folds that leave every data set in the training part, and what they hold out.

    Parameters
    ----------
    datasets : sequence of str
        Data set of each section.
    section_of : (n,) int64
        Place of each cell's section in ``datasets``.
    xy : (n, 2) float32

    Notes
    -----
    Whole sections of data sets with two or more; square blocks of the others, since neighbours of
    a training cell would flatter any classifier that sees the niche.
    """
    out = np.zeros(len(section_of), dtype=np.int64)
    seen: dict[str, int] = {}
    ways = set()
    for s, dataset in enumerate(datasets):
        rows = np.flatnonzero(section_of == s)
        if list(datasets).count(dataset) > 1:
            seen[dataset] = seen.get(dataset, -1) + 1
            out[rows] = seen[dataset] % min(FOLDS, list(datasets).count(dataset))
            ways.add("held-out sections")
        else:
            out[rows] = _blocks(xy[rows])
            ways.add("held-out blocks of a section")
    return out, " and ".join(sorted(ways, reverse=True))


def far_folds(
    datasets: Sequence[str], section_of: NDArray[np.int64]
) -> tuple[NDArray[np.int64], str] | None:
    """Return folds that hold out whole data sets, or None where there is only one."""
    names = list(dict.fromkeys(datasets))
    if len(names) < 2:
        return None
    fold = np.array([names.index(d) % FOLDS for d in datasets], dtype=np.int64)
    return fold[section_of], "held-out data sets"


def _blocks(xy: NDArray[np.float32]) -> NDArray[np.int64]:
    """Fold of cells by square blocks of their section."""
    if not len(xy):
        return np.zeros(0, np.int64)
    low, high = xy.min(axis=0), xy.max(axis=0)
    place = ((xy - low) / np.where(high > low, high - low, 1) * BLOCKS).astype(np.int64)
    place = place.clip(0, BLOCKS - 1)
    return np.asarray((place[:, 0] + 2 * place[:, 1]) % FOLDS, dtype=np.int64)
