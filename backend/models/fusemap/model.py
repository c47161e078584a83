"""The trained model in memory, and as the card and tensors of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.errors import BadCheckpoint
from backend.core.layers import Category
from backend.models.common.calibration import ThresholdRow
from backend.models.common.checkpoint import Checkpoint
from backend.models.fusemap.card import CARD
from backend.models.fusemap.heads import Calibration, Head, HeldOut
from backend.models.fusemap.space import Space

SECTION_ARRAYS = ("genes", "mean", "sd", "level", "profile")
HEAD_ARRAYS = ("weights", "intercept", "mean", "sd", "centres", "precision")


@dataclass(frozen=True, slots=True)
class SectionRecord:
    """What is kept of a training section.

    genes, mean, sd : (p,) its panel in the union, and statistics on the log1p scale
    level : (p,) mean normalised count, before the logarithm
    profile : (c,) share of its cells per kind of niche
    """

    id: str
    dataset: str
    unit: str
    n_cells: int
    genes: NDArray[np.int64]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    level: NDArray[np.float64]
    profile: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LabelHead:
    """A head, its label and taxonomy, and the space it reads."""

    label: str
    taxonomy: str
    sections: tuple[str, ...]
    codes: tuple[int, ...]
    space: int
    head: Head


@dataclass(frozen=True, slots=True)
class Model:
    """A trained FuseMap model. Space 0 is the one that cells are shown and genes imputed in.

    gene_embedding, gene_offset, gene_trust : (g, k), (g,), (g, 3) float32
        The imputation table: max(0, offset + z . embedding); held-out r, baseline r, predicted r.
    """

    genes: tuple[str, ...]
    spaces: tuple[Space, ...]
    sections: tuple[SectionRecord, ...]
    niche_centres: NDArray[np.float64]
    gene_embedding: NDArray[np.float32]
    gene_offset: NDArray[np.float32]
    gene_trust: NDArray[np.float32]
    categories: Mapping[str, tuple[Category, ...]]
    heads: tuple[LabelHead, ...]
    about: Mapping[str, Any]

    def record(self, section_id: str) -> SectionRecord | None:
        """Return what is kept of a section, or None where it was not trained on."""
        return next((s for s in self.sections if s.id == section_id), None)


def to_checkpoint(model: Model) -> Checkpoint:
    """Return the card and tensors of ``model``."""
    tensors: dict[str, NDArray[Any]] = {
        "genes/embedding": model.gene_embedding,
        "genes/offset": model.gene_offset,
        "genes/trust": model.gene_trust,
        "niche/centres": model.niche_centres,
    }
    for i, section in enumerate(model.sections):
        for name in SECTION_ARRAYS:
            tensors[f"section/{i}/{name}"] = getattr(section, name)
    for j, space in enumerate(model.spaces):
        known = np.flatnonzero(space.known)
        tensors[f"space/{j}/genes"] = known
        tensors[f"space/{j}/embedding"] = space.embedding[known]
        for i, section in enumerate(model.sections):
            if section.id in space.noise:
                tensors[f"space/{j}/noise/{i}"] = space.noise[section.id]
    for h, labelled in enumerate(model.heads):
        _put_head(tensors, f"head/{h}", labelled.head)
    card = {
        **model.about,
        "model": CARD.name,
        "version": CARD.version,
        "genes": list(model.genes),
        "sections": [
            {"id": s.id, "dataset": s.dataset, "unit": s.unit, "n_cells": s.n_cells}
            for s in model.sections
        ],
        "n_spaces": len(model.spaces),
        "labels": {name: [list(c) for c in cats] for name, cats in model.categories.items()},
        "heads": [_head_json(labelled) for labelled in model.heads],
    }
    return Checkpoint(card, tensors)


def from_checkpoint(checkpoint: Checkpoint) -> Model:
    """Return the model of a checkpoint.

    Raises
    ------
    BadCheckpoint
        If a tensor or a field of the card is missing or does not fit.
    """
    try:
        model = _read(checkpoint.card, checkpoint.tensors)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BadCheckpoint(
            f"The checkpoint is damaged: {type(error).__name__} {error}.", "Train it again."
        ) from error
    if len(model.gene_embedding) != len(model.genes):
        raise BadCheckpoint("The checkpoint's genes and embedding differ.", "Train it again.")
    return model


def _read(card: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> Model:
    """Read the model, trusting the checkpoint."""
    sections = tuple(
        SectionRecord(
            record["id"],
            record["dataset"],
            record["unit"],
            record["n_cells"],
            *(tensors[f"section/{i}/{name}"] for name in SECTION_ARRAYS),
        )
        for i, record in enumerate(card["sections"])
    )
    spaces = tuple(
        Space(
            _spread(tensors[f"space/{j}/embedding"], tensors[f"space/{j}/genes"], card["genes"]),
            {
                s.id: tensors[f"space/{j}/noise/{i}"]
                for i, s in enumerate(sections)
                if f"space/{j}/noise/{i}" in tensors
            },
        )
        for j in range(card["n_spaces"])
    )
    heads = tuple(
        LabelHead(
            label=about["label"],
            taxonomy=about["taxonomy"],
            sections=tuple(about["sections"]),
            codes=tuple(about["codes"]),
            space=about["space"],
            head=_get_head(tensors, f"head/{h}", about),
        )
        for h, about in enumerate(card["heads"])
    )
    return Model(
        genes=tuple(card["genes"]),
        spaces=spaces,
        sections=sections,
        niche_centres=tensors["niche/centres"],
        gene_embedding=tensors["genes/embedding"],
        gene_offset=tensors["genes/offset"],
        gene_trust=tensors["genes/trust"],
        categories={
            name: tuple(Category(*c) for c in cats) for name, cats in card["labels"].items()
        },
        heads=heads,
        about=card,
    )


def _spread(
    rows: NDArray[np.float64], places: NDArray[np.int64], genes: Sequence[str]
) -> NDArray[np.float64]:
    """Put the rows of known genes among zeros for the others, (g, k)."""
    out = np.zeros((len(genes), rows.shape[1]))
    out[places] = rows
    return out


def _put_head(tensors: dict[str, NDArray[Any]], place: str, head: Head) -> None:
    """Add the arrays of a head."""
    for name in HEAD_ARRAYS:
        tensors[f"{place}/{name}"] = getattr(head, name)
    for kind, calibration in (("near", head.near), ("far", head.far)):
        if calibration is not None:
            tensors[f"{place}/{kind}/distance"] = calibration.distance_quantiles
            tensors[f"{place}/{kind}/misfit"] = calibration.misfit_quantiles


def _head_json(labelled: LabelHead) -> dict[str, Any]:
    """Put the scalars of a head in JSON."""
    head = labelled.head
    return {
        "label": labelled.label,
        "taxonomy": labelled.taxonomy,
        "sections": list(labelled.sections),
        "codes": list(labelled.codes),
        "space": labelled.space,
        "niche_weight": head.niche_weight,
        "near": _calibration_json(head.near),
        "far": None if head.far is None else _calibration_json(head.far),
    }


def _calibration_json(calibration: Calibration) -> dict[str, Any]:
    """Put the scalars of a calibration in JSON."""
    return {
        "temperature": calibration.temperature,
        "threshold": calibration.threshold,
        "held_out": calibration.held_out.as_json(),
    }


def _get_head(tensors: Mapping[str, NDArray[Any]], place: str, about: Mapping[str, Any]) -> Head:
    """Read the head stored at ``place``."""

    def calibration(kind: str) -> Calibration:
        scalars = about[kind]
        held_out = dict(scalars["held_out"])
        held_out["table"] = tuple(ThresholdRow(**row) for row in held_out["table"])
        return Calibration(
            scalars["temperature"],
            scalars["threshold"],
            tensors[f"{place}/{kind}/distance"],
            tensors[f"{place}/{kind}/misfit"],
            HeldOut(**held_out),
        )

    return Head(
        **{name: tensors[f"{place}/{name}"] for name in HEAD_ARRAYS},
        niche_weight=about["niche_weight"],
        near=calibration("near"),
        far=calibration("far") if about["far"] else None,
    )
