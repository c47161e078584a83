"""Weighted graphs of spots and subspots on a lattice, as the reference makes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Steps to the neighbours on the (row, column) lattice.
SQUARE = ((1, 0), (-1, 0), (0, 1), (0, -1))
HEXAGON = ((0, 2), (0, -2), (1, 1), (1, -1), (-1, 1), (-1, -1))
#: The pair at the median distance weighs one over this.
SHARPNESS = 5.0


@dataclass(frozen=True, slots=True)
class Graph:
    """Directed edges i, j and their weights, both ways, without self loops."""

    i: NDArray[np.int64]
    j: NDArray[np.int64]
    weight: NDArray[np.float64]

    def edges(self, n: int) -> Tensor:
        """Return edges (2, e + n) with a self loop per node, from source to target."""
        loop = np.arange(n)
        return torch.from_numpy(np.stack([np.r_[self.j, loop], np.r_[self.i, loop]]))

    def dense(self, n: int) -> Tensor:
        """Return (n, n) weights, 1 on the diagonal and 0 where no edge is."""
        full = torch.eye(n)
        full[torch.from_numpy(self.i), torch.from_numpy(self.j)] = torch.from_numpy(
            self.weight
        ).float()
        return full


def lattice_graph(
    places: NDArray[np.int64], features: NDArray[np.floating], steps: tuple[tuple[int, int], ...]
) -> Graph:
    """Return the graph of neighbours on a lattice, weighted by how alike they are.

    The weight is exp((m - d) / delta) with d the distance of their features, m the smallest of
    all, delta = (median - m) / ln 5: 1 for the closest pair, 1/5 for the median pair.

    Parameters
    ----------
    places : (n, 2) int
        Row and column.
    features : (n, d) float
    steps : SQUARE or HEXAGON

    Notes
    -----
    Where the median is the smallest distance, the reference divides by zero; here all such pairs
    weigh 1.
    """
    at = {(int(r), int(c)): n for n, (r, c) in enumerate(places)}
    pairs = [
        (n, at[(int(r) + dr, int(c) + dc)])
        for n, (r, c) in enumerate(places)
        for dr, dc in steps
        if (int(r) + dr, int(c) + dc) in at
    ]
    i, j = np.array(pairs, np.int64).reshape(-1, 2).T
    apart = np.linalg.norm(features[i].astype(float) - features[j], axis=1)
    return Graph(i, j, _weights(apart))


def _weights(apart: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights of pairs at some distances."""
    if not len(apart):
        return apart
    least = apart.min()
    delta = (np.median(apart) - least) / np.log(SHARPNESS)
    if delta <= 0:
        return (apart <= least).astype(float)
    return np.exp((least - apart) / delta)
