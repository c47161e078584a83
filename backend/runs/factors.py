"""Spatial factors of many sections: from files or an atlas to an .h5ad, tables and an atlas.

What a run gives, whether called from the command line, a job or a test:

Columns of the ``TaskResult`` (one value per cell or spot; K factors named 1, 2, ...)

- ``factor:1`` .. share of a cell's counts that comes from a program; the shares of a cell add up
  to 1
- ``label:domain`` domains by shares of factors, levels of genes and neighbours, the same in all
  sections
- ``label:NAME transferred``, ``confidence:NAME transferred`` the label that was compared with,
  carried to cells without one by shares of factors (only where a label was named)
- ``score:uncertainty`` mean standard deviation of the shares of a cell
- ``label:baseline NAME`` domains of plain methods (where all cells were looked at)

Matrices per section: ``proportions``, ``spread`` (n, K); ``programs`` (G, K) of section "".

Figures (JSON): ``cells``, ``genes``, ``fitted_genes``; ``factors`` (list: name, colour, share,
usage and present by section, is_shared, stability, is_stable, by_domain, most (its 99.5th
percentile), large and specific (lists of gene, loading, log2_specificity)); ``sections`` (list:
id, title, cells, genes, dataset, technology, domains (shares), scales (list of gene,
log2_scale)); ``domains`` (list: name, colour, cells); ``range`` [0, 99.5th percentile of all
shares]; ``r_between`` (K, K) r of shares; ``count`` (factors, tried: list of factors, gain,
weakest_r, stable) or None; ``stack`` (jobs only, see ``factors_stack``); ``noise``
(overdispersed, shape); ``borrow`` (chosen, gains: what cells borrow from neighbours, in parts of
the median depth); ``found_domains`` (of spots or cells, ties, chosen and tried: rounds, tied,
trust, foretold, of_roots); ``model`` {cells, places, domains} and ``baselines`` by name (mixing;
ari, nmi, silhouette, by_section where there is a truth); ``better_baselines``; ``held_out`` (nats
per held-out count: factors and NMF); ``hidden_genes`` (genes, across, r, knn_r, fusemap_r,
by_gene, by_group); ``programs`` (diversity, coherence); ``gene_sets`` {factor: list of name, size,
shared, p, q}; ``warnings``; ``how_to_read``; ``seconds`` by step.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, vstack

from backend.core.data import SectionData, TaskResult
from backend.core.errors import BadFile, BadRequest, Fault, UnknownSection, did_you_mean
from backend.core.job import RunContext
from backend.intake.read import read_h5ad
from backend.models.common.checkpoint import save_checkpoint
from backend.models.common.prep import gene_index, union_of_genes
from backend.models.inspire.model import to_checkpoint
from backend.models.inspire.tasks import SectionsParams, result_of, run
from backend.runs.sections import use_one_thread
from backend.runs.tables import beside, safe_text
from backend.store.atlas import Atlas

#: Gene sets and bytes of a GMT file, at most.
MOST_SETS, LARGEST_GMT = 50_000, 100_000_000


def read_sections(paths: Sequence[Path], ctx: RunContext) -> list[SectionData]:
    """Return the sections of files and atlases, ids made unique.

    Parameters
    ----------
    paths : sequence of Path
        .h5ad files, each of one section or several, or folders of an atlas.

    Raises
    ------
    BadFile
    """
    found: list[SectionData] = []
    for i, path in enumerate(paths):
        ctx.step(i / len(paths), f"Reading {path.name}")
        found += sections_of_atlas(path) if path.is_dir() else list(read_h5ad(path))
    return found


def sections_of_atlas(path: Path, ids: Sequence[str] = ()) -> list[SectionData]:
    """Return the named sections of an atlas, or all that hold counts.

    Raises
    ------
    UnknownSection
    BadRequest
        If none holds counts.
    """
    atlas = Atlas.open(path)
    infos = {info.id: info for info in atlas.sections()}
    for wanted in ids:
        if wanted not in infos:
            raise UnknownSection(
                f"There is no section '{wanted[:60]}'.",
                *filter(None, [did_you_mean(wanted, infos)]),
            )
    chosen = [infos[i] for i in ids] if ids else [i for i in infos.values() if "counts" in i.unit]
    chosen = [info for info in chosen if info.n_genes or ids]
    if not chosen:
        raise BadRequest("No section of this atlas holds raw counts.", "Build it with counts.")
    return [atlas.load(info.id) for info in chosen]


def factor_sections(
    sections: Sequence[SectionData],
    params: SectionsParams,
    ctx: RunContext | None = None,
    *,
    gene_sets: Mapping[str, Sequence[str]] | None = None,
    out_h5ad: Path | None = None,
    out_csv: Path | None = None,
    save_model: Path | None = None,
) -> TaskResult:
    """Find the factors of sections and write what was asked for.

    Parameters
    ----------
    sections : sequence of SectionData
    params : SectionsParams
    ctx : RunContext, optional
    gene_sets : mapping of name to genes, optional
    out_h5ad : Path or None
        All cells; see ``write_factors``.
    out_csv : Path or None
        Programs; see ``write_programs``.
    save_model : Path or None
        Folder for the trained model.

    Raises
    ------
    BadFile, BadRequest, UnknownLayer, Diverged, StoreExists, Cancelled
    """
    ctx = ctx or RunContext()
    use_one_thread()
    found = run(sections, params, ctx.part(0.05, 0.92), gene_sets)
    result = result_of(sections, params, found, ctx.seed)
    genes = found.whole.genes
    ctx.step(0.93, "Writing the files")
    if out_csv is not None:
        write_programs(out_csv, result, genes)
    if out_h5ad is not None:
        write_factors(out_h5ad, sections, result, genes)
    if save_model is not None:
        save_checkpoint(save_model, to_checkpoint(found.fitted, sections))
    return result


def write_factors(
    path: Path, sections: Sequence[SectionData], result: TaskResult, genes: Sequence[str]
) -> None:
    """Write all cells as one .h5ad file, whole or not at all.

    X holds raw counts over the union of genes (0 where a section does not measure one: see
    ``varm['measured']``), obs the sections, domains and uncertainty, obsm['X_factors'] the shares
    and obsm['factor_sd'] their standard deviations, varm['programs'] the programs; denoised
    expression is X_factors @ programs.T. uns['inspire'] holds provenance and figures as JSON.
    """
    import anndata  # slow to import

    names = next(m.columns for m in result.matrices if m.name == "programs")
    data = anndata.AnnData(
        _counts(sections, genes),
        obs=_obs(sections, result),
        var=pd.DataFrame(index=list(genes)),
        obsm={
            "spatial": np.vstack([s.xy for s in sections]).astype(np.float64),
            "X_factors": _stacked(sections, result, "proportions"),
            "factor_sd": _stacked(sections, result, "spread"),
        },
        varm={"programs": _programs(result), "measured": _measured(sections, genes)},
    )
    about = {
        "factors": list(names), "sections": [s.id for s in sections], "figures": result.figures,
        "provenance": asdict(result.provenance) if result.provenance else {},
    }  # fmt: skip
    data.uns["inspire"] = json.dumps(about, default=list)
    with beside(path) as draft:
        data.write_h5ad(draft, compression="gzip")


def _counts(sections: Sequence[SectionData], genes: Sequence[str]) -> csr_matrix:
    index = gene_index(genes)
    parts = []
    for section in sections:
        coo = section.counts.tocoo()
        place = np.array([index.get(g.upper(), -1) for g in section.genes], dtype=np.int64)
        column = place[coo.col]
        keep = column >= 0
        parts.append(
            csr_matrix((coo.data[keep], (coo.row[keep], column[keep])),
                       shape=(section.n_cells, len(genes)))
        )  # fmt: skip
    return csr_matrix(vstack(parts))


def _measured(sections: Sequence[SectionData], genes: Sequence[str]) -> Any:
    panels = [{g.upper() for g in s.genes} for s in sections]
    return np.array([[g.upper() in p for p in panels] for g in genes], dtype=np.int8)


def _obs(sections: Sequence[SectionData], result: TaskResult) -> pd.DataFrame:
    table: dict[str, Any] = {
        "section": pd.Categorical([s.id for s in sections for _ in range(s.n_cells)])
    }
    first = [c for c in result.columns if c.section == sections[0].id and c.layer.kind != "factor"]
    for column in first:
        parts = [c for c in result.columns if c.layer == column.layer]
        values = np.concatenate([c.values for c in parts])
        name = column.layer.name.replace("/", "-")
        if column.categories:
            kinds = pd.Index([c.name for c in column.categories])
            table[name] = pd.Categorical.from_codes(values.astype(np.int64), kinds)
        else:
            table[f"factor_{name}"] = values
    index = [f"{s.id}:{name}" for s in sections for name in s.names]
    return pd.DataFrame(table, index=index)


def _stacked(sections: Sequence[SectionData], result: TaskResult, name: str) -> Any:
    own = {m.section: m.values for m in result.matrices if m.name == name}
    return np.vstack([own[s.id] for s in sections])


def _programs(result: TaskResult) -> Any:
    return next(m.values for m in result.matrices if m.name == "programs")


def write_programs(path: Path, result: TaskResult, genes: Sequence[str]) -> None:
    """Write one line per gene: its loading in every program, as CSV."""
    names = next(m.columns for m in result.matrices if m.name == "programs")
    with beside(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["gene", *(f"factor {n}" for n in names)])
        for gene, row in zip(genes, _programs(result), strict=True):
            writer.writerow([safe_text(gene), *(f"{v:.6g}" for v in row)])


def read_gene_sets(path: Path) -> dict[str, list[str]]:
    """Return the sets of a GMT file: name, description, genes, by tabs; gzipped or not.

    Raises
    ------
    BadFile
        If it is not such a file; all faulty lines are counted.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", errors="strict") as file:
            text = file.read(LARGEST_GMT)
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise _bad_sets(path, f"it cannot be read ({str(error)[:80]})") from error
    lines = [line.split("\t") for line in text.splitlines() if line.strip()]
    bad = [i + 1 for i, parts in enumerate(lines) if len(parts) < 3]
    if bad:
        raise _bad_sets(path, f"{len(bad)} lines have fewer than three fields (first: {bad[0]})")
    if not lines or len(lines) > MOST_SETS:
        raise _bad_sets(path, f"it has {len(lines):,} sets, of 1 to {MOST_SETS:,}")
    # Some tables give weights behind a comma: GENE,1.0
    return {p[0]: [g.split(",")[0].strip() for g in p[2:] if g.strip()] for p in lines}


def _bad_sets(path: Path, what: str) -> BadFile:
    expected = "lines of name, description and genes, parted by tabs"
    return BadFile(path.name, [Fault(what, "gene sets", expected, "Give a .gmt file.")])


def all_genes(sections: Sequence[SectionData]) -> tuple[str, ...]:
    """Return the union of genes, in the order of the programs of a result."""
    return union_of_genes(sections)
