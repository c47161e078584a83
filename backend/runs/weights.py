"""Domains and modality weights of a multi-omics section: from files to an .h5ad and figures.

What a run gives, whether called from the command line, a job or a test:

Columns of the ``TaskResult`` (one value per spot; M modalities by their names, here ``rna``)

- ``label:domain`` domains of the consensus, largest first; ``confidence:domain`` mean posterior
- ``score:agreement`` share of seeds and starts that agree
- ``weight:rna`` recommended weight, evidence in bits shared out; rows sum to 1 over modalities
- ``weight:rna.spread`` its standard deviation over seeds and starts
- ``weight:rna.attention``, ``weight:rna.within`` attention between modalities, and of the spatial
  graph within one; ``weight:rna.ablation``, ``weight:rna.energy`` cross-checks, as shares
- ``label:baseline NAME`` partition of every baseline, -1 where a spot lacks the modality

Matrices: ``embedding:joint`` (n, axes), ``bits`` (n, M).

Figures (JSON): ``mode``, ``spots``, ``count``; ``modalities`` (list: name, kind, features,
components, spots, missing, axes, moran, null, has_spatial_signal); ``domains`` (list: name,
spots, share, confidence, agreement, moran, and by modality weight, weight_spread, bits,
attention, within, energy, ablation); ``suggestion`` (count, silhouette, bic, silhouette_choice,
knee, is_confirmed) or None; ``stability`` (seeds, starts, pairwise_ari, agreement, and by
modality spearman_min, spearman_median, domain_correlation_min, domain_correlation_median,
weight_spread); ``model`` and ``baselines`` by name (moran, median_moran, jaccard, jaccard_sum, ari
and nmi where there is a truth); ``better_baselines`` (list: baseline, measure, baseline_figure,
model_figure); ``how_to_read`` (sentences by figure); ``warnings`` (sentences); ``seconds`` by step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack

from backend.core.data import SectionData, TaskResult
from backend.core.errors import BadRequest
from backend.core.job import RunContext
from backend.intake.mapping import ReadMapping
from backend.intake.multiomics import Align, read_multiomics
from backend.models.common.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from backend.models.spatialglue.card import CARD
from backend.models.spatialglue.tasks import (
    IntegrateParams,
    integrate_modalities,
    result_of,
    run,
    trained_checkpoint,
)
from backend.runs.sections import use_one_thread
from backend.runs.tables import beside, safe_text


def weigh_files(
    paths: Sequence[Path],
    params: IntegrateParams,
    out_h5ad: Path | None = None,
    ctx: RunContext | None = None,
    *,
    align: Align = "strict",
    kinds: Mapping[str, str] | None = None,
    model: Path | None = None,
    save_model: Path | None = None,
    replace_model: bool = False,
    mapping: ReadMapping | None = None,
) -> tuple[SectionData, TaskResult]:
    """Read a multi-omics section, run the model, write what was asked for.

    Parameters
    ----------
    paths : sequence of Path
        .h5mu, or .h5ad files as ``read_multiomics`` takes them; only read.
    params : IntegrateParams
    out_h5ad : Path or None
        Spots x features of all modalities, with every column in obs, embedding and bits in obsm,
        provenance and figures as JSON in uns['spatialglue'].
    ctx : RunContext, optional
    align, kinds, mapping
        See ``read_multiomics``.
    model : Path or None
        Checkpoint of a trained model that places the spots; trained here where None.
    save_model : Path or None
        Folder for the trained model.
    replace_model : bool
        Whether an existing folder may be replaced.

    Returns
    -------
    SectionData, TaskResult

    Raises
    ------
    BadFile, BadRequest, NoSpatialSignal, UnknownLayer, BadCheckpoint, StoreExists, Cancelled
    """
    ctx = ctx or RunContext()
    use_one_thread()
    if out_h5ad is not None:
        _refuse_overwriting(out_h5ad, paths)
    ctx.step(0.0, "Reading the section")
    labels = (params.truth,) if params.truth else ()
    section = read_multiomics(paths, align=align, kinds=kinds, labels=labels, mapping=mapping)
    part = ctx.part(0.05, 0.95)
    if model is not None:
        result = integrate_modalities([section], params, load_checkpoint(model, CARD.name), part)
    else:
        result, checkpoint = weigh_section(section, params, part)
        if save_model is not None:
            if checkpoint is None:
                raise BadRequest("Parity mode has no model to save.", "Use --mode default.")
            save_checkpoint(save_model, checkpoint, replace=replace_model)
    if out_h5ad is not None:
        ctx.step(0.95, "Writing the file")
        write_weights(out_h5ad, section, result)
    ctx.report(1.0, "Done")
    return section, result


def weigh_section(
    section: SectionData, params: IntegrateParams, ctx: RunContext
) -> tuple[TaskResult, Checkpoint | None]:
    """Return the result of one section and the trained model (none in parity mode)."""
    found = run([section], params, ctx)
    result = result_of([section], params, found, ctx.seed)
    trained = None if found.fitted is None else trained_checkpoint(found, [section])
    return result, trained


def write_weights(path: Path, section: SectionData, result: TaskResult) -> None:
    """Write a section and its result as one .h5ad file, whole or not at all."""
    import anndata  # slow to import

    modalities = section.modalities
    var = pd.DataFrame(
        {"feature_type": pd.Categorical([m.kind for m in modalities for _ in m.features]),
         "modality": pd.Categorical([m.name for m in modalities for _ in m.features])},
        index=_unique([f for m in modalities for f in m.features]),
    )  # fmt: skip
    data = anndata.AnnData(
        csr_matrix(hstack([csr_matrix(m.values) for m in modalities])),
        obs=_obs(section, result),
        var=var,
        obsm={"spatial": section.xy.astype(np.float64)},
    )
    for matrix in result.matrices:
        if matrix.section == section.id:
            data.obsm[_key(matrix.name)] = matrix.values
    assert result.provenance is not None
    about = {"provenance": asdict(result.provenance), "figures": result.figures}
    data.uns["spatialglue"] = json.dumps(about, default=list)
    with beside(path) as draft:
        data.write_h5ad(draft, compression="gzip")


def _obs(section: SectionData, result: TaskResult) -> pd.DataFrame:
    """Return the labels that came with the section, and every column of the result."""
    table: dict[str, Any] = {}
    for name, label in section.labels.items():
        names = [safe_text(c.name) for c in label.categories]
        table[name.replace("/", "-")] = _categorical(label.codes, names)
    for column in result.columns:
        if column.section != section.id:
            continue
        kind, name = column.layer.kind, column.layer.name.replace("/", "-")
        if kind == "label":
            table[name] = _categorical(column.values, [c.name for c in column.categories])
        else:
            table[f"{kind}:{name}"] = column.values
    return pd.DataFrame(table, index=_unique([str(n) for n in section.names]))


def _categorical(codes: NDArray[np.integer], names: list[str]) -> Any:
    """Return names of codes; a code below zero is missing."""
    return pd.Categorical.from_codes(codes.astype(np.int64), pd.Index(names))


def _key(name: str) -> str:
    return "X_spatialglue" if name == "embedding:joint" else f"spatialglue_{name}"


def _unique(names: Sequence[str]) -> list[str]:
    """Return names with a number behind those that repeat."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = count = seen.get(name, 0) + 1
        out.append(name if count == 1 else f"{name}-{count}")
    return out


def _refuse_overwriting(out: Path, inputs: Sequence[Path]) -> None:
    if out.exists() and any(path.exists() and out.samefile(path) for path in inputs):
        raise BadRequest("The result would overwrite an input.", "Choose another output file.")
