"""The levels of an annotation in words, cell by cell: what tables and JSON files are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import Column, Matrix, TaskResult
from backend.core.layers import MISSING
from backend.models.fusemap.annotating import LEVEL_COLUMNS
from backend.models.fusemap.hierarchy import grouped

UNASSIGNED = "unassigned"
#: Runner-up classes that are listed.
RUNNER_UPS = 2
#: What the probabilities are, since MapMyCells has others in their place.
PROBABILITY = "calibrated probability of one model, lowered where the cell is novel; no bootstrap"


@dataclass(frozen=True, slots=True)
class LabelTable:
    """One level for the n cells of a section, in words.

    best : (n,) str, the likeliest class;  ids : (n,) str, its id
    abstained : (n,) bool, whether it is not given: unsure, novel, or of a foreign section
    probability : (n,) float32 of the best, were the cell of a known class
    confidence, aggregate, novelty : (n,) float32; ``aggregate`` is the product down the levels
    runner_ups, runner_up_probability : (n, r) str and float32, the next likeliest
    """

    label: str
    best: NDArray[Any]
    ids: NDArray[Any]
    abstained: NDArray[np.bool_]
    probability: NDArray[np.float32]
    confidence: NDArray[np.float32]
    aggregate: NDArray[np.float32]
    novelty: NDArray[np.float32]
    runner_ups: NDArray[Any]
    runner_up_probability: NDArray[np.float32]


def label_tables(result: TaskResult, section: str) -> list[LabelTable]:
    """Return the levels of a section, coarse ones first, with groups of classes above the rest."""
    columns = {(c.layer.kind, c.layer.name): c for c in result.columns if c.section == section}
    matrices = {m.name: m for m in result.matrices if m.section == section}
    out: list[LabelTable] = []
    for (kind, label), column in columns.items():
        if kind != "label":
            continue
        p, levels = matrices[f"probability:{label}"], matrices[f"levels:{label}"]
        about = result.figures[section]["labels"][label]
        if about["refines"] is None:
            out += _group(column, p, levels, float(about["threshold"]), result.figures[section])
        out.append(_table(column, columns["confidence", label].values, p, levels))
    return out


def _table(
    column: Column, confidence: NDArray[np.float32], p: Matrix, levels: Matrix
) -> LabelTable:
    """Put one label in words; the best class is the given one, or else the likeliest."""
    label, names = column.layer.name, np.array(p.columns, dtype=object)
    place = {c.name: i for i, c in enumerate(column.categories)}
    code_of = np.array([place[n] for n in p.columns], dtype=np.int64)
    column_of = np.zeros(len(column.categories) + 1, dtype=np.int64)
    column_of[code_of] = np.arange(len(code_of))
    abstained = column.values == MISSING
    best = np.where(abstained, p.values.argmax(axis=1), column_of[column.values])
    others, chance = _next(p.values, best, names)
    ids = np.array([f"{label}_{c}" for c in code_of], dtype=object)
    return LabelTable(
        label,
        names[best],
        ids[best],
        abstained,
        p.values[np.arange(len(best)), best],
        confidence,
        levels.values[:, LEVEL_COLUMNS.index("aggregate_probability")],
        levels.values[:, LEVEL_COLUMNS.index("novelty")],
        others,
        chance,
    )


def _next(
    p: NDArray[np.float32], best: NDArray[np.int64], names: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Return names and probabilities of the classes after the best, likeliest first."""
    rest = p.copy()
    rest[np.arange(len(p)), best] = -1
    order = np.argsort(-rest, axis=1, kind="stable")[:, : min(RUNNER_UPS, p.shape[1] - 1)]
    return names[order], np.take_along_axis(p, order, axis=1)


def _group(
    column: Column, p: Matrix, levels: Matrix, threshold: float, about: Mapping[str, Any]
) -> list[LabelTable]:
    """Return the level above a label whose classes have parents that are no label of their own."""
    parent_of = {c.name: c.parent for c in column.categories}
    parents = [parent_of[n] for n in p.columns]
    values, names = grouped(p.values.astype(np.float64), parents)
    if len(names) < 2 or any(parent is None for parent in parents):
        return []
    best = values.argmax(axis=1)
    trust = levels.values[:, LEVEL_COLUMNS.index("trust")]
    novel = levels.values[:, LEVEL_COLUMNS.index("novel")] > 0
    confidence = (values.max(axis=1) * trust).astype(np.float32)
    label = f"{column.layer.name}_group"
    words = np.array(names, dtype=object)
    others, chance = _next(values.astype(np.float32), best, words)
    return [
        LabelTable(
            label,
            words[best],
            np.array([f"{label}_{i}" for i in range(len(names))], dtype=object)[best],
            (confidence < threshold) | novel | bool(about["foreign"]),
            values.max(axis=1).astype(np.float32),
            confidence,
            confidence,
            levels.values[:, LEVEL_COLUMNS.index("novelty")],
            others,
            chance,
        )
    ]


def spoken_log(result: TaskResult) -> Iterator[str]:
    """Yield what there is to know of every section and level, a line each."""
    for section, figures in result.figures.items():
        if figures["foreign"]:
            yield (
                f"{section}: its genes do not go together as in this atlas (r of gene pairs "
                f"{figures['pair_agreement']:.2f}), so it is of another tissue and no cell is "
                "assigned"
            )
        for label, about in figures["labels"].items():
            said = about.get("skipped") or _said(about)
            yield f"{section} {label}: reference {about['taxonomy']}; {said}"


def _said(about: Mapping[str, Any]) -> str:
    """Say which method gave a label, and how far it was right on held-out cells."""
    held = about["held_out"]
    return (
        f"threshold {about['threshold']:.3f}, {about['unassigned']:.1%} unassigned; on "
        f"{about['calibrated_on']} {held['error']:.1%} of the kept labels were wrong; by "
        f"{about['method']} ({about['why']}), accuracy there {held['accuracy']:.3f}{_plain(held)}; "
        f"calibration error {held['ece']:.3f}, by chance {held['ece_by_chance']:.3f}"
    )


def _plain(held: Mapping[str, Any]) -> str:
    """Say what the other methods reached on the same cells."""
    return "".join(f", {name} {b['accuracy']:.3f}" for name, b in held["baselines"].items())
