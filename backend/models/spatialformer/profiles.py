"""Expression as a few whitened components that sections share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionData
from backend.core.errors import NoSharedGenes
from backend.models.common.prep import (
    Prepared,
    gene_index,
    mean_level,
    prepare,
    prepare_like,
    second_moment,
    weighted_product,
)

#: Components, and the bounds of a standardised gene and of a whitened component.
COMPONENTS, MOST_GENE, MOST_COMPONENT = 30, 6.0, 5.0
#: Genes of a panel that are used, at most; the most variable ones.
MOST_GENES = 1000
#: A component with less than this share of the largest variance is left out.
LEAST_VARIANCE = 1e-4
#: Cells below which a query is standardised by the training cells and not by itself.
OWN_STATISTICS = 200


@dataclass(frozen=True, slots=True)
class Profiles:
    """How expression becomes whitened components.

    genes : tuple of p str
    mean, sd, level : (p,) float64
        Over the training cells: of log-normalised values, and the mean before the logarithm.
    axes : (p, d) float64
        Eigenvectors over the root of their eigenvalues.
    """

    genes: tuple[str, ...]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    level: NDArray[np.float64]
    axes: NDArray[np.float64]

    @property
    def d(self) -> int:
        """Number of components."""
        return int(self.axes.shape[1])


def shared_genes(sections: Sequence[SectionData]) -> tuple[str, ...]:
    """Return the genes that all sections measure, as the first spells them.

    Raises
    ------
    NoSharedGenes
    """
    others = [{g.upper() for g in s.genes} for s in sections[1:]]
    shared = tuple(g for g in sections[0].genes if all(g.upper() in o for o in others))
    if not shared:
        titles = ", ".join(s.title for s in sections[:4])
        raise NoSharedGenes(f"{titles} share no gene.", "Use gene symbols of one species.")
    return shared


def fit_profiles(
    sections: Sequence[SectionData], count: int = COMPONENTS
) -> tuple[Profiles, list[NDArray[np.float64]]]:
    """Return how to describe cells, and the components (n, d) of each section.

    Parameters
    ----------
    sections : sequence of SectionData
        Genes that one of them lacks are left out.
    count : int
        Components, at most; fewer where the panel is small.

    Raises
    ------
    NoSharedGenes

    Notes
    -----
    Genes are standardised within each section, so that no difference between sections becomes a
    component.
    """
    genes = shared_genes(sections)
    prepared = [_clipped(prepare(s, gene_index(genes))) for s in sections]
    kept = _kept(prepared, len(genes))
    prepared = [p.columns(np.flatnonzero(np.isin(p.genes, kept))) for p in prepared]
    n = np.array([p.n_cells for p in prepared], dtype=np.float64)
    moment = sum(
        w * second_moment(p.x, p.mean, p.sd) for w, p in zip(n / n.sum(), prepared, strict=True)
    )
    axes = _axes(np.asarray(moment), count)
    profiles = Profiles(
        tuple(genes[i] for i in kept),
        np.average([p.mean for p in prepared], axis=0, weights=n),
        np.average([p.sd for p in prepared], axis=0, weights=n),
        np.average([mean_level(p) for p in prepared], axis=0, weights=n),
        axes,
    )
    return profiles, [_components(p, axes) for p in prepared]


def describe(section: SectionData, profiles: Profiles) -> NDArray[np.float64]:
    """Return the components (n, d) of the cells of a section that was not trained on.

    Genes are standardised by the section itself, by the training cells where it is small; a gene
    that it lacks counts as average.

    Raises
    ------
    NoSharedGenes
    """
    shared_genes([section, replace(section, genes=profiles.genes)])
    index = gene_index(profiles.genes)
    if section.n_cells >= OWN_STATISTICS:
        own = _clipped(prepare(section, index))
    else:
        every = np.arange(len(profiles.genes))
        about = (profiles.mean, profiles.sd, profiles.level)
        own = _clipped(prepare_like(section, index, every, *about))
    return _components(own, profiles.axes[own.genes])


def _clipped(prepared: Prepared) -> Prepared:
    """Return the same with every value at most ``MOST_GENE`` standard deviations high."""
    x = prepared.x.copy()
    most = (prepared.mean + MOST_GENE * prepared.sd).astype(np.float32)
    x.data = np.minimum(x.data, most[x.indices])
    return replace(prepared, x=x)


def _kept(prepared: Sequence[Prepared], p: int) -> NDArray[np.int64]:
    """Return the genes that every section measures with spread, the most variable ones."""
    variance = np.zeros(p)
    seen = np.zeros(p, np.int64)
    for own in prepared:
        variance[own.genes] += own.sd**2
        seen[own.genes] += 1
    able = np.flatnonzero(seen == len(prepared))
    if not len(able):
        raise NoSharedGenes("No gene varies in every section.", "Check that counts are not empty.")
    return np.sort(able[np.argsort(-variance[able], kind="stable")][:MOST_GENES])


def _axes(moment: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return whitening axes (p, d), each with its largest entry positive."""
    values, vectors = np.linalg.eigh(moment)
    order = np.argsort(-values)[:count]
    order = order[values[order] > LEAST_VARIANCE * values.max()]
    axes = vectors[:, order] / np.sqrt(values[order])
    sign = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return np.asarray(axes * sign)


def _components(prepared: Prepared, axes: NDArray[np.float64]) -> NDArray[np.float64]:
    h = weighted_product(prepared.x, prepared.mean, prepared.sd, axes)
    return np.clip(h, -MOST_COMPONENT, MOST_COMPONENT)
