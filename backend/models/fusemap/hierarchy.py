"""Levels of labels: which label refines which, and choices that agree from level to level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.core.layers import Category

#: A label refines another when this share of its classes have their parent in it.
SHARED_PARENTS = 0.5


def parent_labels(categories: Mapping[str, Sequence[Category]]) -> dict[str, str | None]:
    """Return the label that each label refines, coarse labels first.

    Parameters
    ----------
    categories : label to its classes, whose ``parent`` is the name of a class of a coarser label
    """
    parents = {label: _parent_of(label, categories) for label in categories}
    depth = {label: _depth(label, parents) for label in categories}
    return {label: parents[label] for label in sorted(categories, key=lambda x: depth[x])}


def _parent_of(label: str, categories: Mapping[str, Sequence[Category]]) -> str | None:
    """Return the label that holds most parents of the classes of ``label``."""
    named = [c.parent for c in categories[label] if c.parent]
    best, most = None, SHARED_PARENTS * len(categories[label])
    for other, classes in categories.items():
        names = {c.name for c in classes}
        found = sum(name in names for name in named)
        if other != label and found >= most and found > 0:
            best, most = other, found + 0.5
    return best


def _depth(label: str, parents: Mapping[str, str | None]) -> int:
    """Levels above a label; a circle of labels ends at the number of labels."""
    depth, at = 0, parents[label]
    while at is not None and depth < len(parents):
        depth, at = depth + 1, parents[at]
    return depth


def under_parents(
    probability: NDArray[np.float64], parents: Sequence[str | None], assigned: Sequence[str | None]
) -> NDArray[np.float64]:
    """Return probabilities (n, c) given the class assigned one level up.

    Parameters
    ----------
    probability : (n, c) float64
    parents : (c,) name of the parent of every class
    assigned : (n,) name of the class one level up, None where unassigned

    Notes
    -----
    Cells without a parent class, and parents without a class here, keep their probabilities.
    """
    out = probability.copy()
    names = np.array([p or "" for p in parents], dtype=object)
    above = np.array([a or "" for a in assigned], dtype=object)
    for name in set(above.tolist()) - {""}:
        own = names == name
        if own.any():
            rows = above == name
            kept = np.where(own, probability[rows], 0.0)
            total = kept.sum(axis=1, keepdims=True)
            out[rows] = np.where(total > 1e-12, kept / np.maximum(total, 1e-12), probability[rows])
    return out


def grouped(
    probability: NDArray[np.float64], parents: Sequence[str | None]
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return the probability of every parent, the sum over its classes (n, p), and their names."""
    names = tuple(sorted({p for p in parents if p}))
    out = np.zeros((len(probability), len(names)))
    for j, name in enumerate(names):
        own = [i for i, p in enumerate(parents) if p == name]
        out[:, j] = probability[:, own].sum(axis=1)
    return out, names
