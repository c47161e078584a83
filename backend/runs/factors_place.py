"""New sections placed by a trained model: shares of its factors, and a program for what is new."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.models.common.checkpoint import load_checkpoint
from backend.models.inspire.card import CARD
from backend.models.inspire.model import Placed, from_checkpoint, place
from backend.runs.sections import use_one_thread
from backend.runs.tables import beside

#: Name of the program that is added where a section shows something new.
NEW = "new"


def place_sections(
    sections: Sequence[SectionData], model: Path, out: Path, ctx: RunContext
) -> dict[str, Any]:
    """Write the shares of a model's factors in new sections, and return what was found.

    Parameters
    ----------
    sections : sequence of SectionData
    model : Path
        Folder that ``factors --save-model`` wrote.
    out : Path
        .h5ad of all cells: obsm['X_factors'] (a last column "new" where a section has it, else
        zero), obs['section'], uns['inspire'].
    ctx : RunContext

    Raises
    ------
    BadCheckpoint, NoSharedGenes
    """
    import anndata  # slow to import

    use_one_thread()
    fitted = from_checkpoint(load_checkpoint(model, CARD.name))
    found: list[Placed] = []
    for i, section in enumerate(sections):
        part = ctx.part(i / len(sections), (i + 1) / len(sections))
        found.append(place(fitted, section, part, offer_free=True, seed=ctx.seed))
    shares = np.zeros((sum(s.n_cells for s in sections), fitted.k + 1), dtype=np.float32)
    first = 0
    for section, own in zip(sections, found, strict=True):
        shares[first : first + section.n_cells, : own.proportions.shape[1]] = own.proportions
        first += section.n_cells
    about = {
        "model": dict(fitted.about).get("sha256", ""),
        "factors": [*fitted.names, NEW],
        "out": str(out),
        "sections": [_said(s, p, fitted.genes) for s, p in zip(sections, found, strict=True)],
    }
    obs = pd.DataFrame(
        {"section": pd.Categorical([s.id for s in sections for _ in range(s.n_cells)])},
        index=[f"{s.id}:{name}" for s in sections for name in s.names],
    )
    data = anndata.AnnData(
        csr_matrix((len(shares), 0), dtype=np.float32),
        obs=obs,
        obsm={"X_factors": shares, "spatial": np.vstack([s.xy for s in sections])},
    )
    data.uns["inspire"] = json.dumps(about)
    with beside(out) as draft:
        data.write_h5ad(draft, compression="gzip")
    return about


def _said(section: SectionData, placed: Placed, genes: Sequence[str]) -> dict[str, Any]:
    top: list[str] = []
    if placed.free is not None:
        mean = placed.state.programs[:-1].mean(axis=0)
        order = np.argsort(-(placed.free * np.log((placed.free + 1e-9) / (mean + 1e-6))))
        top = [genes[g] for g in order[:10]]
    return {
        "id": section.id,
        "title": section.title,
        "cells": section.n_cells,
        "shared": placed.shared,
        "gain": placed.gain,
        "gain_free": placed.gain_free,
        "has_free": placed.free is not None,
        "new_genes": top,
    }
