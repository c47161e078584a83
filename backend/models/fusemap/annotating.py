"""Annotate one section: choose a head and a reading per label, level by level, and say why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import Column, Matrix
from backend.core.errors import NoSharedGenes
from backend.core.layers import MISSING, LayerKey
from backend.models.fusemap.evidence import Evidence, gather, joined
from backend.models.fusemap.heads import (
    Calibration,
    Cells,
    Prediction,
    Reading,
    predict,
)
from backend.models.fusemap.held_out import LEAST_CONFIDENCE, HeldOut, PlainReading
from backend.models.fusemap.hierarchy import parent_labels, under_parents
from backend.models.fusemap.kin import pair_agreement
from backend.models.fusemap.model import LabelHead, Model
from backend.models.fusemap.nearest import Near
from backend.models.fusemap.plain_labels import GENES, MODEL
from backend.models.fusemap.query import OWN_STATISTICS, Query, head_for
from backend.models.fusemap.space import Mapped
from backend.models.fusemap.switch import Prefer, References, Switched, switched

#: Below this agreement of gene pairs with the atlas a section is of another kind of tissue.
FOREIGN_BELOW = 0.2
#: Columns of the matrix ``levels:<label>``.
LEVEL_COLUMNS = ("aggregate_probability", "novelty", "trust", "novel")
CELL_NOVELTY, NICHE_NOVELTY = LayerKey("score", "novelty"), LayerKey("score", "niche novelty")
NOVELTY_UNIT = "squeezed robust deviations above known cells"
NO_PLACES = "The section has no coordinates, and this is a label of places; types are possible."


@dataclass(slots=True)
class Annotation:
    """Columns, matrices and figures per label of one section as they come to be.

    pair_agreement : how far its genes go together as the atlas foretells, None where unknown
    foreign : whether it is of another kind of tissue, so that no label is given
    """

    columns: list[Column] = field(default_factory=list)
    matrices: list[Matrix] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    assigned: dict[str, list[str | None]] = field(default_factory=dict)
    aggregate: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    pair_agreement: float | None = None
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """How to annotate.

    taxonomy : label to the taxonomy, data set or section to use
    error : share of wrong labels to allow; what the checkpoint was trained for where None
    prefer : the model, nearest neighbours, or per label whichever was better on held-out cells
    references : gives labelled sections of the atlas, None where there is none at hand
    """

    taxonomy: Mapping[str, str] = field(default_factory=dict)
    error: float | None = None
    prefer: Prefer = "auto"
    references: References | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """A head, how it reads the section, and what was said."""

    labelled: LabelHead
    reading: Reading
    switched: Switched
    threshold: float
    n_genes: int

    @property
    def said(self) -> Prediction:
        """Return what the method that was taken says."""
        return self.switched.said

    @property
    def held_out(self) -> HeldOut:
        """Return how far that method was right on held-out cells."""
        plain = self.switched.plain
        return self.calibration.held_out if plain is None else plain.held_out

    @property
    def calibration(self) -> Calibration:
        """Return what held-out cells taught about this reading."""
        return self.labelled.head.calibrations[self.reading]


def annotate_section(
    query: Query,
    mapped: Mapped,
    ranked: Sequence[Near],
    model: Model,
    labels: Sequence[str],
    asked: Asked,
) -> Annotation:
    """Return labels, confidence, novelty and figures of a section.

    Parameters
    ----------
    query : Query
    mapped : Mapped
        Its cells in the common space.
    ranked : sequence of Near
        Atlas sections, the most similar first.
    model : Model
    labels : sequence of str
    asked : Asked
    """
    out = Annotation()
    evidence = gather(query.prepared, model.spaces[0], mapped, query.places, seed=0)
    agreement = _agreement(query, model)
    out.pair_agreement = None if np.isnan(agreement) else agreement
    out.foreign = bool(agreement < FOREIGN_BELOW)
    parents = parent_labels({label: model.categories[label] for label in labels})
    for label, parent in parents.items():
        head = head_for(label, model, ranked, asked.taxonomy.get(label))
        assert head is not None  # labels come from the heads
        reading = _reading(head, query, ranked)
        if reading is None:
            out.figures[label] = {"skipped": NO_PLACES, "taxonomy": head.taxonomy}
            continue
        try:
            chosen = _choose(head, reading, query, evidence, ranked, model, asked)
        except NoSharedGenes as problem:
            out.figures[label] = {"skipped": str(problem), "taxonomy": head.taxonomy}
            continue
        _add(out, label, parent, chosen, query, model)
    return out


def _agreement(query: Query, model: Model) -> float:
    """How far the genes of the section go together as the atlas foretells."""
    known = np.flatnonzero(model.spaces[0].known[query.prepared.genes])
    part = query.prepared.columns(known)
    if query.source is not None:
        return float("nan")  # too few cells to tell
    return pair_agreement(part, model.spaces[0].embedding[part.genes])


def _reading(head: LabelHead, query: Query, ranked: Sequence[Near]) -> Reading | None:
    """Return how to read a section, or None where it cannot be."""
    if query.places is None:
        return "alone" if "alone" in head.head.readers else None
    is_near = any(n.is_alike and n.section in head.sections for n in ranked)
    return "near" if is_near else "far"


def _choose(
    head: LabelHead,
    reading: Reading,
    query: Query,
    evidence: Evidence,
    ranked: Sequence[Near],
    model: Model,
    asked: Asked,
) -> Chosen:
    """Let a head speak, or nearest neighbours in its place."""
    own = query.into(model, head.space) if reading == "near" else None
    n_genes = own.n_genes if own else query.into(model, 0).n_genes
    cells: Cells = evidence.cells(None if own is None else joined(own), head.head.of_places)
    enough = query.source is None and query.section.n_cells >= OWN_STATISTICS
    said = predict(head.head, cells, reading, own_scale=enough)
    taken = switched(
        head, reading, said, query, ranked, model, asked.prefer, asked.references
    )  # fmt: skip
    threshold = _threshold(taken.plain or head.head.calibrations[reading], asked.error)
    return Chosen(head, reading, taken, threshold, n_genes)


def _threshold(calibration: Calibration | PlainReading, error: float | None) -> float:
    """Take the stored threshold, or the lowest of the table that leaves at most ``error`` wrong."""
    if error is None:
        return calibration.threshold
    table = calibration.held_out.table
    fit = [r for r in table if r.error <= error and r.threshold >= LEAST_CONFIDENCE]
    return min(fit, key=lambda r: r.threshold).threshold if fit else table[-1].threshold


def _add(
    out: Annotation, label: str, parent: str | None, chosen: Chosen, query: Query, model: Model
) -> None:
    """Write one label down, under what was assigned one level up."""
    categories, codes = model.categories[label], chosen.labelled.codes
    said, section = chosen.said, query.section.id
    given = said.probability
    if parent is not None and parent in out.assigned:
        parents = [categories[c].parent for c in codes]
        given = under_parents(said.probability, parents, out.assigned[parent])
    best = given.argmax(axis=1)
    rows = np.arange(len(best))
    confidence = said.probability[rows, best] * said.trust
    kept = (confidence >= chosen.threshold) & ~said.novel & (not out.foreign)
    values = np.where(kept, np.array(codes)[best], MISSING).astype(np.int16)
    above = out.aggregate.get(parent) if parent else None
    aggregate = given[rows, best] * (1.0 if above is None else above)
    out.assigned[label] = [categories[c].name if c != MISSING else None for c in values]
    out.aggregate[label] = aggregate
    names = tuple(categories[c].name for c in codes)
    levels = np.stack([aggregate, said.novelty, said.trust, said.novel.astype(float)], axis=1)
    out.columns += [
        Column(section, LayerKey("label", label), values, categories),
        Column(
            section, LayerKey("confidence", label), confidence.astype(np.float32), (),
            "calibrated probability",
        ),
    ]  # fmt: skip
    out.matrices += [
        Matrix(section, f"probability:{label}", said.probability.astype(np.float32), names),
        Matrix(section, f"levels:{label}", levels.astype(np.float32), LEVEL_COLUMNS),
    ]
    _add_novelty(out, section, chosen)
    out.figures[label] = _figures(chosen, parent, values)


def _add_novelty(out: Annotation, section: str, chosen: Chosen) -> None:
    """Add the novelty of cells, or of niches, of the first label that tells it."""
    layer = NICHE_NOVELTY if chosen.labelled.head.of_places else CELL_NOVELTY
    if all(c.layer != layer for c in out.columns):
        values = chosen.said.novelty.astype(np.float32)
        out.columns.append(Column(section, layer, values, (), NOVELTY_UNIT))


def _figures(chosen: Chosen, parent: str | None, values: NDArray[np.int16]) -> dict[str, Any]:
    """Gather what to tell a person about one label."""
    calibration = chosen.calibration
    return {
        "taxonomy": chosen.labelled.taxonomy,
        "sections": list(chosen.labelled.sections),
        "classes": len(chosen.labelled.codes),
        "refines": parent,
        "of_places": chosen.labelled.head.of_places,
        "genes": chosen.n_genes,
        "reading": chosen.reading,
        "calibrated_on": chosen.held_out.how,
        "like_reference": chosen.reading == "near",
        "threshold": chosen.threshold,
        "weights": list(calibration.weights),
        "method": chosen.switched.method,
        "why": chosen.switched.why,
        "compared": _compared(calibration.plain),
        "novel_from": calibration.novel_from,
        "unassigned": float((values == MISSING).mean()),
        "novel": float(chosen.said.novel.mean()),
        "held_out": chosen.held_out.as_json(),
    }


def _compared(plain: PlainReading | None) -> dict[str, Any] | None:
    """Return accuracy and macro-F1 of both methods on the same held-out cells."""
    if plain is None:
        return None
    own = {"accuracy": plain.held_out.accuracy, "macro_f1": plain.held_out.macro_f1}
    return {"cells": plain.held_out.n_cells, MODEL: dict(plain.model), GENES: own}
