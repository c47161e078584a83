"""Types of the cells of a section, by the calibrated probe of sections with known types."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.core.data import Column, Label, Matrix, Provenance, SectionData, TaskResult
from backend.core.errors import BadRequest
from backend.core.job import RunContext
from backend.core.layers import LayerKey
from backend.models.common.prep import normalised
from backend.models.spatialformer.card import CARD
from backend.models.spatialformer.probe import fit_probe
from backend.models.spatialformer.profiles import describe, fit_profiles

#: Genes below which components only turn the genes round, and are left out.
LEAST_GENES = 90

Sets = dict[str, NDArray[np.float64]]


def feature_sets(train: Sequence[SectionData], query: SectionData) -> tuple[Sets, Sets]:
    """Return features of the training cells and of the query: shared genes, and components.

    Raises
    ------
    NoSharedGenes
    """
    profiles, h = fit_profiles(train)
    place = {g.upper(): i for i, g in enumerate(query.genes)}
    genes = [g for g in profiles.genes if g.upper() in place]
    sets: Sets = {"genes": np.concatenate([_genes(s, genes) for s in train])}
    asked: Sets = {"genes": _genes(query, genes)}
    components = describe(query, profiles)
    if len(genes) >= LEAST_GENES:
        sets["PCs"], asked["PCs"] = np.concatenate(h), components
    return sets, asked


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
    probe = fit_probe(sets, codes, ctx.seed)
    chance = probe(asked)
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


def _genes(section: SectionData, genes: Sequence[str]) -> NDArray[np.float64]:
    place = {g.upper(): i for i, g in enumerate(section.genes)}
    x = normalised(section.counts, section.is_counts)[:, [place[g.upper()] for g in genes]]
    return np.asarray(x.todense(), dtype=np.float64)
