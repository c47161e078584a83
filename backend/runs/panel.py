"""A gene panel for an atlas: cells read from sections, the panel chosen and scored, tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.analysis.panel import choose_panel
from backend.analysis.panel_choose import excess_variance
from backend.analysis.panel_curve import Labels, PanelParams
from backend.analysis.panel_score import Sample
from backend.core.data import SectionInfo
from backend.core.errors import BadRequest, UnknownLayer
from backend.core.job import RunContext
from backend.core.layers import LayerKey
from backend.runs.contacts import label_key
from backend.runs.tables import beside, safe_text
from backend.store.atlas import Atlas

#: Labels whose classes are places: genes are averaged over neighbours before they are told apart.
PLACES = frozenset({"region", "domain", "layer", "area"})
#: Candidates above this are cut to the most variable.
MOST_CANDIDATES = 2000
#: Labelled cells that a data set needs to be taken where no section is named.
LEAST_LABELLED = 500
COLUMNS = (
    "gene", "rank", "module", "module_genes", "highest_in", "share_of_variance", "detection",
    "nearest_gene", "similarity", "held_out_r", "forced", "why",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """Where a panel's cells and candidate genes come from.

    Parameters
    ----------
    sections : tuple of str
        Ids; the data set with most genes, measured in labelled cells, where empty.
    label : str
        Such as "label:type".
    also : str
        Another label to score, such as "label:region"; "label:region" if there is one, where
        empty.
    species : str
        Only sections of this species.
    candidates : tuple of str
        Only these genes may be chosen; all where empty.
    panel_of : str
        Only genes that this section measured may be chosen.
    """

    sections: tuple[str, ...] = ()
    label: str = "label:type"
    also: str = ""
    species: str = ""
    candidates: tuple[str, ...] = ()
    panel_of: str = ""


def panel_atlas(
    atlas_path: Path | str,
    source: Source,
    params: PanelParams | None = None,
    ctx: RunContext | None = None,
) -> dict[str, Any]:
    """Return a panel with its table, held-out curve and verdict.

    Raises
    ------
    UnknownSection, UnknownLayer, UnknownGene, BadRequest, TooFewCells
    """
    params, ctx = (params or PanelParams()).checked(), ctx or RunContext()
    atlas = Atlas.open(atlas_path)
    if atlas.genes.embedding is None:
        raise UnknownLayer(
            f"Atlas '{atlas.name}' has no gene embedding.", "Write one: python -m backend embed."
        )
    key = label_key(atlas, source.label)
    infos = sections_of_panel(atlas, source, key)
    labels = _labels(atlas, infos, key, source.also)
    genes = candidate_genes(atlas, infos, source, params)
    ctx.step(0.01, "Reading the sections")
    samples = [_sample(atlas, info, genes, labels) for info in infos]
    genes, samples = _cut(atlas, genes, samples, params)
    symbols = [atlas.genes.symbol[g] for g in genes]
    embedding = atlas.genes.embedding[genes]
    found = choose_panel(samples, symbols, embedding, labels, params, ctx.part(0.02, 1.0))
    return _described(atlas, found, infos, key, labels)


def sections_of_panel(atlas: Atlas, source: Source, key: LayerKey) -> list[SectionInfo]:
    """Return the sections to take cells from.

    Raises
    ------
    UnknownSection
    BadRequest
        If a named section cannot be used, all of them at once; or if none can.
    """
    if source.sections:
        infos = [atlas.section(name) for name in source.sections]
        wrong = [f"{i.id}: {w}." for i in infos if (w := _why_not(atlas, i, key, source.species))]
        if wrong:
            raise BadRequest("A panel cannot be chosen on these sections.", *wrong[:5])
        return infos
    usable = [i for i in atlas.sections() if not _why_not(atlas, i, key, source.species)]
    groups: dict[tuple[str, str], list[SectionInfo]] = {}
    for info in usable:
        groups.setdefault((info.dataset, info.technology), []).append(info)
    ranked = sorted(groups.values(), key=lambda g: -_worth(atlas, g, key))
    if not ranked or _worth(atlas, ranked[0], key) == 0:
        raise BadRequest(
            f"No data set has expression and {LEAST_LABELLED} cells with {key}.",
            "Name sections, or another label.",
        )
    return ranked[0]


def _why_not(atlas: Atlas, info: SectionInfo, key: LayerKey, species: str) -> str:
    if not info.n_genes:
        return "no expression"
    if key not in atlas.layers(info.id):
        return f"no {key}"
    if species and info.species.casefold() != species.casefold():
        return f"species is {info.species}, not {species}"
    return ""


def _worth(atlas: Atlas, infos: Sequence[SectionInfo], key: LayerKey) -> int:
    """Return the genes that all sections measured; none without enough labelled cells."""
    codes = atlas.label(key.name).codes
    labelled = sum(int((np.asarray(codes[i.rows]) >= 0).sum()) for i in infos)
    return len(_shared_genes(atlas, infos)) if labelled >= LEAST_LABELLED else 0


def _shared_genes(atlas: Atlas, infos: Sequence[SectionInfo]) -> NDArray[np.int32]:
    shared: NDArray[np.int32] | None = None
    for info in infos:
        expression = atlas.expression(info.id)
        own = np.empty(0, np.int32) if expression is None else expression.genes
        shared = own if shared is None else np.intersect1d(shared, own)
    return np.empty(0, np.int32) if shared is None else shared


def _labels(atlas: Atlas, infos: Sequence[SectionInfo], key: LayerKey, also: str) -> Labels:
    """Return the label to tell apart and another one to score, where the sections have it."""
    wanted = label_key(atlas, also).name if also else "region"
    have = all(LayerKey("label", wanted) in atlas.layers(i.id) for i in infos)
    if also and not have:
        raise BadRequest(f"Not all these sections have label:{wanted}.", "Leave out --also.")
    others = (wanted,) if have and wanted != key.name else ()
    return Labels(key.name, others, PLACES & {key.name, *others})


def candidate_genes(
    atlas: Atlas, infos: Sequence[SectionInfo], source: Source, params: PanelParams
) -> NDArray[np.int64]:
    """Return the genes that may be chosen: measured in all sections, with an embedding.

    Raises
    ------
    UnknownGene, BadRequest
    """
    embedding = atlas.genes.embedding
    assert embedding is not None
    genes = np.asarray(_shared_genes(atlas, infos), np.int64)
    genes = genes[np.any(embedding[genes], axis=1)]
    if source.candidates:
        genes = np.intersect1d(genes, [atlas.genes.index(g) for g in source.candidates])
    if source.panel_of:
        other = atlas.expression(source.panel_of)
        genes = np.intersect1d(genes, [] if other is None else other.genes)
    genes = np.setdiff1d(genes, [atlas.genes.index(g) for g in params.exclude])
    if len(genes) < 2:
        raise BadRequest(
            f"{len(genes)} genes can be chosen from in these sections.",
            "Name sections with a shared panel, or fewer restrictions.",
        )
    return np.asarray(genes, np.int64)


def _sample(atlas: Atlas, info: SectionInfo, genes: NDArray[np.int64], labels: Labels) -> Sample:
    expression = atlas.expression(info.id)
    assert expression is not None
    columns = np.searchsorted(expression.genes, genes)
    codes = {
        name: np.asarray(atlas.label(name).codes[info.rows])
        for name in (labels.main, *labels.others)
    }
    counts = csr_matrix(expression.matrix()[:, columns])
    return Sample(info.id, np.asarray(atlas.xy[info.rows]), counts, codes)


def _cut(
    atlas: Atlas, genes: NDArray[np.int64], samples: list[Sample], params: PanelParams
) -> tuple[NDArray[np.int64], list[Sample]]:
    """Return at most ``MOST_CANDIDATES`` candidates, forced ones among them."""
    if len(genes) <= MOST_CANDIDATES:
        return genes, samples
    worth = excess_variance(samples)
    worth[np.isin(genes, [atlas.genes.index(g) for g in params.include])] = np.inf
    kept = np.sort(np.argsort(-worth, kind="stable")[:MOST_CANDIDATES])
    return genes[kept], [replace(s, counts=csr_matrix(s.counts[:, kept])) for s in samples]


def _described(
    atlas: Atlas,
    found: dict[str, Any],
    infos: Sequence[SectionInfo],
    key: LayerKey,
    labels: Labels,
) -> dict[str, Any]:
    """Return a panel with names for codes, trust of genes, and where it comes from."""
    names = [c.name for c in atlas.label(key.name).categories]
    hubs = {m["module"]: m["hubs"] for m in found["modules"]}
    trust = atlas.genes.trust
    for row in found["genes"]:
        place = atlas.genes.index(row["gene"])
        r = float("nan") if trust is None else float(trust[place, 0])
        row["held_out_r"] = r if np.isfinite(r) else None
        row["highest_in"] = names[row["highest_in"]]
        row["why"] = _why(row, hubs[row["module"]])
    return {
        "label": str(key),
        "also": [f"label:{name}" for name in labels.others],
        "places": sorted(labels.places),
        "sections": [{"id": i.id, "title": i.title, "n_cells": i.n_cells} for i in infos],
        "n_cells": sum(i.n_cells for i in infos),
        **found,
    }


def _why(row: Mapping[str, Any], hubs: Sequence[str]) -> str:
    """Return in one sentence why a gene is in the panel."""
    if row["forced"]:
        return "Asked for."
    text = f"Highest in {row['highest_in']}; {100 * row['share']:.0f} % of its variance lies "
    text += f"between classes; module of {', '.join(hubs)}"
    if row["nearest"] is not None:
        text += f"; nearest chosen gene {row['nearest']} (cosine {row['similarity']:.2f})"
    return text + "."


def write_panel(found: Mapping[str, Any], csv_path: Path, json_path: Path | None = None) -> None:
    """Write the table of genes, and all of it for programs; beside and renamed."""
    hubs = {m["module"]: " ".join(m["hubs"]) for m in found["modules"]}
    with beside(csv_path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        for line in _header(found):
            file.write(f"# {line}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_line(row, hubs) for row in found["genes"])
    if json_path is not None:
        with beside(json_path) as draft:
            draft.write_text(json.dumps(found), encoding="utf-8")


def _header(found: Mapping[str, Any]) -> list[str]:
    ids = [s["id"] for s in found["sections"]]
    p = found["params"]
    return [
        f"panel of {len(found['genes'])} genes for {found['label']}, way {p['way']}, "
        f"seed {p['seed']}; {found['n_candidates']} candidates in {' '.join(ids)}",
        *(v["text"] for v in found["verdicts"]),
        f"held out: {found['held_out']}; the gene embedding saw expression of all, labels of none",
    ]


def _line(row: Mapping[str, Any], hubs: Mapping[int, str]) -> list[Any]:
    return [
        safe_text(row["gene"]), row["rank"], row["module"], safe_text(hubs[row["module"]]),
        safe_text(row["highest_in"]), f"{row['share']:.3f}", f"{row['detection']:.4f}",
        safe_text(row["nearest"] or ""),
        "" if row["similarity"] is None else f"{row['similarity']:.3f}",
        "" if row["held_out_r"] is None else f"{row['held_out_r']:.3f}",
        int(row["forced"]), safe_text(row["why"]),
    ]  # fmt: skip
