"""What the section itself says of the gain: merge its spots, recover them, compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.models.soscope.baselines import all_methods
from backend.models.soscope.compare import HONEST, method_table, spatial_genes, summarised
from backend.models.soscope.lattice import fit_lattice
from backend.models.soscope.layouts import Layout, joined, merged

#: Share of a block's spots that must be there: sections have ragged edges.
LEAST_SHARE = 0.5
#: Merged spots needed for a verdict.
LEAST_BLOCKS = 8
#: Merged spots up to which all methods run on all tilings; above, on the first only.
FEW_BLOCKS = 150
#: Tilings that are tried.
ORIGINS = 4
#: What the model is called in the table of methods.
MODEL = "this model"
#: Merged spots that are enough: no further tiling is tried.
MOST_BLOCKS = 4000
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
    methods : list of dict
        Every method on the most spatial of these genes; see ``compare.summarised``.
    """

    model: float
    linear: float
    copy: float
    by_gene: NDArray[np.float64]
    spread: NDArray[np.float64]
    blocks: int
    methods: list[dict[str, Any]]

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
    seed: int = 0,
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
    seed : int
        Of the competitors.
    """
    of_spots = None if features is None else np.asarray(layout.means() @ features, np.float32)
    sums: list[NDArray[np.float64]] = []
    squares: list[NDArray[np.float64]] = []
    tables: list[dict[str, dict[str, NDArray[np.float64]]]] = []
    blocks = 0
    for origin in range(ORIGINS):
        if blocks >= MOST_BLOCKS:
            break
        upper, spots = merged_all(layout, origin)
        if upper is None or upper.n_spots < LEAST_BLOCKS:
            continue
        truth = np.asarray(totals[spots].todense(), np.float64)
        above = csr_matrix(upper.sums() @ totals[spots])
        image = None if of_spots is None else of_spots[spots]
        found, sd = split(upper, above, image)
        with_slow = not tables or upper.n_spots <= FEW_BLOCKS
        made = all_methods(upper, above, image, seed, {MODEL: found}, with_slow=with_slow)
        whole = method_table(upper, truth, {n: made[n] for n in (MODEL, HONEST, "copy")})
        sums.append(np.stack([table["deviance"] for table in whole.values()]))
        squares.append(_standardised(truth, found, sd))
        if with_slow:
            tables.append(method_table(upper, truth, made, spatial_genes(upper, truth)))
        blocks += upper.n_spots
    if not sums:
        return None
    total = np.sum(sums, axis=0)
    change = np.where(total[1] > 0, total[0] / np.maximum(total[1], 1e-12) - 1, 0.0)
    model, linear, copy = (float(v) for v in total.sum(axis=1))
    spread = np.sqrt(np.mean(squares, axis=0))
    return SelfMerge(model, linear, copy, change, spread, blocks, summarised(tables))


def _standardised(
    truth: NDArray[np.float64], made: NDArray[np.float64], sd: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return mean squares of errors of roots over what is expected: sd, and counting noise."""
    counting = 0.25  # variance of the root of a Poisson count
    error = np.sqrt(truth + 0.375) - np.sqrt(made + 0.375)
    return np.asarray((error**2 / (sd**2 + counting)).mean(axis=0))


def merged_all(layout: Layout, origin: int) -> tuple[Layout | None, NDArray[np.int64]]:
    """Return all sections with their spots merged, and the spots that are in merged ones."""
    layouts, spots = [], []
    for s in range(len(layout.bases)):
        own = np.flatnonzero(layout.section == s)
        if len(own) < LEAST_BLOCKS:
            continue
        lattice = fit_lattice(layout.spots[own], layout.shapes[s])
        one, kept = merged(layout.spots[own], 2, origin, lattice, LEAST_SHARE)
        if one.n_spots:
            layouts.append(one)
            spots.append(own[kept])
    if not layouts:
        return None, np.empty(0, np.int64)
    return joined(layouts), np.concatenate(spots)
