"""Large sections in tiles that overlap, so that memory grows with the number of spots only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.models.soscope.layouts import Layout

#: Spots and subspots fitted at once.
MOST_SPOTS, MOST_SUBSPOTS = 3000, 16_000
#: Overlap in pitches: the length of the kernel.
OVERLAP = 6.0


@dataclass(frozen=True, slots=True)
class Tile:
    """Spots that are fitted together, ascending, and which of them are predicted."""

    spots: NDArray[np.int64]
    core: NDArray[np.bool_]


def tiles_of(
    layout: Layout, most_spots: int = MOST_SPOTS, most_subspots: int = MOST_SUBSPOTS
) -> tuple[Tile, ...]:
    """Return tiles whose cores are a partition of the spots; one tile where all fit in one.

    Notes
    -----
    A tile reaches one kernel length beyond its core on every side; tiles hold spots of one section.
    """
    most = max(min(most_spots, int(most_subspots / max(layout.counts.mean(), 1))), 64)
    if layout.n_spots <= most:
        everything = np.arange(layout.n_spots)
        return (Tile(everything, np.ones(layout.n_spots, bool)),)
    side = max(np.sqrt(most) - 2 * OVERLAP, np.sqrt(most) / 2)
    out: list[Tile] = []
    for s in range(len(layout.bases)):
        own = np.flatnonzero(layout.section == s)
        places = layout.spots / layout.pitches[s]
        for core in _cut(own, places, int(side**2)):
            out.append(_with_halo(core, own, places))
    return tuple(out)


def _cut(
    spots: NDArray[np.int64], places: NDArray[np.float64], most: int
) -> list[NDArray[np.int64]]:
    """Return spots cut in halves across their longer side until none has more than ``most``."""
    if len(spots) <= most:
        return [spots] if len(spots) else []
    here = places[spots]
    axis = int(np.argmax(np.ptp(here, axis=0)))
    order = np.argsort(here[:, axis], kind="stable")
    middle = len(spots) // 2
    return [
        *_cut(spots[order[:middle]], places, most),
        *_cut(spots[order[middle:]], places, most),
    ]


def _with_halo(
    core: NDArray[np.int64], own: NDArray[np.int64], places: NDArray[np.float64]
) -> Tile:
    low, high = places[core].min(axis=0) - OVERLAP, places[core].max(axis=0) + OVERLAP
    inside = ((places[own] >= low) & (places[own] <= high)).all(axis=1)
    spots = np.sort(own[inside])
    return Tile(spots, np.isin(spots, core))
