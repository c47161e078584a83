"""What a layer of a section is: title, unit, span, classes, provenance and trust."""

from __future__ import annotations

from typing import Any

import numpy as np

from backend.core.data import Provenance, SectionInfo
from backend.core.errors import UnknownLayer
from backend.core.layers import LayerInfo, LayerKey, Trust
from backend.core.trust import (
    FEW_BRIDGE_GENES,
    few_bridges_text,
    gene_trust,
    imputed_unit,
)
from backend.service.planes import MONTAGE, Plane
from backend.service.search import is_imputable, is_measured
from backend.store.atlas import Atlas

TRUST_HOW = (
    "Measured genes were hidden in all sections of a data set and imputed back; r is against "
    "what was measured there."
)
TITLES = {"class": "Cell class", "type": "Cell type", "subtype": "Cell subtype"}


def describe(plane: Plane, section: str, key: LayerKey) -> LayerInfo:
    """Return what is known of a layer in a section.

    Raises
    ------
    UnknownLayer, UnknownGene
        If the section has no such layer.
    """
    if key.kind == "label":
        return _label(plane.atlas, section, key)
    if key.kind == "density":
        return _numeric(plane, section, key, "Cell density", "cells per mm²")
    if key.kind in ("measured", "imputed"):
        return _gene(plane, section, key)
    number = plane.atlas.number(key)
    return _numeric(plane, section, key, number.title, number.unit, _source(number.provenance))


def _label(atlas: Atlas, section: str, key: LayerKey) -> LayerInfo:
    label = atlas.label(key.name)
    title = label.title or TITLES.get(key.name, key.name.capitalize())
    return LayerInfo(
        key,
        title,
        categories=label.categories,
        version=atlas.version,
        provenance=_source(label.provenance)
        or ("simulated labels" if atlas.simulated else "published labels"),
        trust=label_trust(atlas, section, key.name),
    )


def annotation_test(atlas: Atlas, section: str, label: str) -> dict[str, Any] | None:
    """Return the held-out test of a label that a model gave a section, or None."""
    parameters = atlas.attrs.get("provenance", {}).get("parameters", {})
    found = parameters.get("held_out", {}).get(section, {}).get(label)
    return dict(found) if found else None


def label_trust(atlas: Atlas, section: str, label: str) -> Trust | None:
    """Return the accuracy of an annotated label on held-out cells beside the better plain method.

    None where the label was published, or where no plain method could be run.
    """
    test = annotation_test(atlas, section, label)
    if test is None or not test["baselines"]:
        return None
    accuracy = {name: float(b["accuracy"]) for name, b in test["baselines"].items()}
    best = max(accuracy, key=lambda name: accuracy[name])
    wins = "" if test["accuracy"] > accuracy[best] else f" {best} is better here."
    return Trust(
        float(test["accuracy"]),
        accuracy[best],
        "held-out accuracy",
        best,
        f"Likeliest class of every cell on {test['how']} of {test['taxonomy']}.{wins}",
    )


def _numeric(
    plane: Plane,
    section: str,
    key: LayerKey,
    title: str,
    unit: str,
    provenance: str = "",
    trust: Trust | None = None,
) -> LayerInfo:
    return LayerInfo(
        key,
        title,
        unit,
        span=plane.renderer.span(section, key),
        version=plane.atlas.version,
        provenance=provenance,
        trust=trust,
    )


def _gene(plane: Plane, section: str, key: LayerKey) -> LayerInfo:
    atlas = plane.atlas
    gene = atlas.genes.index(key.name)
    symbol = atlas.genes.symbol[gene]
    key = LayerKey(key.kind, symbol)
    measured, imputable = is_measured(atlas, section, gene), is_imputable(atlas, section, gene)
    if key.kind == "measured":
        if not measured:
            raise UnknownLayer(
                f"{symbol} was not measured in {_named(atlas, section)}.",
                f"Show imputed:{symbol} instead." if imputable else "Choose another section.",
            )
        return _numeric(plane, section, key, symbol, _unit(atlas, section))
    if not imputable:
        raise UnknownLayer(
            f"{symbol} cannot be imputed in {_named(atlas, section)}.",
            f"Show measured:{symbol} instead."
            if measured
            else "The section has no expression, or the atlas no trained embedding of this gene.",
        )
    embedding = atlas.embedding("cell")
    made = embedding.provenance if embedding else None
    source, unit = _source(made) if embedding else "", imputed_unit(made.model if made else "")
    return _numeric(plane, section, key, symbol, unit, source, trust_of(atlas, gene))


def _named(atlas: Atlas, section: str) -> str:
    return "any section" if section == MONTAGE else f"section '{atlas.section(section).title}'"


def _unit(atlas: Atlas, section: str) -> str:
    infos: tuple[SectionInfo, ...] = atlas.sections()
    units = {s.unit for s in infos if s.n_genes} if section == MONTAGE else set()
    unit = atlas.section(section).unit if section != MONTAGE else "/".join(sorted(units))
    return f"log1p {unit}"


def trust_of(atlas: Atlas, gene: int) -> Trust | None:
    """Return how far imputation of a gene was right where it was measured, None if untested."""
    known = gene_trust(atlas.genes.trust, gene)
    if known is None or not known.is_tested:
        return None
    more = f" Tested in {known.tests:.0f} sections." if known.tests > 1 else ""
    if np.isfinite(known.spearman):
        more += f" Spearman's r is {known.spearman:.2f}."
    return Trust(
        known.held_out_r, known.baseline_r, "held-out r", known.baseline_name, TRUST_HOW + more
    )


def bridges_note(atlas: Atlas, section: str) -> str:
    """Say which data set of a section, or of the whole atlas, shares few genes with the others."""
    embedding = atlas.embedding("cell")
    provenance = embedding.provenance if embedding else None
    few = (provenance.parameters if provenance else {}).get(FEW_BRIDGE_GENES) or {}
    if section != MONTAGE:
        info = atlas.section(section)
        few = {n: few[n] for n in (info.dataset or info.id,) if n in few}
    return " ".join(few_bridges_text(str(name), int(shared)) for name, shared in few.items())


def expected_r(atlas: Atlas, gene: int) -> float | None:
    """Return the r to expect of a gene that could not be tested, None where nothing says."""
    known = gene_trust(atlas.genes.trust, gene)
    return known.predicted_r if known and np.isfinite(known.predicted_r) else None


def _source(provenance: Provenance | None) -> str:
    """Return where a result comes from as one phrase; the whole record stays in the store."""
    if provenance is None:
        return ""
    n = len(provenance.data)
    parts = [f"{provenance.model} {provenance.version}"]
    if "checkpoint" in provenance.parameters:
        parts.append(f"checkpoint {provenance.parameters['checkpoint']}")
    parts += [f"{n} section{'s' if n != 1 else ''}", f"seed {provenance.seed}"]
    return ", ".join(parts)
