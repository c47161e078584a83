"""The trained model in memory, and as the card and tensors of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.errors import BadCheckpoint
from backend.core.layers import Category
from backend.models.common.checkpoint import Checkpoint
from backend.models.fusemap.card import CARD
from backend.models.fusemap.checks import refuse_version
from backend.models.fusemap.conformal import CellTrust
from backend.models.fusemap.head_store import (
    HEAD_FORMAT,
    check_head_format,
    get_head,
    head_json,
    put_head,
)
from backend.models.fusemap.heads import Head
from backend.models.fusemap.inputs import SCALES, Scale
from backend.models.fusemap.mixture import Mixture
from backend.models.fusemap.refine import Refiner
from backend.models.fusemap.space import ROUNDS, Space

SECTION_ARRAYS = ("genes", "mean", "sd", "level", "profile")
CELL_ARRAYS = ("weights", "edges", "widths")
MIXTURE_ARRAYS = ("means", "precision", "share", "pull")


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

    gene_embedding, gene_offset, gene_trust : (g, k), (g,), (g, 7) float32
        The imputation table: max(0, offset + z . embedding); columns of ``backend.core.trust``.
    scale : how expression enters
    slopes, slope : what z of a section is multiplied by for imputation; of other sections
    cells : certainty of single cells, or None where nothing could be hidden
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
    scale: Scale = "log1p"
    slopes: Mapping[str, float] = field(default_factory=dict)
    slope: float = 1.0
    cells: CellTrust | None = None

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
            tensors[f"section/{i}/{name}"] = _narrow(getattr(section, name))
    for j, space in enumerate(model.spaces):
        _put_space(tensors, f"space/{j}", space, model.sections)
    if model.cells is not None:
        tensors |= {f"cells/{name}": getattr(model.cells, name) for name in CELL_ARRAYS}
    for h, labelled in enumerate(model.heads):
        put_head(tensors, f"head/{h}", labelled.head)
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
        "niche_rounds": model.spaces[0].rounds,
        "members": [[m.shape[1] for m in space.members] for space in model.spaces],
        "scale": model.scale,
        "slopes": dict(model.slopes),
        "slope": model.slope,
        "labels": {name: [list(c) for c in cats] for name, cats in model.categories.items()},
        "heads": [_head_json(labelled) for labelled in model.heads],
        "head_format": HEAD_FORMAT,
    }
    return Checkpoint(card, tensors)


def from_checkpoint(checkpoint: Checkpoint) -> Model:
    """Return the model of a checkpoint.

    Raises
    ------
    BadCheckpoint
        If a tensor or a field of the card is missing or does not fit, or if another version of
        the program wrote it.
    """
    refuse_version(str(checkpoint.card.get("version", "")))
    check_head_format(checkpoint.card)
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
            *(_wide(tensors[f"section/{i}/{name}"]) for name in SECTION_ARRAYS),
        )
        for i, record in enumerate(card["sections"])
    )
    members = card.get("members", [[]] * card["n_spaces"])
    spaces = tuple(
        _get_space(tensors, f"space/{j}", sections, card["genes"], widths)
        for j, widths in enumerate(members)
    )
    common = replace(spaces[0], rounds=int(card.get("niche_rounds", ROUNDS)))
    spaces = (common, *spaces[1:])
    heads = tuple(
        LabelHead(
            label=about["label"],
            taxonomy=about["taxonomy"],
            sections=tuple(about["sections"]),
            codes=tuple(about["codes"]),
            space=about["space"],
            head=get_head(tensors, f"head/{h}", about),
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
        scale=SCALES[SCALES.index(card.get("scale", "log1p"))],
        slopes=card.get("slopes", {}),
        slope=card.get("slope", 1.0),
        cells=_get_cells(card, tensors),
    )


def _get_cells(card: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> CellTrust | None:
    """Read what is known of the certainty of cells."""
    if "cells/widths" not in tensors:
        return None
    about = card["metrics"]["cells"]
    coverage = about["coverage_on_fresh_genes"]
    return CellTrust(
        weights=tensors["cells/weights"],
        edges=tensors["cells/edges"],
        widths=tensors["cells/widths"],
        coverage=float("nan") if coverage is None else coverage,
        rank_correlation=about["rank_correlation_with_error"],
    )


def _put_space(
    tensors: dict[str, NDArray[Any]], place: str, space: Space, sections: Sequence[SectionRecord]
) -> None:
    """Add the arrays of a space: rows of known genes only, single precision."""
    known = np.flatnonzero(space.known)
    tensors[f"{place}/genes"] = known.astype(np.int32)
    tensors[f"{place}/embedding"] = space.embedding[known].astype(np.float32)
    for i, section in enumerate(sections):
        if section.id in space.noise:
            tensors[f"{place}/noise/{i}"] = space.noise[section.id].astype(np.float32)
    if space.mix is not None:
        tensors[f"{place}/mix"] = space.mix
        joined = np.concatenate([m[known] for m in space.members], axis=1)
        tensors[f"{place}/members"] = joined.astype(np.float32)
    if space.mixture is not None:
        for name in MIXTURE_ARRAYS:
            tensors[f"{place}/mixture/{name}"] = np.atleast_1d(getattr(space.mixture, name))
    if space.refiner is not None:
        for i, (w, b) in enumerate(zip(space.refiner.weights, space.refiner.biases, strict=True)):
            tensors[f"{place}/refiner/{i}/weight"] = w
            tensors[f"{place}/refiner/{i}/bias"] = b


def _get_space(
    tensors: Mapping[str, NDArray[Any]],
    place: str,
    sections: Sequence[SectionRecord],
    genes: Sequence[str],
    widths: Sequence[int],
) -> Space:
    """Read the space stored at ``place``."""
    known = tensors[f"{place}/genes"].astype(np.int64)
    noise = {
        s.id: tensors[f"{place}/noise/{i}"].astype(np.float64)
        for i, s in enumerate(sections)
        if f"{place}/noise/{i}" in tensors
    }
    embedding = _spread(tensors[f"{place}/embedding"], known, genes)
    members: tuple[NDArray[np.float64], ...] = ()
    if widths:
        joined = _spread(tensors[f"{place}/members"], known, genes)
        members = tuple(np.split(joined, np.cumsum(widths)[:-1], axis=1))
    layers = range(sum(name.startswith(f"{place}/refiner/") for name in tensors) // 2)
    refiner = None
    if layers:
        refiner = Refiner(
            tuple(tensors[f"{place}/refiner/{i}/weight"] for i in layers),
            tuple(tensors[f"{place}/refiner/{i}/bias"] for i in layers),
        )
    mixture = None
    if f"{place}/mixture/pull" in tensors:
        means, precision, share, pull = (tensors[f"{place}/mixture/{n}"] for n in MIXTURE_ARRAYS)
        mixture = Mixture(means, precision, share, float(pull[0]))
    return Space(embedding, noise, members, tensors.get(f"{place}/mix"), refiner, mixture)


def _narrow(values: NDArray[Any]) -> NDArray[Any]:
    """Half the bytes: places as int32, numbers as float32."""
    return values.astype(np.int32 if values.dtype.kind == "i" else np.float32)


def _wide(values: NDArray[Any]) -> NDArray[Any]:
    """Give the precision back that arithmetic wants."""
    return values.astype(np.int64 if values.dtype.kind == "i" else np.float64)


def _spread(
    rows: NDArray[np.float64], places: NDArray[np.int64], genes: Sequence[str]
) -> NDArray[np.float64]:
    """Put the rows of known genes among zeros for the others, (g, k)."""
    out = np.zeros((len(genes), rows.shape[1]))
    out[places] = rows
    return out


def _head_json(labelled: LabelHead) -> dict[str, Any]:
    """Put the scalars of a head in JSON."""
    return {
        "label": labelled.label,
        "taxonomy": labelled.taxonomy,
        "sections": list(labelled.sections),
        "codes": list(labelled.codes),
        "space": labelled.space,
        **head_json(labelled.head),
    }
