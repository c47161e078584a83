"""An annotation as the JSON file that MapMyCells writes, streamed cell by cell."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from backend.core.data import SectionData, TaskResult
from backend.models.fusemap.hierarchy import parent_labels
from backend.models.fusemap.model import Model
from backend.runs.levels import PROBABILITY, UNASSIGNED, LabelTable, label_tables, spoken_log
from backend.runs.tables import beside

#: Digits of probabilities.
DIGITS = 4


def write_json(
    path: Path, sections: Sequence[SectionData], result: TaskResult, model: Model
) -> None:
    """Write ``results``, ``config``, ``log``, ``marker_genes`` and ``taxonomy_tree``.

    Per cell and level: ``assignment``, ``probability``, ``aggregate_probability``,
    ``directly_assigned``, ``runner_up_assignment``, ``runner_up_probability`` (lists), and beyond
    MapMyCells ``best_guess``, ``abstained`` and ``novelty``. Written beside and renamed.
    """
    with beside(path) as draft, draft.open("w", encoding="utf-8") as file:
        file.write("{\n")
        for key, value in _head(sections, result, model).items():
            file.write(f"{json.dumps(key)}: {json.dumps(value, default=list)},\n")
        file.write('"results": [')
        for i, line in enumerate(_results(sections, result)):
            file.write(",\n" if i else "\n")
            file.write(json.dumps(line))
        file.write("\n]\n}\n")


def _head(sections: Sequence[SectionData], result: TaskResult, model: Model) -> dict[str, Any]:
    """Return all but the cells."""
    assert result.provenance is not None
    known = {g.upper() for g in model.genes}
    used = sorted({g for s in sections for g in s.genes if g.upper() in known})
    return {
        "config": {**asdict(result.provenance), "probability": PROBABILITY},
        "log": list(spoken_log(result)),
        "marker_genes": {"None": used},
        "taxonomy_tree": _tree(model),
        "figures": dict(result.figures),
    }


def _tree(model: Model) -> dict[str, Any]:
    """Return the classes of every label with those that refine them."""
    parents = parent_labels(model.categories)
    children = {parent: label for label, parent in parents.items() if parent}
    longest: list[str] = []
    for top in (label for label, parent in parents.items() if parent is None):
        chain = [top]
        while chain[-1] in children and len(chain) <= len(parents):
            chain.append(children[chain[-1]])
        longest = max(longest, chain, key=len)
    tree: dict[str, Any] = {"hierarchy": longest}
    for label, categories in model.categories.items():
        finer = model.categories.get(children.get(label, ""), ())
        tree[label] = {c.name: [f.name for f in finer if f.parent == c.name] for c in categories}
    return tree


def _results(sections: Sequence[SectionData], result: TaskResult) -> Iterator[dict[str, Any]]:
    """Yield one entry per cell."""
    for section in sections:
        tables = label_tables(result, section.id)
        for i, cell in enumerate(section.names):
            entry: dict[str, Any] = {"cell_id": str(cell), "section": section.id}
            for table in tables:
                entry[table.label] = _level(table, i)
            yield entry


def _level(table: LabelTable, i: int) -> dict[str, Any]:
    """Return one level of one cell."""
    abstained = bool(table.abstained[i])
    return {
        "assignment": UNASSIGNED if abstained else str(table.best[i]),
        "best_guess": str(table.best[i]),
        "probability": round(float(table.confidence[i]), DIGITS),
        "aggregate_probability": round(float(table.aggregate[i]), DIGITS),
        "directly_assigned": not abstained,
        "abstained": abstained,
        "novelty": round(float(table.novelty[i]), DIGITS),
        "runner_up_assignment": [str(name) for name in table.runner_ups[i]],
        "runner_up_probability": [round(float(p), DIGITS) for p in table.runner_up_probability[i]],
    }
