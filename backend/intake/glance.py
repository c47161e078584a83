"""A glance at an upload for its card: a sample of positions, and how many genes a cell has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from backend.intake.fields import Matrix, index_of, length_of, matrix_at
from backend.intake.mapping import COUNTS
from backend.intake.places import find_coordinates

#: Positions in a glance, and bins of its histogram.
MOST, BINS = 20_000, 30
_ROWS = 2_000


def glance(path: Path) -> dict[str, Any]:
    """Return positions of at most 20,000 cells and the histogram of genes per cell.

    ``xy`` is empty where the file has no coordinates. Cells are drawn evenly, in their order.
    """
    with h5py.File(path, "r") as file:
        n_cells = length_of(index_of(file["obs"]))
        found = find_coordinates(file, n_cells)
        matrix = next((m for f in COUNTS if (m := matrix_at(file, f)) is not None), None)
        genes = _genes_per_cell(matrix, n_cells) if matrix else np.zeros(0, dtype=np.int64)
    xy = found[0][:: -(-n_cells // MOST), :2] if found and n_cells else np.zeros((0, 2))
    xy = xy[np.isfinite(xy).all(axis=1)]
    counts, edges = np.histogram(genes, bins=BINS) if len(genes) else (genes, genes)
    return {
        "n_cells": n_cells,
        "xy": np.round(xy, 3).tolist(),
        "genes_per_cell": {
            "edges": [float(e) for e in edges],
            "counts": [int(c) for c in counts],
            "median": float(np.median(genes)) if len(genes) else None,
        },
    }


def _genes_per_cell(matrix: Matrix, n_cells: int) -> NDArray[np.int64]:
    """Return how many values are stored (or are not zero) per cell; of a sample where dense."""
    if matrix.kind == "csr":
        return np.asarray(np.diff(matrix.node["indptr"][:].astype(np.int64)))
    if matrix.kind == "csc":
        total = np.zeros(n_cells, dtype=np.int64)
        indices = matrix.node["indices"]
        for start in range(0, len(indices), 2_000_000):
            total += np.bincount(indices[start : start + 2_000_000], minlength=n_cells)[:n_cells]
        return total
    return np.asarray(np.count_nonzero(matrix.node[: min(_ROWS, n_cells)], axis=1))
