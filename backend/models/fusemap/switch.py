"""Take nearest neighbours in place of the model for a label, where held-out cells say so.

What the model knows of novel cells is kept: neighbours know nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionData
from backend.core.layers import Category
from backend.models.common.calibration import probabilities
from backend.models.common.prep import gene_index
from backend.models.fusemap.heads import Prediction, Reading
from backend.models.fusemap.held_out import LEAST_GAIN, PlainReading
from backend.models.fusemap.inputs import prepare_on
from backend.models.fusemap.model import LabelHead, Model
from backend.models.fusemap.nearest import Near
from backend.models.fusemap.plain_labels import (
    GENES,
    MODEL,
    Labelled,
    PlainReference,
    reference_for,
)
from backend.models.fusemap.query import Query

Prefer = Literal["auto", "model", "knn"]
PREFERENCES: tuple[Prefer, ...] = ("auto", "model", "knn")
#: Gives sections of the atlas by their ids; those that it lacks are left out.
References = Callable[[Sequence[str]], Sequence[SectionData]]


@dataclass(frozen=True, slots=True)
class Switched:
    """Which method labels a section, what it says, and why.

    plain : of the neighbours where they are taken, else None
    """

    said: Prediction
    plain: PlainReading | None
    why: str

    @property
    def method(self) -> str:
        """Return the name of the method."""
        return MODEL if self.plain is None else GENES


def switched(
    labelled: LabelHead,
    reading: Reading,
    said: Prediction,
    query: Query,
    ranked: Sequence[Near],
    model: Model,
    prefer: Prefer,
    references: References | None,
) -> Switched:
    """Return what the model said, or what neighbours say where they are preferred and can be had.

    Parameters
    ----------
    labelled : LabelHead
    reading : Reading
    said : Prediction
        By the model.
    query : Query
    ranked : sequence of Near
    model : Model
    prefer : {"auto", "model", "knn"}
        ``auto`` takes the neighbours where they were right more often on held-out cells.
    references : callable or None
        Labelled cells are only to be had from the atlas.
    """
    plain = labelled.head.calibrations[reading].plain
    if prefer == "model":
        return Switched(said, None, "asked for")
    if plain is None:
        return Switched(said, None, "neighbours were not tested on held-out cells")
    if prefer == "auto" and not plain.is_better:
        gain = f"neighbours are not more than {LEAST_GAIN:.0%} better on held-out cells"
        return Switched(said, None, gain)
    if references is None:
        return Switched(said, None, "the labelled cells are not at hand")
    found = _reference(labelled, reading, query, ranked, model, references)
    if found is None:
        return Switched(said, None, "no labelled data set shares genes enough with the section")
    votes = found.log_votes(query.prepared, np.arange(query.section.n_cells), len(labelled.codes))
    p = probabilities(votes, plain.temperature)
    why = "asked for" if prefer == "knn" else "right more often on held-out cells"
    return Switched(replace(said, probability=p), plain, f"{why}; neighbours in {found.dataset}")


def _reference(
    labelled: LabelHead,
    reading: Reading,
    query: Query,
    ranked: Sequence[Near],
    model: Model,
    references: References,
) -> PlainReference | None:
    """Gather the labelled cells that the neighbours are looked for among."""
    own = query.own.id if query.own else ""
    sections = references([s for s in labelled.sections if s != own])
    categories = model.categories[labelled.label]
    known = []
    for section in sections:
        classes = _classes(section, labelled, categories)
        prepared = prepare_on(section, gene_index(model.genes), model.scale)
        entry = Labelled(section.dataset or section.id, prepared, classes)
        known.append((entry, np.flatnonzero(classes >= 0)))
    dataset = _dataset(labelled, ranked, model) if reading == "near" else ""
    genes = query.prepared.genes
    return reference_for(dataset, genes, known)


def _dataset(labelled: LabelHead, ranked: Sequence[Near], model: Model) -> str:
    """Return the data set of the section that a near query is most like."""
    alike = (n.section for n in ranked if n.is_alike and n.section in labelled.sections)
    record = model.record(next(alike, ""))
    return record.dataset if record else ""


def _classes(
    section: SectionData, labelled: LabelHead, categories: Sequence[Category]
) -> NDArray[np.int64]:
    """Return classes of the head (n,) for the cells of a section, -1 where it has none."""
    label = section.labels.get(labelled.label)
    if label is None:
        return np.full(section.n_cells, -1, dtype=np.int64)
    place = {categories[code].name: i for i, code in enumerate(labelled.codes)}
    table = np.array([place.get(c.name, -1) for c in label.categories] + [-1], dtype=np.int64)
    return table[label.codes]
