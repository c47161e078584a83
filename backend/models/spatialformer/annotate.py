"""Types of the cells of a section, by the calibrated probe of sections with known types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from backend.core.data import Column, Label, Matrix, Provenance, SectionData, TaskResult
from backend.core.errors import BadRequest
from backend.core.job import RunContext
from backend.core.layers import LayerKey
from backend.models.common.prep import gene_statistics, normalised
from backend.models.spatialformer.card import CARD
from backend.models.spatialformer.probe import fit_probe
from backend.models.spatialformer.profiles import describe, fit_profiles

#: Genes below which components only turn the genes round, and are left out.
LEAST_GENES = 90
#: Genes of the probe at most, those that vary most where it learns.
MOST_GENES = 1000
#: Cells that are made dense at once.
ROWS = 20_000

Sets = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Features:
    """Features of some cells, of which the genes are kept sparse.

    genes : (n, g) csr_matrix
        Log-normalised expression.
    others : mapping of (n, f) arrays
    """

    genes: csr_matrix
    others: Sets

    def dense(self, rows: slice = slice(None)) -> Sets:
        """Return all sets of features of some cells."""
        own = {name: x[rows] for name, x in self.others.items()}
        return {"genes": np.asarray(self.genes[rows].todense(), dtype=np.float64), **own}

    def blocks(self) -> Iterator[Sets]:
        """Yield all sets of features, a block of cells at a time."""
        for start in range(0, self.genes.shape[0], ROWS):
            yield self.dense(slice(start, start + ROWS))


def feature_sets(train: Sequence[SectionData], query: SectionData) -> tuple[Features, Features]:
    """Return features of the training cells and of the query: shared genes, and components.

    Raises
    ------
    NoSharedGenes
    """
    profiles, h = fit_profiles(train)
    place = {g.upper(): i for i, g in enumerate(query.genes)}
    genes = [g for g in profiles.genes if g.upper() in place]
    own = csr_matrix(vstack([_genes(s, genes) for s in train]))
    kept = _most_variable(own)
    components = describe(query, profiles)
    sets, asked = Features(own[:, kept], {}), Features(_genes(query, genes)[:, kept], {})
    if len(genes) >= LEAST_GENES:
        sets.others["PCs"], asked.others["PCs"] = np.concatenate(h), components
    return sets, asked


def _most_variable(values: csr_matrix) -> NDArray[np.int64]:
    """Return the columns of a probe, ascending."""
    _, sd = gene_statistics(values)
    return np.sort(np.argsort(-sd, kind="stable")[:MOST_GENES])


def annotate(
    train: Sequence[SectionData],
    labels: Sequence[Label],
    query: SectionData,
    ctx: RunContext,
) -> TaskResult:
    """Return the likeliest type of each cell of ``query`` with a calibrated probability.

    Parameters
    ----------
    train : sequence of SectionData
    labels : sequence of Label
        Known types of their cells, all of the same categories.
    query : SectionData
        With or without places.
    ctx : RunContext

    Raises
    ------
    BadRequest, NoSharedGenes, TooFewCells
    """
    if len({label.categories for label in labels}) != 1:
        raise BadRequest("The training sections name types differently.", "Use one label.")
    ctx.step(0.1, "Describing cells")
    sets, asked = feature_sets(train, query)
    ctx.step(0.4, "Fitting the probe")
    codes = np.concatenate([np.asarray(label.codes, dtype=np.int64) for label in labels])
    probe = fit_probe(sets.dense(), codes, ctx.seed)
    chance = np.concatenate([probe(block) for block in asked.blocks()])
    said = probe.classes[chance.argmax(axis=1)].astype(np.int16)
    categories = labels[0].categories
    columns = (
        Column(query.id, LayerKey("label", "type"), said, categories),
        Column(query.id, LayerKey("confidence", "type"), chance.max(axis=1).astype(np.float32),
               unit="probability"),
    )  # fmt: skip
    names = tuple(categories[c].name for c in probe.classes)
    matrix = Matrix(query.id, "probability:type", chance.astype(np.float32), names)
    figures = {
        "n_cells": query.n_cells,
        "n_types": len(names),
        "features": list(probe.parts),
        "held_out_macro_f1": dict(probe.macro_f1),
        "temperature": probe.temperature,
        "counts": {categories[c].name: int((said == c).sum()) for c in probe.classes},
    }
    trained = tuple(s.id for s in train)
    made = Provenance(CARD.name, CARD.version, {"task": "annotate"}, ctx.seed, trained)
    return TaskResult(columns, (matrix,), (), figures, made)


def _genes(section: SectionData, genes: Sequence[str]) -> csr_matrix:
    place = {g.upper(): i for i, g in enumerate(section.genes)}
    values = normalised(section.counts, section.is_counts)
    return csr_matrix(values[:, [place[g.upper()] for g in genes]])
