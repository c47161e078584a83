"""Sections with their factors as an atlas of their own, in which every gene can be clicked.

Shares of factors are the embedding of a cell and programs that of a gene: ``imputed:<gene>`` is
their product, the denoised expression of a gene, also where the section does not measure it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import Column, Label, SectionData, TaskResult, units_of
from backend.core.layers import LayerKey
from backend.core.trust import COLUMNS as TRUST_COLUMNS
from backend.store.atlas import Atlas
from backend.store.write import AtlasWriter, plan_of, write_result

#: Expected counts are shown per this many.
PER = 1e4
#: Steps of the quantised shares.
STEPS = 127.0


def write_factors_atlas(
    path: Path, sections: Sequence[SectionData], result: TaskResult, genes: Sequence[str]
) -> Path:
    """Write sections with factors, domains and uncertainty as layers, and denoised genes.

    Parameters
    ----------
    path : Path
        Must not exist.
    sections : sequence of SectionData
    result : TaskResult
        Of ``integrate_sections``.
    genes : sequence of G str
        In the order of the programs.
    """
    provenance = asdict(result.provenance) if result.provenance else {}
    whole = [_with_layers(s, result) for s in sections]
    plan = [plan_of(s, notes=("Factors over several sections.",)) for s in whole]
    title = f"Factors of {len(sections)} sections"
    writer = AtlasWriter(path, title, False, (genes, [""] * len(genes)), plan, provenance)
    for section in whole:
        writer.add(section)
    writer.finish()
    _record(path, result, genes)
    return path


def _with_layers(section: SectionData, result: TaskResult) -> SectionData:
    columns = [c for c in result.columns if c.section == section.id]
    labels = {c.layer.name: Label(c.values, c.categories) for c in columns if c.categories}
    given = {n: label for n, label in section.labels.items() if n not in labels}
    numbers: dict[LayerKey, NDArray[np.float32]] = {
        c.layer: c.values for c in columns if not c.categories
    }
    return replace(
        section,
        labels={**labels, **given},
        numbers=numbers,
        number_units=units_of(columns),
        modalities=(),
    )


def _record(path: Path, result: TaskResult, genes: Sequence[str]) -> None:
    """Write layers with their source, shares as embedding, and programs as genes, in one step."""
    atlas = Atlas.open(path)
    units = {c.layer: c.unit for c in result.columns}
    columns = []
    k = next(m for m in result.matrices if m.name == "programs").values.shape[1]
    shares = np.zeros((atlas.n_cells, k), dtype=np.float32)
    names = [key for key in units if key.kind == "factor"]
    for info in atlas.sections():
        for key in units:
            if key.kind == "label":
                label = atlas.label(key.name)
                columns.append(Column(info.id, key, label.codes[info.rows], label.categories))
            else:
                values = atlas.number(key).values[info.rows]
                columns.append(Column(info.id, key, values, unit=units[key]))
        for j, key in enumerate(names):
            shares[info.rows, j] = atlas.number(key).values[info.rows]
    programs = next(m for m in result.matrices if m.name == "programs").values
    embedded = TaskResult(tuple(columns), provenance=result.provenance)
    scale = np.full(k, 1.0 / STEPS, dtype=np.float32)
    write_result(
        path,
        embedded,
        embeddings={"cell": (np.rint(shares * STEPS).astype(np.int8), scale)},
        genes=(PER * programs, np.zeros(len(genes), np.float32), _trust(result, genes)),
        checkpoint="inspire",
        embedded=[info.id for info in atlas.sections()],
    )


def _trust(result: TaskResult, genes: Sequence[str]) -> NDArray[np.float32]:
    """Return the table of trust: r of genes that were hidden from a section, beside neighbours."""
    table = np.full((len(genes), TRUST_COLUMNS), np.nan, dtype=np.float32)
    hidden: Mapping[str, Any] = result.figures.get("hidden_genes") or {}
    place = {g: i for i, g in enumerate(genes)}
    for gene, (r, knn, *_) in (hidden.get("by_gene") or {}).items():
        if gene in place:
            table[place[gene], 0], table[place[gene], 1] = r, knn
            table[place[gene], 4] = 0
    return table
