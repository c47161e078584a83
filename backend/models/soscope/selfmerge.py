"""What the section itself says of the gain: merge its spots, recover them, compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.models.soscope.interpolate import copied, interpolated, rescaled
from backend.models.soscope.lattice import fit_lattice
from backend.models.soscope.layouts import Layout, joined, merged

#: Merged spots needed for a verdict.
LEAST_BLOCKS = 8
#: Tilings that are tried.
ORIGINS = 4
#: Genes compared, the most abundant ones.
GENES = 500

#: (layout, totals of the spots, image features of the subspots) to the split of the model.
Split = Callable[
    [Layout, csr_matrix, NDArray[np.float32] | None],
    tuple[NDArray[np.float64], NDArray[np.float64]],
]


@dataclass(frozen=True, slots=True)
class SelfMerge:
    """Deviances of spots recovered from merged ones, summed over tilings and genes.

    Parameters
    ----------
    model, linear, copy : float
    by_gene : (g,) float64
        Change of the deviance by the model against rescaled linear interpolation, as a share;
        below zero is better.
    spread : (g,) float64
        Root mean square of (truth - model) / predicted sd, on the root scale.
    blocks : int
        Merged spots over all tilings.
    """

    model: float
    linear: float
    copy: float
    by_gene: NDArray[np.float64]
    spread: NDArray[np.float64]
    blocks: int

    @property
    def change(self) -> float:
        """Change of the deviance by the model against rescaled linear interpolation, a share."""
        return self.model / self.linear - 1 if self.linear > 0 else 0.0

    @property
    def choice(self) -> str:
        """Which of model, bilinear and copy recovers best."""
        found = {"model": self.model, "bilinear": self.linear, "copy": self.copy}
        return min(found, key=lambda name: found[name])


def self_merge(
    layout: Layout,
    totals: csr_matrix,
    features: NDArray[np.float32] | None,
    split: Split,
) -> SelfMerge | None:
    """Return how spots are recovered from merged ones; None where too few can be merged.

    Parameters
    ----------
    layout : Layout
        Spots of sections on lattices.
    totals : (N, g) csr_matrix
        Counts.
    features : (n, p) float32 or None
        Image features of the subspots.
    split : callable
        The model, which returns counts per subspot and their sd on the root scale, both (n, g).
    """
    of_spots = None if features is None else np.asarray(layout.means() @ features, np.float32)
    sums: list[NDArray[np.float64]] = []
    squares: list[NDArray[np.float64]] = []
    blocks = 0
    for origin in range(ORIGINS):
        upper, spots = _merged_all(layout, origin)
        if upper is None or upper.n_spots < LEAST_BLOCKS:
            continue
        truth = totals[spots]
        above = csr_matrix(upper.sums() @ truth)
        image = None if of_spots is None else of_spots[spots]
        made, sd = split(upper, above, image)
        dense = np.asarray(truth.todense(), np.float64)
        linear = rescaled(upper, interpolated(upper, above), above)
        tables = (made, linear, copied(upper, above))
        sums.append(np.stack([deviance(dense, table) for table in tables]))
        squares.append(_standardised(dense, made, sd))
        blocks += upper.n_spots
    if not sums:
        return None
    total = np.sum(sums, axis=0)
    change = total[0] / np.maximum(total[1], 1e-12) - 1
    model, linear_sum, copy = (float(v) for v in total.sum(axis=1))
    spread = np.sqrt(np.mean(squares, axis=0))
    return SelfMerge(model, linear_sum, copy, np.where(total[1] > 0, change, 0.0), spread, blocks)


def deviance(truth: NDArray[np.float64], made: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Poisson deviance of each gene, (g,)."""
    held = np.maximum(made, 1e-9)
    ratio = np.where(truth > 0, truth, 1.0) / np.where(truth > 0, held, 1.0)
    return np.asarray(2 * (truth * np.log(ratio) - (truth - held)).sum(axis=0))


def _standardised(
    truth: NDArray[np.float64], made: NDArray[np.float64], sd: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return mean squares of errors of roots over what is expected: sd, and counting noise."""
    counting = 0.25  # variance of the root of a Poisson count
    error = np.sqrt(truth + 0.375) - np.sqrt(made + 0.375)
    return np.asarray((error**2 / (sd**2 + counting)).mean(axis=0))


def _merged_all(layout: Layout, origin: int) -> tuple[Layout | None, NDArray[np.int64]]:
    """Return all sections with their spots merged, and the spots that are in merged ones."""
    layouts, spots = [], []
    for s in range(len(layout.bases)):
        own = np.flatnonzero(layout.section == s)
        if len(own) < LEAST_BLOCKS:
            continue
        lattice = fit_lattice(layout.spots[own], layout.shapes[s])
        one, kept = merged(layout.spots[own], 2, origin, lattice)
        if one.n_spots:
            layouts.append(one)
            spots.append(own[kept])
    if not layouts:
        return None, np.empty(0, np.int64)
    return joined(layouts), np.concatenate(spots)
