"""FuseMap as published on the tests of the default mode: hidden genes, and labels of real sections.

It is trained on all sections of a test together, the query among them, as its label transfer does;
no label of the query is seen. Cells that its filters drop get the mean of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.models.fusemap.parity.outputs import Fitted, impute
from backend.models.fusemap.parity.prepare import Measured
from backend.models.fusemap.parity.settings import Settings
from backend.models.fusemap.parity.train import fit
from backend.models.fusemap.parity.transfer import transfer

Table = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Published:
    """A training and its sections: z_C and z_T of all their cells."""

    fitted: Fitted
    sections: Sequence[SectionData]
    cell: list[Table]
    niche: list[Table]

    def imputed(self, section: int, genes: Sequence[str]) -> Table:
        """Return values (n, genes); 0 for a gene that no section measures."""
        n = self.sections[section].n_cells
        at = [i for i, g in enumerate(genes) if g.upper() in self.fitted.genes]
        values = np.zeros((n, len(genes)), dtype=np.float32)
        made = impute(self.fitted, section, [genes[i] for i in at])
        values[:, at] = filled(made, self.fitted.sections[section].cells, n)
        return values

    def labels(
        self, reference: Sequence[int], names: NDArray[Any], query: Sequence[int], *,
        of_places: bool, seed: int,
    ) -> NDArray[Any]:  # fmt: skip
        """Return names of the query's cells by the published classifier.

        Parameters
        ----------
        reference, query : places of sections
        names : of the cells of the reference, empty where not labelled
        of_places : whether to look at z_T, as for regions
        """
        z = self.niche if of_places else self.cell
        rows = np.flatnonzero(names != "")
        order, codes = np.unique(names[rows].astype(str), return_inverse=True)
        known = np.concatenate([z[i] for i in reference])[rows]
        asked = np.concatenate([z[i] for i in query])
        said = transfer(
            known.astype(np.float32), codes.astype(np.int64), asked.astype(np.float32), seed
        )
        return np.asarray(order.astype(object)[said.codes])


def train_published(sections: Sequence[SectionData], seed: int, settings: Settings) -> Published:
    """Return a training on ``sections``."""
    given = [Measured(s.counts, s.genes, s.xy, s.id) for s in sections]
    fitted = fit(given, settings, RunContext(seed=seed))
    cell = [
        filled(f.cell, f.cells, s.n_cells)
        for f, s in zip(fitted.sections, sections, strict=True)
    ]  # fmt: skip
    niche = [
        filled(f.niche, f.cells, s.n_cells)
        for f, s in zip(fitted.sections, sections, strict=True)
    ]  # fmt: skip
    return Published(fitted, sections, cell, niche)


def filled(values: Table, rows: NDArray[np.int64], n: int) -> Table:
    """Return values of n cells of which some rows are known, the others with their mean."""
    out = np.tile(values.mean(axis=0), (n, 1))
    out[rows] = values
    return out
