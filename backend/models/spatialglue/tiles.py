"""Batches of tiles for training: all spots of a small section, or tiles with their surroundings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

#: Spots of one tile, and tiles of one step; a section up to their product is one batch.
TILE, TILES = 512, 10


@dataclass(frozen=True, slots=True)
class Batch:
    """Some spots and their surroundings.

    axes, smooth, like : M tensors (b, a_m);  present : (b, M) bool
    graph : sparse (b, b), the symmetric spatial graph among them
    core : (b,) bool, spots whose neighbours of neighbours are all in the batch
    """

    axes: list[Tensor]
    smooth: list[Tensor]
    like: list[Tensor]
    present: Tensor
    graph: Tensor
    core: Tensor


def batches(
    axes: Sequence[NDArray[np.float32]],
    smooth: Sequence[NDArray[np.float32]],
    like: Sequence[NDArray[np.float32]],
    present: NDArray[np.bool_],
    graph: csr_matrix,
    xy: NDArray[np.floating],
    seed: int,
) -> Iterator[Batch]:
    """Yield batches without end: always the same one where the section is small.

    Tiles are drawn anew for every batch, without replacement.
    """

    def made(core: NDArray[np.int64], rows: NDArray[np.int64], part: csr_matrix) -> Batch:
        is_core = np.zeros(len(xy), np.bool_)
        is_core[core] = True

        def taken(group: Sequence[NDArray[np.float32]]) -> list[Tensor]:
            return [torch.from_numpy(x[rows]) for x in group]

        return Batch(
            taken(axes),
            taken(smooth),
            taken(like),
            torch.from_numpy(present[rows]),
            csr_tensor(part),
            torch.from_numpy(is_core[rows]),
        )

    everything = np.arange(len(xy))
    if len(xy) <= TILE * TILES:
        whole = made(everything, everything, graph)
        while True:
            yield whole
    tiles = tile_rows(xy)
    rng = np.random.default_rng(seed)
    while True:
        chosen = rng.choice(len(tiles), TILES, replace=False)
        core = np.sort(np.concatenate([tiles[t] for t in chosen]))
        rows = surroundings(graph, core, 2)
        yield made(core, rows, graph[rows][:, rows])


def csr_tensor(graph: csr_matrix) -> Tensor:
    """Return a graph as a torch tensor by rows, whose products are the fastest on a CPU."""
    first, columns = (torch.from_numpy(p.astype(np.int64)) for p in (graph.indptr, graph.indices))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls the layout a beta once per process
        values = torch.from_numpy(graph.data.astype(np.float32))
        return torch.sparse_csr_tensor(first, columns, values, graph.shape, check_invariants=True)


def surroundings(graph: csr_matrix, rows: NDArray[np.int64], steps: int) -> NDArray[np.int64]:
    """Return ``rows`` and all that can be reached from them in ``steps`` edges, ascending."""
    for _ in range(steps):
        rows = np.union1d(rows, graph[rows].indices)
    return rows


def tile_rows(xy: NDArray[np.floating], size: int = TILE) -> list[NDArray[np.int64]]:
    """Return the rows of compact tiles of about ``size`` spots, by halving the longer side."""
    waiting, tiles = [np.arange(len(xy))], []
    while waiting:
        rows = waiting.pop()
        if len(rows) <= size:
            tiles.append(rows)
            continue
        side = int(np.ptp(xy[rows], axis=0).argmax())
        middle = len(rows) // 2
        order = rows[np.argpartition(xy[rows, side], middle)]
        waiting += [order[:middle], order[middle:]]
    return tiles
