"""Enhanced sections as an atlas of their own: subspots, their spots, and shared counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from backend.core.data import AS_MEASURED, Column, Label, SectionData, TaskResult, units_of
from backend.models.soscope.returned import sparse_of, subspot_id
from backend.runs.enhance_files import matrix_of
from backend.store.atlas import Atlas
from backend.store.write import AtlasWriter, plan_of, write_result


def write_enhanced_atlas(
    path: Path, sections: Sequence[SectionData], result: TaskResult
) -> dict[str, dict[str, int]]:
    """Write an atlas in which every gene can be clicked before and after.

    Parameters
    ----------
    path : Path
        Must not exist.
    sections : sequence of SectionData
        The spots.
    result : TaskResult
        Of ``enhance``.

    Returns
    -------
    mapping of section id to {"rate", "spots", "split"} to int
        Place of each section among those of the atlas: subspots with expected expression, the
        spots as measured, and subspots with counts shared out.
    """
    parts: dict[str, dict[str, SectionData]] = {}
    for section in sections:
        fine = next(s for s in result.sections if s.id == subspot_id(section.id))
        parts[section.id] = {
            "rate": _labelled(per_spot_area(fine, section.n_cells), fine.id, result),
            "spots": _labelled(_panel(section, fine.genes), section.id, result),
            "split": _split(fine, result),
        }
    whole = [(parent, one) for parent, group in parts.items() for one in group.values()]
    plan = [
        plan_of(one, parent="" if one.id == parent else parent, notes=_notes(one, parent))
        for parent, one in whole
    ]
    provenance = asdict(result.provenance) if result.provenance else {}
    genes = whole[0][1].genes
    title = sections[0].title
    writer = AtlasWriter(path, title, False, (genes, [""] * len(genes)), plan, provenance)
    for _, one in whole:
        writer.add(one)
    writer.finish()
    _record_source(path, result)
    order = {info.id: k for k, info in enumerate(Atlas.open(path).sections())}
    return {
        parent: {name: order[one.id] for name, one in group.items()}
        for parent, group in parts.items()
    }


def _panel(section: SectionData, genes: tuple[str, ...]) -> SectionData:
    """Return the spots with the genes that were enhanced, those of one matrix."""
    place = {name: i for i, name in enumerate(section.genes)}
    kept = [name for name in genes if name in place]
    counts = section.counts[:, [place[name] for name in kept]]
    return replace(section, counts=counts, genes=tuple(kept), modalities=(), embedding=None)


def _labelled(section: SectionData, name: str, result: TaskResult) -> SectionData:
    """Return a section with the columns of the result."""
    own = [c for c in result.columns if c.section == name]
    labels = {c.layer.name: Label(c.values, c.categories) for c in own if c.categories}
    numbers = {c.layer: c.values for c in own if not c.categories}
    given = {n: label for n, label in section.labels.items() if n not in labels}
    return replace(
        section,
        labels={**labels, **given},
        numbers={**section.numbers, **numbers},
        number_units=units_of(own),
    )


def per_spot_area(fine: SectionData, n_spots: int) -> SectionData:
    """Return subspots with expected counts at the scale of a spot, so that colours compare.

    A subspot holds a part of its spot's counts; drawn in one range, it would always look pale.
    """
    counts = fine.counts.copy()
    counts.data = counts.data * np.float32(fine.n_cells / n_spots)
    return replace(fine, counts=counts, unit="expected counts per spot area")


def _split(fine: SectionData, result: TaskResult) -> SectionData:
    """Return the subspots with the counts of their spots shared out."""
    values = matrix_of(result, fine.id, "split").values
    return replace(
        fine,
        id=f"{fine.id}.split",
        title=f"{fine.title}, counts shared out",
        counts=sparse_of(values, 1e-6),
        unit="counts shared out",
        labels={},
    )


def _notes(section: SectionData, parent: str) -> tuple[str, ...]:
    if section.id == parent:
        return (AS_MEASURED,)
    if section.id.endswith(".split"):
        return ("Counts of the spots shared out: sums over the subspots of a spot are measured.",)
    return (
        "Expected expression of subspots, per area of a spot: estimated by a model, not measured.",
    )


def _record_source(path: Path, result: TaskResult) -> None:
    """Write the model's layers once more, in storage order, so that each says where it is from."""
    atlas = Atlas.open(path)
    columns = []
    for column in result.columns:
        rows = atlas.section(column.section).rows
        if column.categories:
            label = atlas.label(column.layer.name)
            values = np.asarray(label.codes[rows])
            columns.append(Column(column.section, column.layer, values, label.categories))
        else:
            values = np.asarray(atlas.number(column.layer).values[rows])
            columns.append(Column(column.section, column.layer, values, unit=column.unit))
    write_result(path, TaskResult(tuple(columns), provenance=result.provenance))
