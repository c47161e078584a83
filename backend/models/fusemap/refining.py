"""What moves cells after the posterior, learnt on the sections that a space was fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from backend.core.job import RunContext
from backend.models.common.factors import balance_weights
from backend.models.fusemap.mixture import fit_mixture
from backend.models.fusemap.references import Reference
from backend.models.fusemap.refine import STEPS, RefineSection, train_refiner
from backend.models.fusemap.space import Space, map_cells


def with_refiner(
    space: Space, references: Sequence[Reference], ctx: RunContext, steps: int = STEPS
) -> Space:
    """Return ``space`` with a refinement trained on masked genes of ``references``.

    Raises
    ------
    Diverged, OutOfMemory
    """
    sections = refine_sections(space, references)
    return replace(space, refiner=train_refiner(sections, ctx, steps))


def with_mixture(space: Space, references: Sequence[Reference], pull: float, seed: int) -> Space:
    """Return ``space`` with cells drawn towards the classes that those of ``references`` form."""
    cells: dict[str, list[NDArray[np.float64]]] = {}
    for r in references:
        z = map_cells(space, r.prepared, r.graph, space.noise[r.id]).z
        cells.setdefault(r.dataset, []).append(z)
    parts = [np.concatenate(own) for own in cells.values()]
    return replace(space, mixture=fit_mixture(parts, pull, seed))


def refine_sections(space: Space, references: Sequence[Reference]) -> list[RefineSection]:
    """Return what training sees of the sections, every data set with the same weight."""
    weights = balance_weights(
        [r.prepared.n_cells for r in references], [r.dataset for r in references]
    )
    return [
        _section(space, r, _measured_elsewhere(r, references), float(w))
        for r, w in zip(references, weights, strict=True)
    ]


def _section(space: Space, r: Reference, bridge: NDArray[np.bool_], weight: float) -> RefineSection:
    """One section: the genes that the fit saw and that the space knows."""
    known = r.core[space.known[r.seen]]
    genes, noise = r.prepared.genes[known], space.noise[r.id][..., known]

    def reader(kept: NDArray[np.int64]) -> tuple[NDArray[np.float64], float]:
        return space.reader(genes[kept], noise[..., kept])

    part = r.prepared.columns(known)
    return RefineSection(part, r.graph, space.embedding[genes], reader, bridge[known], weight)


def _measured_elsewhere(r: Reference, references: Sequence[Reference]) -> NDArray[np.bool_]:
    """Which genes of a section another data set measures too."""
    others = [o.prepared.genes for o in references if o.dataset != r.dataset]
    return np.isin(r.prepared.genes, np.concatenate(others) if others else [])
