"""Sections made smaller, to try things out on: a sample of cells, and genes hidden from a data set.

A sample of a large section holds the drawn cells and their neighbours, so that niches are whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.models.common.graphs import row_normalised
from backend.models.common.prep import Prepared, gene_statistics
from backend.models.fusemap.inputs import Scale, on_scale
from backend.models.fusemap.references import Reference, with_graphs

#: Cells drawn from a section.
CELLS = 2_000


@dataclass(frozen=True, slots=True)
class Sample:
    """Cells of a section to try things out on.

    plain : on the log1p scale, with statistics of its own
    graph : row-normalised neighbours among them
    rows : (m,) places in the section;  drawn : (d,) places in the sample
    """

    id: str
    dataset: str
    plain: Prepared
    graph: csr_matrix
    rows: NDArray[np.int64]
    drawn: NDArray[np.int64]

    def standard(self, genes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return measured genes of the drawn cells on the log1p scale, standardised, (d, h)."""
        columns = np.searchsorted(self.plain.genes, genes)
        x = np.asarray(self.plain.x[self.drawn][:, columns].todense(), dtype=np.float64)
        return np.asarray((x - self.plain.mean[columns]) / self.plain.sd[columns])


def draw_samples(
    names: Sequence[tuple[str, str]],
    prepared: Sequence[Prepared],
    graphs: Sequence[csr_matrix],
    seed: int,
    cells: int = CELLS,
) -> list[Sample]:
    """Return a sample of every section; the seed decides which cells."""
    rng = np.random.default_rng(seed)
    return [
        _sample(*name, p, g, np.sort(rng.permutation(p.n_cells)[:cells]))
        for name, p, g in zip(names, prepared, graphs, strict=True)
    ]


def _sample(
    id_: str, dataset: str, prepared: Prepared, graph: csr_matrix, drawn: NDArray[np.int64]
) -> Sample:
    """Drawn cells with their neighbours; genes that have no spread among them are left out."""
    rows = np.union1d(drawn, graph[drawn].indices)
    x = csr_matrix(prepared.x[rows])
    mean, sd = gene_statistics(x)
    keep = np.flatnonzero(sd > 1e-6)
    plain = Prepared(csr_matrix(x[:, keep]), prepared.genes[keep], mean[keep], sd[keep])
    near = csr_matrix(graph[rows][:, rows])
    near.data[:] = 1.0
    return Sample(id_, dataset, plain, row_normalised(near), rows, np.searchsorted(rows, drawn))


def sample_references(
    samples: Sequence[Sample], scale: Scale, n_genes: int, device: str = "cpu"
) -> list[Reference]:
    """Return samples as the fits see them, on a scale."""
    names = [(s.id, s.dataset) for s in samples]
    prepared = [on_scale(s.plain, scale) for s in samples]
    return with_graphs(names, prepared, [s.graph for s in samples], n_genes, device)


def without(reference: Reference, hidden: NDArray[np.bool_]) -> Reference:
    """Return a section that has not measured some genes of the union, (g,) bool."""
    keep = np.flatnonzero(~hidden[reference.prepared.genes])
    place = np.full(len(reference.prepared.genes), -1, dtype=np.int64)
    place[keep] = np.arange(len(keep))
    core = place[reference.core]
    return Reference(
        reference.id,
        reference.dataset,
        reference.prepared.columns(keep),
        core[core >= 0],
        reference.moments.without(hidden[reference.fitted]),
        reference.fitted,
        reference.graph,
    )
