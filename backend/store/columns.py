"""Whole columns of an atlas: labels, numbers and embeddings of all cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.core.data import Provenance
from backend.core.layers import Category
from backend.store.flat import Rows


@dataclass(frozen=True, slots=True)
class LabelArray:
    """Codes of a label for all cells, (N,) int16, -1 where missing."""

    codes: Rows
    categories: tuple[Category, ...]
    title: str
    provenance: Provenance | None


@dataclass(frozen=True, slots=True)
class NumberArray:
    """One number per cell, (N,) float16, nan where missing; spans are (lo, hi) per section."""

    values: Rows
    title: str
    unit: str
    spans: Mapping[str, tuple[float, float]]
    provenance: Provenance | None


@dataclass(frozen=True, slots=True)
class Embedding:
    """Embedding of all cells: value = values * scale; (N, d) int8 and (d,) float32.

    ``sections`` are the ids of the sections that were embedded; the rows of others are zero.
    """

    values: Rows
    scale: NDArray[np.float32]
    sections: frozenset[str]
    checkpoint: str
    provenance: Provenance | None
