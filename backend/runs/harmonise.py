"""Harmonise the labels of an atlas: every data set's names predicted on every other's cells."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.data import Label, SectionData
from backend.core.errors import AtlasError, BadRequest, UnknownLayer, did_you_mean
from backend.core.job import RunContext
from backend.models.common.checkpoint import load_checkpoint
from backend.models.fusemap.card import CARD
from backend.models.fusemap.harmonise import Overlap, harmonised, matches, overlap
from backend.models.fusemap.model import Model, from_checkpoint
from backend.models.fusemap.tasks import AnnotateParams, annotate
from backend.runs.sections import use_one_thread
from backend.runs.tables import beside, safe_text
from backend.store.atlas import Atlas

#: Cells of a section that the names are predicted on, at most.
MOST_CELLS = 4_000
COLUMNS = ("label", "dataset", "class", "cells", "harmonised", "relation", "score")


def harmonise_atlas(
    atlas_path: Path | str,
    checkpoint: Path | str,
    labels: Sequence[str] = (),
    ctx: RunContext | None = None,
) -> dict[str, Any]:
    """Return how the vocabularies of the data sets of an atlas correspond.

    Parameters
    ----------
    atlas_path, checkpoint : Path
    labels : sequence of str
        All labels that two data sets have where empty.
    ctx : RunContext, optional

    Returns
    -------
    dict
        ``labels``: per label ``datasets``, ``overlaps`` (of, by, rows, columns, share, counts),
        ``matches`` and ``harmonised`` classes; ``passed_over`` (pairs with why).

    Raises
    ------
    BadStore, BadCheckpoint, UnknownLayer, BadRequest, Cancelled
    """
    ctx = ctx or RunContext()
    use_one_thread()
    atlas = Atlas.open(atlas_path)
    model = from_checkpoint(load_checkpoint(Path(checkpoint), CARD.name))
    known = _vocabularies(model)
    for label in labels:
        if label not in known:
            hint = did_you_mean(label, list(known))
            raise UnknownLayer(f"The checkpoint has no label '{label}'.", *filter(None, [hint]))
    wanted = comparable(known, labels or list(known))
    out: dict[str, Any] = {"labels": {}, "passed_over": []}
    for i, label in enumerate(wanted):
        part = ctx.part(i / len(wanted), (i + 1) / len(wanted))
        out["labels"][label] = _label(atlas, model, label, known[label], out["passed_over"], part)
    ctx.report(1.0, "Harmonised")
    return out


def _vocabularies(model: Model) -> dict[str, dict[str, str]]:
    """Label to data set to the taxonomy that speaks for it, its own one where there is one."""
    out: dict[str, dict[str, str]] = {}
    for head in model.heads:
        for name in head.taxonomy.split(" + "):
            own = out.setdefault(head.label, {})
            if name not in own or head.taxonomy == name:
                own[name] = head.taxonomy
    return out


def comparable(known: Mapping[str, Mapping[str, str]], labels: Sequence[str]) -> list[str]:
    """Return the labels that two data sets name in different words; refuse where there is none."""
    shared = [x for x in labels if len(known[x]) > 1]
    wanted = [x for x in shared if len(set(known[x].values())) > 1]
    if wanted:
        return wanted
    if shared:
        raise BadRequest(
            f"All data sets use the same names of {', '.join(shared)}: nothing to harmonise.",
            "Harmonising is for atlases whose data sets were labelled by different people.",
        )
    raise BadRequest(
        "No label has the vocabularies of two data sets.",
        "Train on an atlas with two labelled data sets that have expression.",
    )


def _label(
    atlas: Atlas,
    model: Model,
    label: str,
    taxonomies: Mapping[str, str],
    passed_over: list[dict[str, str]],
    ctx: RunContext,
) -> dict[str, Any]:
    """One label: all pairs of data sets."""
    sections = _cells(atlas, model, label, ctx)
    found: dict[tuple[str, str], Overlap] = {}
    pairs = [
        (of, by)
        for of, by in permutations(taxonomies, 2)
        if of in sections and taxonomies[of] != taxonomies[by]
    ]
    for k, (of, by) in enumerate(pairs):
        ctx.step(0.2 + 0.8 * k / len(pairs), f"Naming {label} of {of} as {by} does")
        try:
            found[of, by] = _named(sections[of], of, by, label, taxonomies[by], model)
        except AtlasError as problem:
            passed_over.append({"label": label, "of": of, "by": by, "why": problem.message})
    listed = [m for pair, o in found.items() for m in matches(o, found.get(pair[::-1]))]
    return {
        "datasets": sorted({d for pair in found for d in pair}),
        "overlaps": [_overlap_json(o) for o in found.values()],
        "matches": [asdict(m) for m in listed],
        "harmonised": [asdict(m) for m in harmonised(listed)],
    }


def _cells(atlas: Atlas, model: Model, label: str, ctx: RunContext) -> dict[str, list[SectionData]]:
    """Labelled sections with expression by data set, large ones thinned."""
    out: dict[str, list[SectionData]] = {}
    for record in model.sections:
        if record.id not in {s.id for s in atlas.sections()}:
            continue
        ctx.step(0.1, f"Loading {record.id}")
        section = atlas.load(record.id)
        if label in section.labels and (section.labels[label].codes >= 0).any():
            out.setdefault(record.dataset, []).append(_thinned(section, label))
    return out


def _thinned(section: SectionData, label: str) -> SectionData:
    """Return the labelled cells of a section, at most ``MOST_CELLS``, under another id."""
    rows = np.flatnonzero(section.labels[label].codes >= 0)
    if len(rows) > MOST_CELLS:
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:MOST_CELLS])
    own = section.labels[label]
    return replace(
        section,
        id=f"harmonise-{section.id}",
        xy=section.xy[rows],
        counts=csr_matrix(section.counts[rows]),
        names=section.names[rows],
        labels={label: Label(own.codes[rows], own.categories)},
        numbers={},
    )


def _named(
    sections: Sequence[SectionData], of: str, by: str, label: str, taxonomy: str, model: Model
) -> Overlap:
    """Names that the vocabulary of ``by`` gives to cells of ``of``."""
    params = AnnotateParams((label,), {label: taxonomy})
    codes: list[NDArray[np.int64]] = []
    tables: list[NDArray[np.float64]] = []
    names: tuple[str, ...] = ()
    categories: dict[str, int] = {}
    for section in sections:
        result = annotate([section], params, model, RunContext())
        table = next((m for m in result.matrices if m.name == f"probability:{label}"), None)
        if table is None:
            raise BadRequest(result.figures[section.id]["labels"][label]["skipped"])
        names = table.columns
        tables.append(table.values.astype(np.float64))
        own = section.labels[label]
        place = [categories.setdefault(c.name, len(categories)) for c in own.categories]
        codes.append(np.array(place, dtype=np.int64)[own.codes])
    return overlap(
        of, by, (np.concatenate(codes), list(categories)), (np.concatenate(tables), names)
    )


def _overlap_json(o: Overlap) -> dict[str, Any]:
    return {
        "of": o.of,
        "by": o.by,
        "rows": list(o.rows),
        "columns": list(o.columns),
        "share": np.round(o.share, 4).tolist(),
        "counts": o.counts.tolist(),
    }


def write_harmonised(found: Mapping[str, Any], *paths: Path) -> None:
    """Write the harmonised classes: a table where a path ends in .csv, all of it as JSON else."""
    for path in paths:
        with beside(path) as draft:
            if path.suffix == ".csv":
                _write_csv(found, draft)
            else:
                draft.write_text(json.dumps(found) + "\n", encoding="utf-8")


def _write_csv(found: Mapping[str, Any], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for label, entry in found["labels"].items():
            for m in entry["harmonised"]:
                row = (label, m["dataset"], m["name"], m["cells"], m["harmonised"], m["relation"])
                writer.writerow([*(safe_text(str(v)) for v in row), f"{m['score']:.4f}"])
