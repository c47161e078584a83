"""Enhanced sections to take away: an .h5ad file with all layers, and the gain by gene as CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, vstack

from backend.core.data import Matrix, SectionData, TaskResult
from backend.models.soscope.returned import sparse_of, subspot_id
from backend.runs.tables import beside, safe_text

#: Columns of the table of genes.
GAIN = ("gene", "mean", "gain", "kappa", "error")
#: Values below are left out of each layer; counts that were shared out are all kept.
LEAST = {"rate": 1e-3, "split": 0.0, "sd": 1e-3}


def write_enhanced(path: Path, sections: Sequence[SectionData], result: TaskResult) -> None:
    """Write subspots of all sections as one .h5ad file, whole or not at all.

    X and ``layers['rate']`` hold expected counts, ``layers['split']`` the counts of spots shared
    out, ``layers['sd']`` the posterior standard deviation of ``rate``; ``obs['parent']`` names the
    spot, ``obs['section']`` the section; provenance and figures are in uns['soscope'].
    """
    import anndata  # slow to import

    ids = [subspot_id(section.id) for section in sections]
    layers = {name: _stacked(result, ids, name) for name in LEAST}
    obs = pd.concat([_obs(section, result) for section in sections])
    genes = next(m.columns for m in result.matrices if m.name == "rate")
    data = anndata.AnnData(layers["rate"], obs=obs, var=pd.DataFrame(index=list(genes)))
    data.layers.update(layers)
    data.obsm["spatial"] = np.concatenate([_made(result, i).xy for i in ids]).astype(np.float64)
    assert result.provenance is not None
    about = {"provenance": asdict(result.provenance), "figures": result.figures}
    data.uns["soscope"] = json.dumps(about, default=list)
    with beside(path) as draft:
        data.write_h5ad(draft, compression="gzip")


def write_gain(path: Path, figures: Mapping[str, Any]) -> None:
    """Write one line per gene as CSV: mean counts of a spot, expected gain, kappa, error."""
    with beside(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(GAIN)
        for row in figures["genes"]:
            shown = ["" if row[name] is None else f"{row[name]:.6g}" for name in GAIN[1:]]
            writer.writerow([safe_text(row["gene"]), *shown])


def matrix_of(result: TaskResult, section: str, name: str) -> Matrix:
    """Return one table of a section of subspots."""
    return next(m for m in result.matrices if m.section == section and m.name == name)


def _stacked(result: TaskResult, ids: Sequence[str], name: str) -> csr_matrix:
    parts = [sparse_of(matrix_of(result, i, name).values, LEAST[name]) for i in ids]
    return csr_matrix(vstack(parts, format="csr"))


def _made(result: TaskResult, section: str) -> SectionData:
    return next(s for s in result.sections if s.id == section)


def _obs(section: SectionData, result: TaskResult) -> pd.DataFrame:
    made = _made(result, subspot_id(section.id))
    parent = matrix_of(result, made.id, "parent").values[:, 0].astype(np.int64)
    table: dict[str, Any] = {
        "section": section.id,
        "parent": [str(name) for name in section.names[parent]],
    }
    for name, label in made.labels.items():
        names = pd.Index([c.name for c in label.categories])
        table[name] = pd.Categorical.from_codes(label.codes.astype(np.int64), names)
    for column in result.columns:
        if column.section != made.id:
            continue
        if column.categories:
            names = pd.Index([c.name for c in column.categories])
            table[column.layer.name] = pd.Categorical.from_codes(
                column.values.astype(np.int64), names
            )
        else:
            table[column.layer.name] = column.values
    return pd.DataFrame(table, index=[f"{section.id}:{name}" for name in made.names])
