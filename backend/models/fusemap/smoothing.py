"""How far niches reach: chosen on held-out regions, or where there are none on hidden genes.

The niche of a cell is the mean of z, Nz, ..., N^R z for its row-normalised neighbours N. With
regions, R is the one by which square blocks of held-out cells are told apart best. Without, it is
the one by which a cell's neighbours, the cell itself left out, foretell its hidden bridge genes
best: they do as long as they are of the same place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, identity

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.models.common.graphs import delaunay_graph
from backend.models.common.logistic import class_weights, fit_logistic
from backend.models.fusemap.bridges import correlation, mean_by_unit
from backend.models.fusemap.choose import Choice
from backend.models.fusemap.fits import HiddenFits
from backend.models.fusemap.reader import Scale
from backend.models.fusemap.space import ROUNDS, map_cells, niche_mean
from backend.models.fusemap.taxonomy import PLACES_SHARE, near_folds, purity

#: What is tried, and what another than the usual must gain.
TRIED, LEAST_GAIN = (1, 2, 3, 4, 6), 0.003
#: Labelled cells of a section that are looked at, at most and at least.
MOST_CELLS, LEAST_CELLS = 3_000, 200


@dataclass(frozen=True, slots=True)
class Reach:
    """How many rounds of neighbours a niche has, on what that was chosen, and what was tried."""

    rounds: int = ROUNDS
    by: str = "nothing to choose it on"
    tried: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Places:
    """Cells of a section with a label of places: z (n, k), neighbours, xy, classes (n,)."""

    z: NDArray[np.float64]
    graph: csr_matrix
    xy: NDArray[np.float32]
    classes: NDArray[np.int64]


def places_of(
    sections: Sequence[SectionData],
    z: Sequence[NDArray[np.float64]],
    graphs: Sequence[csr_matrix],
    codes: Mapping[str, Mapping[str, NDArray[np.int16]]],
) -> list[Places]:
    """Return the labels of places of all sections; other labels are left out."""
    out = []
    for own in codes.values():
        for section, cells, graph in zip(sections, z, graphs, strict=True):
            classes = own.get(section.id)
            if classes is None or (classes >= 0).sum() < LEAST_CELLS:
                continue
            found = Places(cells, graph, section.xy, classes.astype(np.int64))
            if _is_of_places(found):
                out.append(found)
    return out


def reach_by_regions(places: Sequence[Places]) -> Reach:
    """Return the reach by which held-out blocks of cells are told apart best."""
    tried = {str(r): float(np.mean([_accuracy(p, r) for p in places])) for r in TRIED}
    return Reach(_best(tried), "accuracy of held-out regions", tried)


def reach_by_genes(fits: HiddenFits, choice: Choice, ctx: RunContext) -> Reach:
    """Return the reach by which neighbours foretell hidden genes best."""
    if fits.plan.is_empty:
        return Reach()
    space, seen = fits.space(choice.factors, 0, ctx), fits.seen(0)
    found: dict[int, list[tuple[int, NDArray[np.float64]]]] = {r: [] for r in TRIED}
    for s, (reference, sample) in enumerate(zip(seen, fits.samples, strict=True)):
        hidden = fits.plan.hidden(s, 0)[sample.plain.genes]
        genes = sample.plain.genes[hidden]
        genes = genes[space.known[genes]]
        if not len(genes):
            continue
        cells = map_cells(space, reference.prepared, reference.graph, space.noise[reference.id])
        truth = sample.standard(genes)
        for r, around in _neighbours_alone(reference.graph, sample.drawn).items():
            score = around @ cells.z @ space.embedding[genes].T
            found[r].append((int(fits.plan.unit[s]), correlation(score, truth)))
    tried = {str(r): mean_by_unit(values) for r, values in found.items() if values}
    return Reach(_best(tried), "hidden genes of a cell by its neighbours", tried)


def _best(tried: Mapping[str, float]) -> int:
    """Return the best reach; the usual one unless another gains enough."""
    if not tried:
        return ROUNDS
    best = max(tried, key=lambda r: tried[r])
    return int(best) if tried[best] > tried[str(ROUNDS)] + LEAST_GAIN else ROUNDS


def _is_of_places(p: Places) -> bool:
    rows = _some(p.classes)
    near = delaunay_graph(p.xy[rows])
    return purity(near, p.classes[rows]) >= PLACES_SHARE


def _some(classes: NDArray[np.int64]) -> NDArray[np.int64]:
    rows = np.flatnonzero(classes >= 0)
    return rows[:: max(1, -(-len(rows) // MOST_CELLS))]


def _accuracy(p: Places, rounds: int) -> float:
    """Share of cells of held-out blocks whose region is found from their niche."""
    rows = _some(p.classes)
    x = niche_mean(p.z, p.graph, rounds)[rows]
    x = Scale.of(x).apply(x)
    names, y = np.unique(p.classes[rows], return_inverse=True)
    fold, _ = near_folds([""], np.zeros(len(rows), np.int64), p.xy[rows])
    right, judged = 0, 0
    for f in np.unique(fold):
        out = fold == f
        if out.all():
            return float("nan")
        weights, intercept = fit_logistic(
            x[~out], y[~out], len(names), class_weights(y[~out], len(names))
        )
        right += int(((x[out] @ weights + intercept).argmax(axis=1) == y[out]).sum())
        judged += int(out.sum())
    return right / max(judged, 1)


def _neighbours_alone(graph: csr_matrix, rows: NDArray[np.int64]) -> dict[int, csr_matrix]:
    """Return what averages 1 to R rounds of neighbours of some cells, each without itself."""
    step = csr_matrix(identity(graph.shape[0], format="csr", dtype=np.float64)[rows])
    total = csr_matrix(step.shape)
    out = {}
    for r in range(1, max(TRIED) + 1):
        step = csr_matrix(step @ graph)
        total = csr_matrix(total + step)
        if r in TRIED:
            alone = total.tolil()
            alone[np.arange(len(rows)), rows] = 0
            out[r] = csr_matrix(alone)
    return out
