"""Types of the cells of a file, by a probe of labelled sections of an atlas, as a table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from backend.core.data import SectionData, TaskResult
from backend.core.errors import UnknownLayer
from backend.core.job import RunContext
from backend.models.spatialformer.annotate import annotate
from backend.runs.contacts import label_key
from backend.runs.tables import beside, safe_text
from backend.store.atlas import Atlas


def probe_file(
    atlas_path: Path | str,
    sections: Sequence[str],
    label: str,
    query: SectionData,
    ctx: RunContext,
) -> TaskResult:
    """Return the type of each cell of ``query`` by a probe of labelled sections of an atlas.

    Raises
    ------
    UnknownSection, UnknownLayer, BadRequest, NoSharedGenes, TooFewCells
    """
    atlas = Atlas.open(atlas_path)
    key = label_key(atlas, label)
    train = [atlas.load(name) for name in sections]
    lacking = [s.id for s in train if key.name not in s.labels]
    if lacking:
        raise UnknownLayer(f"Section '{lacking[0]}' has no {key}.", "Choose labelled sections.")
    return annotate(train, [s.labels[key.name] for s in train], query, ctx)


def write_probe(path: Path, query: SectionData, result: TaskResult) -> None:
    """Write one line per cell: name, type, calibrated probability."""
    types, confidence = result.columns
    with beside(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("cell_id", "type", "probability"))
        for name, code, p in zip(query.names, types.values, confidence.values, strict=True):
            writer.writerow(
                [safe_text(str(name)), safe_text(types.categories[code].name), f"{p:.4f}"]
            )
