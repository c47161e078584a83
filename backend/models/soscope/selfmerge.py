"""What the section itself says of the gain: merge its spots, recover them, compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.models.soscope.baselines import MOST_SPOTS, all_methods, plain
from backend.models.soscope.blocks import gene_blocks
from backend.models.soscope.compare import (
    HONEST,
    SPATIAL,
    deviances,
    method_table,
    moran,
    summarised,
)
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

#: Counts of some genes by the model, and their sd on the root scale, both (n, genes).
Made = tuple[NDArray[np.float64], NDArray[np.float64]]
#: (layout, totals of the spots, image features of the subspots) to the model, gene by gene.
Recover = Callable[
    [Layout, csr_matrix, NDArray[np.float32] | None], Callable[[NDArray[np.int64]], Made]
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
    by_spot : (N,) float64
        The same by spot; nan where a spot was in no block.
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
    by_spot: NDArray[np.float64]
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


@dataclass(slots=True)
class _Tally:
    """What is summed over tilings: deviances by gene and by spot, errors, merged spots, tables."""

    by_gene: NDArray[np.float64]  # model, linear, copy
    by_spot: NDArray[np.float64]  # model, linear
    squares: NDArray[np.float64]
    blocks: int = 0
    tilings: int = 0
    tables: list[dict[str, dict[str, NDArray[np.float64]]]] = field(default_factory=list)


def self_merge(
    layout: Layout,
    totals: csr_matrix,
    features: NDArray[np.float32] | None,
    recover: Recover,
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
    recover : callable
        The model; it is fitted once for all genes, and asked for some at a time.
    seed : int
        Of the competitors.
    """
    of_spots = None if features is None else np.asarray(layout.means() @ features, np.float32)
    n, g = totals.shape
    tally = _Tally(np.zeros((3, g)), np.zeros((2, n)), np.zeros(g))
    for origin in range(ORIGINS):
        if tally.blocks >= MOST_BLOCKS:
            break
        upper, spots = merged_all(layout, origin)
        if upper is None or upper.n_spots < LEAST_BLOCKS:
            continue
        image = None if of_spots is None else of_spots[spots]
        below = csr_matrix(totals[spots])
        made = recover(upper, csr_matrix(upper.sums() @ below), image)
        spatial = _add(tally, upper, below, spots, made)
        if not tally.tables or upper.n_spots <= FEW_BLOCKS:
            tally.tables.append(_table(upper, below, image, made, spatial, seed))
        tally.tilings += 1
        tally.blocks += upper.n_spots
    return _verdict(tally) if tally.tilings else None


def _add(
    tally: _Tally,
    upper: Layout,
    below: csr_matrix,
    spots: NDArray[np.int64],
    made: Callable[[NDArray[np.int64]], Made],
) -> NDArray[np.int64]:
    """Add one tiling to the sums, some genes at a time; return the most spatial genes."""
    columns = below.tocsc()
    likeness = np.zeros(below.shape[1])
    for part in gene_blocks(upper.n_subspots, below.shape[1]):
        genes = np.arange(part.start, part.stop)
        own = csr_matrix(columns[:, part])
        truth = np.asarray(own.todense(), np.float64)
        known = plain(upper, csr_matrix(upper.sums() @ own))
        model, sd = made(genes)
        errors = [deviances(truth, v) for v in (model, known[HONEST], known["copy"])]
        tally.by_gene[:, part] += np.stack([e.sum(axis=0) for e in errors])
        tally.by_spot[:, spots] += np.stack([e.sum(axis=1) for e in errors[:2]])
        tally.squares[part] += _standardised(truth, model, sd)
        likeness[part] = moran(upper, truth)
    return np.argsort(-likeness, kind="stable")[:SPATIAL]


def _table(
    upper: Layout,
    below: csr_matrix,
    image: NDArray[np.float32] | None,
    made: Callable[[NDArray[np.int64]], Made],
    spatial: NDArray[np.int64],
    seed: int,
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return every method on the most spatial genes; slow ones are fitted to all genes."""
    is_small = upper.n_spots <= MOST_SPOTS
    genes = np.arange(below.shape[1]) if is_small else spatial
    own = csr_matrix(below[:, genes])
    above = csr_matrix(upper.sums() @ own)
    methods = all_methods(upper, above, image, seed, {MODEL: made(genes)[0]}, with_slow=is_small)
    shown = spatial if is_small else slice(None)
    return method_table(upper, np.asarray(own.todense(), np.float64), methods, shown)


def _verdict(tally: _Tally) -> SelfMerge:
    model, linear, copy = (float(v) for v in tally.by_gene.sum(axis=1))
    change = np.where(
        tally.by_gene[1] > 0, tally.by_gene[0] / np.maximum(tally.by_gene[1], 1e-12) - 1, 0.0
    )
    was_in = tally.by_spot[1] > 0
    by_spot = np.where(was_in, tally.by_spot[0] / np.where(was_in, tally.by_spot[1], 1) - 1, np.nan)
    spread = np.sqrt(tally.squares / tally.tilings)
    methods = summarised(tally.tables)
    return SelfMerge(model, linear, copy, change, by_spot, spread, tally.blocks, methods)


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
