"""The corpus of the transformer from files: cells of .h5ad files, and tables of transcripts.

A corpus file (YAML) lists ``sources``, each with ``name``, ``file`` and ``meta``; see
``former_corpus.yaml``. A file that ends in .parquet or .csv is a table of transcripts: its cells
are those of ``cell`` or those inside ``polygons``; which genes co-occur in them is found once and
kept beside the checkpoint, so that a training that is stopped does not begin anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from backend.core.data import SectionData
from backend.core.errors import BadFile, Fault
from backend.core.job import RunContext
from backend.intake.mapping import ReadMapping
from backend.intake.read import read_h5ad
from backend.models.spatialformer.transformer.cooccurrence import (
    Transcripts,
    counts_of,
    gene_cooccurrence,
)
from backend.models.spatialformer.transformer.corpus import Source
from backend.runs.tables import beside
from backend.runs.transcripts import read_transcripts

#: Cells on both sides of the cut of a half that nobody trains on, micrometres.
GAP = 75.0


@dataclass(frozen=True, slots=True)
class Field:
    """Transcripts of one source in columns of ``genes``, for the gene prior."""

    genes: tuple[str, ...]
    transcripts: Transcripts


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything that was read: sections, transcripts, and what has to be said of them."""

    sources: tuple[Source, ...]
    fields: tuple[Field, ...]
    notes: tuple[str, ...]
    entries: tuple[Mapping[str, Any], ...]


def read_corpus(
    listing: Path, folder: Path, kept: Path | None, ctx: RunContext, seed: int = 0
) -> Gathered:
    """Return the sections that a corpus file lists.

    Parameters
    ----------
    listing : Path
        YAML.
    folder : Path
        Where its paths begin.
    kept : Path or None
        Folder for co-occurrence that was found, one file per source; made where missing.
    ctx : RunContext
    seed : int
        Of communities.

    Raises
    ------
    BadFile
        With all entries that cannot be used.
    """
    entries = _entries(listing, folder)
    sources: list[Source] = []
    fields: list[Field] = []
    notes: list[str] = []
    for i, entry in enumerate(entries):
        ctx.step(i / len(entries), f"Reading {entry['name']}")
        path = folder / entry["file"]
        if path.suffix == ".h5ad":
            sources += _cells(path, entry)
            continue
        genes, transcripts = read_transcripts(path, folder, entry)
        sources.append(_from_transcripts(genes, transcripts, entry, kept, seed))
        fields.append(Field(genes, transcripts))
        notes.append(f"{entry['name']}: {transcripts.said}")
    return Gathered(tuple(sources), tuple(fields), tuple(notes), tuple(entries))


def source_of(section: SectionData, meta: Mapping[str, str] | None = None) -> Source:
    """Return a section as the transformer learns from it."""
    about = {"species": section.species, "assay": section.technology, **(meta or {})}
    about = {k: v for k, v in about.items() if v}
    return Source(section.title, section.counts, section.genes, section.xy, about)


def _entries(listing: Path, folder: Path) -> list[dict[str, Any]]:
    try:
        entries = yaml.safe_load(listing.read_text())["sources"]
        faults = [f for e in entries for f in _faults(e, folder)]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError, AttributeError):
        wanted = "YAML with 'sources', each with name, file and meta"
        fault = Fault("It is no list of sources.", str(listing.name), wanted, "See the README.")
        raise BadFile(listing.name, [fault]) from None
    if faults:
        raise BadFile(listing.name, faults)
    return list(entries)


def _faults(entry: Mapping[str, Any], folder: Path) -> list[Fault]:
    name = str(entry.get("name", "?"))
    faults = [
        Fault(f"'{key}' is missing.", name, "name and file of every source", "Add it.")
        for key in ("name", "file")
        if not entry.get(key)
    ]
    files = [entry.get("file", ""), *entry.get("polygons", [])]
    faults += [
        Fault(f"'{f}' is not there.", name, f"a file below {folder}", "Correct the path.")
        for f in files
        if f and not (folder / f).is_file()
    ]
    return faults


def _cells(path: Path, entry: Mapping[str, Any]) -> list[Source]:
    mapping = ReadMapping(
        only=frozenset(map(str, entry.get("only", ()))), scale=float(entry.get("scale", 1.0))
    )
    return [_half(source_of(s, entry.get("meta")), entry) for s in read_h5ad(path, mapping)]


def _half(source: Source, entry: Mapping[str, Any]) -> Source:
    """Return the cells of the half that is asked for."""
    if "half" not in entry:
        return source
    rows = half_rows(source.xy, str(entry["half"]))
    return replace(source, counts=source.counts[rows], xy=source.xy[rows])


def half_rows(xy: NDArray[np.float32], half: str) -> NDArray[np.int64]:
    """Return the cells left ("low") or right ("high") of the median x, off it by 75 um."""
    x = xy[:, 0] - np.median(xy[:, 0])
    return np.flatnonzero(x < -GAP if half == "low" else x > GAP)


def _from_transcripts(
    genes: tuple[str, ...],
    transcripts: Transcripts,
    entry: Mapping[str, Any],
    kept: Path | None,
    seed: int,
) -> Source:
    n = int(transcripts.cell.max(initial=-1)) + 1
    together = _kept_together(transcripts, entry, kept, seed)
    return Source(
        str(entry["name"]),
        counts_of(transcripts, n, len(genes)),
        genes,
        _centres(transcripts, n),
        dict(entry.get("meta", {})),
        together,
        np.ones(n, np.bool_),
    )


def _centres(transcripts: Transcripts, n: int) -> NDArray[np.float32]:
    own = transcripts.cell >= 0
    cell, xy = transcripts.cell[own], transcripts.xyz[own, :2]
    count = np.maximum(np.bincount(cell, minlength=n), 1)
    sums = [np.bincount(cell, xy[:, axis], n) / count for axis in (0, 1)]
    return np.stack(sums, axis=1).astype(np.float32)


def _kept_together(
    transcripts: Transcripts, entry: Mapping[str, Any], kept: Path | None, seed: int
) -> NDArray[np.int64]:
    """Return co-occurrence, read where the same was found before."""
    if kept is None:
        return gene_cooccurrence(transcripts, seed)
    asked = json.dumps([entry, seed, len(transcripts.cell)], sort_keys=True, default=str)
    path = kept / f"together-{hashlib.sha256(asked.encode()).hexdigest()[:16]}.npy"
    if path.is_file():
        return np.asarray(np.load(path, allow_pickle=False))
    found = gene_cooccurrence(transcripts, seed)
    kept.mkdir(parents=True, exist_ok=True)
    with beside(path) as draft, draft.open("wb") as file:
        np.save(file, found)
    return found


def prior_fields(
    fields: Sequence[Field], ids_of: Mapping[str, int]
) -> list[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Return places and gene ids of the transcripts of each source."""
    out = []
    for field in fields:
        ids = np.array([ids_of[g.upper()] for g in field.genes], dtype=np.int64)
        out.append((field.transcripts.xyz, ids[field.transcripts.gene]))
    return out
