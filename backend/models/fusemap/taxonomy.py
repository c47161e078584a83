"""Taxonomies: which sections speak of the same classes, so that vocabularies do not fight.

A taxonomy is a data set's set of names for one label. Data sets whose names are mostly the same
share one; all others are kept apart, each with a classifier of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Data sets share a taxonomy when this share of the smaller set of names is in the larger.
SHARED_NAMES = 0.8
#: A class with fewer cells than this cannot be learnt or checked.
LEAST_CELLS_OF_A_CLASS = 5


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


def held_out_folds(
    sections: Sequence[str],
    section_of: NDArray[np.int64],
    xy: NDArray[np.float32],
    most: int = 4,
) -> tuple[NDArray[np.int64], str]:
    """Return the fold of every cell, and in words what is held out.

    Parameters
    ----------
    sections : sequence of str
        Labelled sections.
    section_of : (n,) int64
        Place of each cell's section in ``sections``.
    xy : (n, 2) float32
    most : int
        Folds at most.

    Notes
    -----
    Whole sections where there are two or more. Otherwise square blocks of the one section, since
    neighbours of a training cell would flatter any classifier that sees the niche.
    """
    if len(sections) > 1:
        size = np.bincount(section_of, minlength=len(sections))
        fold, load = np.zeros(len(sections), np.int64), np.zeros(min(most, len(sections)))
        for s in np.argsort(-size, kind="stable"):
            fold[s] = load.argmin()
            load[fold[s]] += size[s]
        return fold[section_of], "held-out sections"
    blocks = 4
    low, high = xy.min(axis=0), xy.max(axis=0)
    place = ((xy - low) / np.where(high > low, high - low, 1) * blocks).astype(np.int64)
    place = place.clip(0, blocks - 1)
    return (place[:, 0] + 2 * place[:, 1]) % most, "held-out blocks of the section"
