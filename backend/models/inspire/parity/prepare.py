"""Sections as the published procedure prepares them.

In this order: panels are intersected (small panels only); mitochondrial genes go; cells with few
genes go, then genes in few cells; every section offers its most variable genes, and those that all
offer are used, ascending. The encoder sees log1p of counts scaled over all genes that were left;
the likelihood sees raw counts, and a library size over the genes used alone.

Deviations
----------
- Gene symbols are matched without case.
- Nothing is drawn, no outer join is made, nothing is made dense.
- Cells without neighbours are refused unless ``Preparing.allow_isolated``; the authors keep them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from backend.core.data import SectionData
from backend.core.errors import BadFile, Fault, NoSharedGenes
from backend.models.common.variable import variable_genes
from backend.models.inspire.checks import LEAST_CELLS, LEAST_SHARED, refuse_faults
from backend.models.inspire.parity.graph import isolated, radius_graph, smallest_distance
from backend.models.inspire.parity.settings import Preparing

MITOCHONDRIAL = "MT-"


@dataclass(frozen=True, slots=True)
class Published:
    """A section as the network sees it.

    Parameters
    ----------
    x, counts : (m, g) csr_matrix of float32
        log1p of scaled counts, and raw counts, of the genes used.
    library : (m,) float32
        Sum of ``counts``.
    graph : (m, m) csr_matrix of float32
        Ones, self loops included.
    cells : (m,) int64
        Rows of the section that were kept, ascending.
    """

    x: csr_matrix
    counts: csr_matrix
    library: NDArray[np.float32]
    graph: csr_matrix
    cells: NDArray[np.int64]

    @property
    def n_cells(self) -> int:
        """Number of cells kept."""
        return len(self.cells)


@dataclass(frozen=True, slots=True)
class _Filtered:
    """Counts after quality control, with the genes and rows that are left."""

    counts: csr_matrix
    genes: NDArray[np.str_]
    cells: NDArray[np.int64]


def published(
    sections: Sequence[SectionData], how: Preparing
) -> tuple[list[Published], tuple[str, ...]]:
    """Return the sections prepared, and the genes used, upper case, ascending.

    Raises
    ------
    BadRequest, BadFile
        As ``checks.refuse_faults``; a section that filters leave too small; isolated cells.
    NoSharedGenes
        If too few variable genes are shared, with the number per pair.
    """
    refuse_faults(sections)
    panels = [np.array([g.upper() for g in s.genes]) for s in sections]
    shared = set.intersection(*[set(p.tolist()) for p in panels]) if how.shared_first else None
    filtered = [_filtered(s, p, shared, how) for s, p in zip(sections, panels, strict=True)]
    genes = _genes(sections, filtered, how)
    places = [s.xy[f.cells] for s, f in zip(sections, filtered, strict=True)]
    radius = how.radius or how.radius_factor * smallest_distance(places[0])
    graphs = [radius_graph(xy, radius) for xy in places]
    if not how.allow_isolated:
        for section, graph in zip(sections, graphs, strict=True):
            _refuse_isolated(section, isolated(graph), graph.shape[0], radius)
    made = [_made(f, g, genes, how) for f, g in zip(filtered, graphs, strict=True)]
    return made, tuple(genes.tolist())


def _filtered(
    section: SectionData, panel: NDArray[np.str_], shared: set[str] | None, how: Preparing
) -> _Filtered:
    names, first = np.unique(panel, return_index=True)
    keep = ~np.char.startswith(names, MITOCHONDRIAL)
    if shared is not None:
        keep &= np.isin(names, sorted(shared))
    names, first = names[keep], first[keep]
    counts = csr_matrix(section.counts[:, first], dtype=np.float32)
    counts.eliminate_zeros()
    cells = np.flatnonzero(np.diff(counts.indptr) >= how.least_genes)
    counts = csr_matrix(counts[cells])
    seen = np.bincount(counts.indices, minlength=counts.shape[1])
    genes = np.flatnonzero(seen >= max(how.least_cells, 1))
    if len(cells) < LEAST_CELLS or not len(genes):
        raise BadFile(section.title, [_emptied(len(cells), len(genes), how)])
    return _Filtered(csr_matrix(counts[:, genes]), names[genes], cells)


def _emptied(cells: int, genes: int, how: Preparing) -> Fault:
    return Fault(
        f"{cells:,} cells and {genes:,} genes are left of the filters ({how.least_genes} genes per "
        f"cell, {how.least_cells} cells per gene)",
        "X",
        f"at least {LEAST_CELLS} cells and a gene",
        "Lower least_genes and least_cells, or leave the section out.",
    )


def _genes(
    sections: Sequence[SectionData], filtered: Sequence[_Filtered], how: Preparing
) -> NDArray[np.str_]:
    """Genes that every section counts among its most variable ones, ascending."""
    offers = [set(_variable(f, how.variable).tolist()) for f in filtered]
    common = sorted(set.intersection(*offers))
    if len(common) < LEAST_SHARED:
        pairs = [
            f"{sections[i].title} and {sections[j].title} share {len(offers[i] & offers[j])}"
            for i, j in combinations(range(len(sections)), 2)
        ]
        raise NoSharedGenes(
            f"{len(common)} variable genes are in all sections; {LEAST_SHARED} are needed.",
            *pairs[:6],
            "Raise the number of variable genes, or use the default mode, which takes any panels.",
        )
    return np.array(common)


def _variable(section: _Filtered, count: int) -> NDArray[np.str_]:
    if count >= len(section.genes):
        return section.genes
    return section.genes[variable_genes(section.counts, count)]


def _refuse_isolated(section: SectionData, alone: int, n: int, radius: float) -> None:
    if alone:
        unit = section.xy_unit
        fault = Fault(
            f"{alone:,} of {n:,} cells have no neighbour within {radius:g} {unit}",
            "obsm['spatial']",
            "a neighbour of every cell",
            "Give a larger radius, or allow isolated cells.",
        )
        raise BadFile(section.title, [fault])


def _made(
    section: _Filtered, graph: csr_matrix, genes: NDArray[np.str_], how: Preparing
) -> Published:
    columns = np.searchsorted(section.genes, genes)
    counts = csr_matrix(section.counts[:, columns])
    library = np.asarray(counts.sum(axis=1), dtype=np.float32).ravel()
    scaled = csr_matrix(_scaled(section.counts, how.target)[:, columns])
    return Published(scaled, counts, library, graph, section.cells)


def _scaled(counts: csr_matrix, target: float) -> csr_matrix:
    """log1p of counts that sum to ``target`` in every cell; cells without counts stay empty."""
    total = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    scale = np.where(total > 0, target / np.where(total > 0, total, 1), 0)
    x = csr_matrix(diags(scale) @ counts, dtype=np.float32)
    x.data = np.log1p(x.data)
    return x
