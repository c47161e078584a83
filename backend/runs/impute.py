"""Impute genes of one section of an atlas into a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from backend.core.errors import BadRequest
from backend.core.job import RunContext
from backend.models.common.checkpoint import load_checkpoint
from backend.models.fusemap.card import CARD
from backend.models.fusemap.tasks import impute
from backend.runs.sections import use_one_thread
from backend.runs.tables import beside
from backend.store.atlas import Atlas

#: Cells times genes that are written at most.
MOST_VALUES = 500_000_000


def impute_section(
    atlas_path: Path | str,
    section: str,
    genes: Sequence[str],
    checkpoint: Path | str,
    out: Path | str,
    ctx: RunContext | None = None,
) -> dict[str, Any]:
    """Write imputed values of ``genes`` in a section as .h5ad.

    Parameters
    ----------
    atlas_path, checkpoint, out : Path
    section : str
        Id of a section with expression.
    genes : sequence of str
    ctx : RunContext, optional

    Returns
    -------
    dict
        ``trust`` per gene (see ``backend.core.trust``; None where not known), ``unit``, and
        ``interval``: nominal and measured coverage of value plus or minus layer ``half_width``.

    Raises
    ------
    UnknownSection, UnknownGene, NoSharedGenes, BadCheckpoint, BadRequest
    """
    import anndata  # slow to import
    import pandas as pd

    ctx = ctx or RunContext()
    use_one_thread()
    atlas = Atlas.open(atlas_path)
    info = atlas.section(section)
    if not genes or info.n_cells * len(genes) > MOST_VALUES:
        raise BadRequest(
            f"{len(genes)} genes of {info.n_cells:,} cells were asked for.",
            f"Ask for 1 to {MOST_VALUES // max(info.n_cells, 1):,} genes.",
        )
    data = atlas.load(section)
    loaded = load_checkpoint(Path(checkpoint), CARD.name)
    result = impute(data, genes, loaded, ctx.part(0, 0.8))
    matrix = result.matrices[0]
    more = {m.name: m.values for m in result.matrices[1:]}
    trust = pd.DataFrame.from_dict(result.figures["trust"], orient="index", dtype=np.float64)
    made = anndata.AnnData(
        X=matrix.values,
        obs=pd.DataFrame(
            {"certainty": more["certainty"][:, 0]} if more else {},
            index=pd.Index(data.names.astype(str)),
        ),
        layers={"half_width": more["half width"]} if more else {},
        var=trust.reindex(list(matrix.columns)),
        obsm={"spatial": data.xy},
        uns={
            "unit": result.figures["unit"],
            "imputed": True,
            "section": section,
            "provenance": json.dumps(asdict(result.provenance), default=list)
            if result.provenance
            else "",
        },
    )
    ctx.step(0.9, "Writing")
    with beside(Path(out)) as draft:
        made.write_h5ad(draft, compression="gzip")
    ctx.report(1.0, "Imputed")
    return dict(result.figures)
