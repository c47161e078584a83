"""Which genes factors are fitted on, and the programs of all other genes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.data import SectionData
from backend.models.common.prep import union_of_genes
from backend.models.inspire.em import Floats, Settings, State, mean_profile, one_pass, update
from backend.models.inspire.inputs import Joined, join

#: Panels up to this size are used whole; of larger ones this many genes per section.
WHOLE_PANEL, PER_SECTION = 1_200, 500
#: Share of the cells in which a gene must be seen to be chosen.
SEEN = 0.01
#: Passes by which programs are carried to all genes.
PASSES = 8


def choose_genes(sections: Sequence[SectionData], most: int = PER_SECTION) -> tuple[str, ...]:
    """Return the genes to fit on: whole panels where small, else the most overdispersed, united.

    Overdispersion is variance of counts over what Poisson sampling of the gene's share of the
    depths would give, among genes seen in one cell of a hundred.
    """
    spelling = {g.upper(): g for g in reversed(union_of_genes(sections))}
    chosen: set[str] = set()
    for section in sections:
        names = [g.upper() for g in section.genes]
        if len(names) <= WHOLE_PANEL:
            chosen |= set(names)
            continue
        excess = _excess(section.counts)
        best = np.argsort(-excess, kind="stable")[:most]
        chosen |= {names[j] for j in best if excess[j] > 0}
    return tuple(spelling[g] for g in spelling if g in chosen)


def _excess(counts: csr_matrix) -> NDArray[np.float64]:
    """Return variance over that of sampling, minus one; -1 for genes that are hardly seen."""
    x = csr_matrix(counts, dtype=np.float64)
    n = x.shape[0]
    depth = np.asarray(x.sum(axis=1)).ravel()
    relative = depth / max(depth.mean(), 1e-9)
    mean = np.asarray(x.sum(axis=0)).ravel() / n
    square = np.asarray(x.multiply(x).sum(axis=0)).ravel() / n
    cross = np.asarray(x.T @ relative).ravel() / n
    # Mean squared residual around gene share times depth, without making residuals.
    residual = square - 2 * mean * cross + mean**2 * float((relative**2).mean())
    seen = np.bincount(x.indices, minlength=x.shape[1]) >= max(3, SEEN * n)
    return np.where(seen, residual / np.maximum(mean, 1e-9) - 1.0, -1.0)


def programs_of_all(
    sections: Sequence[SectionData], fitted: Joined, state: State, settings: Settings
) -> tuple[Joined, State]:
    """Return all genes of all sections with programs, the proportions as they are.

    Parameters
    ----------
    sections : sequence of SectionData
    fitted : Joined
        Genes that were fitted.
    state : State

    Returns
    -------
    Joined, State
        Over the union of all genes. The same as given where all genes were fitted.
    """
    everything = join(sections)
    if len(everything.genes) == len(fitted.genes):
        return fitted, state
    mean = mean_profile(everything)
    k = state.k
    programs = np.tile(mean, (k, 1))
    place = {g.upper(): i for i, g in enumerate(everything.genes)}
    known = np.array([place[g.upper()] for g in fitted.genes], dtype=np.int64)
    programs[:, known] = state.programs * mean[known].sum()
    shapes = np.full(len(everything.genes), float(np.median(state.shapes)))
    shapes[known] = state.shapes
    loadings = tuple(
        p * cells.depth[:, None]
        for p, cells in zip(state.proportions(), everything.sections, strict=True)
    )
    scales = np.ones((len(sections), len(everything.genes)))
    wide = State(loadings, programs, scales, shapes)
    own = replace(settings, overdispersed=False)
    for i in range(PASSES):
        plain = replace(wide, shapes=np.full_like(shapes, 1e6))
        passes = [one_pass(everything, plain, s) for s in range(len(sections))]
        new = update(everything, plain, passes, own, mean, 0.0, i > 1 and settings.with_scales)
        wide = replace(new, loadings=_depths(new.loadings, state), shapes=shapes)
    return everything, wide


def _depths(new: Sequence[Floats], state: State) -> tuple[Floats, ...]:
    """Return the proportions of ``state`` with the depths of ``new``."""
    return tuple(
        p * t.sum(axis=1, keepdims=True) for p, t in zip(state.proportions(), new, strict=True)
    )
