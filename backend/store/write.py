"""Writing an atlas, section by section, into a staging folder that is renamed when whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import Label, Provenance, SectionData, SectionInfo
from backend.core.errors import BadRequest, StoreExists
from backend.core.geometry import Bounds
from backend.core.layers import MISSING, LayerKey
from backend.store import flat, schema
from backend.store.expression import write_expression
from backend.store.finish import finish_atlas
from backend.store.measure import cell_radius, span_of
from backend.store.morton import encode, quantise
from backend.store.result import write_result
from backend.store.section import categories_to_json, section_to_json
from backend.store.slots import PlannedSection, SlotPlan, plan_slots, storage_order

__all__ = ["AtlasWriter", "PlannedSection", "write_atlas", "write_result"]


class AtlasWriter:
    """Writes sections in any order, also from several processes that share the folder.

    A section is recorded as done after all of it is written; a writer made again with the same
    arguments goes on where the last one stopped.

    Parameters
    ----------
    path : Path
        The atlas to be; must not exist.
    name : str
    simulated : bool
    genes : (symbols, Ensembl ids)
        All genes of the atlas; those of a section are matched by symbol, ignoring case.
    plan : sequence of PlannedSection
    provenance : mapping, optional
        What the atlas was made from, kept in its attributes.
    """

    def __init__(
        self,
        path: Path | str,
        name: str,
        simulated: bool,
        genes: tuple[Sequence[str], Sequence[str]],
        plan: Sequence[PlannedSection],
        provenance: dict[str, Any] | None = None,
    ) -> None:
        self.path = Path(path)
        if self.path.exists():
            raise StoreExists(f"{self.path} exists.", "Choose another name, or remove it first.")
        slots = plan_slots(plan)
        self.infos = _records(plan, slots)
        self.attributes = {
            "format": schema.FORMAT,
            "format_version": schema.FORMAT_VERSION,
            "name": name,
            "version": 1,
            "simulated": simulated,
            "world_um": slots.world_um,
            "grid_level": slots.grid_level,
            "provenance": provenance or {},
        }
        self._genes = {symbol.casefold(): i for i, symbol in enumerate(genes[0])}
        self.staging = self.path.with_name(self.path.name + ".partial")
        self._prepare(genes)

    @property
    def pending(self) -> tuple[str, ...]:
        """Ids of the sections that are not yet written, in storage order."""
        return tuple(i.id for i in self.infos.values() if not self._done(i.id).exists())

    def add(self, data: SectionData) -> None:
        """Write one section.

        Raises
        ------
        BadRequest
            If it was not planned, or differs from its plan.
        """
        info = self._planned(data)
        steps = quantise(data.xy, info.origin, info.side)
        codes = encode(steps[:, 0], steps[:, 1])
        order = np.argsort(codes, kind="stable")
        self._fill(schema.MORTON, info, codes[order])
        self._fill(schema.XY, info, data.xy[order])
        labels = {n: self._add_label(n, label, info, order) for n, label in data.labels.items()}
        spans = {str(k): self._add_number(k, v, info, order) for k, v in data.numbers.items()}
        self._add_names(info, [str(name) for name in data.names[order]])
        if len(data.genes):
            self._add_expression(data, info, order)
        record = {
            "labels": labels,
            "spans": spans,
            "n_genes": len(data.genes),
            "unit": data.unit if len(data.genes) else "none",
            "radius": cell_radius(data.xy),
        }
        flat.write_json(self._done(info.id), record)

    def finish(self) -> Path:
        """Join the sections, build the pyramid, and rename the folder to its final name.

        Raises
        ------
        BadRequest
            If sections are missing.
        """
        if self.pending:
            raise BadRequest(
                f"{len(self.pending)} sections are not written: {', '.join(self.pending[:3])}.",
                "Add them, then finish.",
            )
        finish_atlas(self.staging, self.attributes, tuple(self.infos.values()))
        os.replace(self.staging, self.path)
        shutil.rmtree(self.path / ".build")
        return self.path

    def _prepare(self, genes: tuple[Sequence[str], Sequence[str]]) -> None:
        """Make the staging folder, or keep the one that a writer of the same plan left."""
        sections = [section_to_json(info) for info in self.infos.values()]
        plan = {"attributes": self.attributes, "sections": sections}
        text = json.dumps([plan, list(genes[0]), list(genes[1])], sort_keys=True)
        mark = self.staging / ".build" / hashlib.sha256(text.encode()).hexdigest()
        if mark.exists():
            return
        shutil.rmtree(self.staging, ignore_errors=True)
        n = sum(info.n_cells for info in self.infos.values())
        flat.create(self.staging / schema.MORTON, (n,), np.uint32)
        flat.create(self.staging / schema.XY, (n, 2), np.float32)
        attributes = {"symbol": list(genes[0]), "ensembl": list(genes[1])}
        flat.write_group(self.staging / schema.GENES, attributes)
        for folder in ("done", "names"):
            (self.staging / ".build" / folder).mkdir(parents=True, exist_ok=True)
        mark.touch()

    def _planned(self, data: SectionData) -> SectionInfo:
        info = self.infos.get(data.id)
        if info is None:
            raise BadRequest(f"Section '{data.id}' was not planned.", "Add it to the plan.")
        if info.n_cells != data.n_cells:
            raise BadRequest(
                f"Section '{data.id}' has {data.n_cells} cells, planned were {info.n_cells}.",
                "Plan it again: the file has changed.",
            )
        return info

    def _fill(self, logical: str, info: SectionInfo, values: NDArray[Any]) -> None:
        flat.writable(self.staging / logical)[info.rows] = values

    def _ensure(self, logical: str, dtype: type, fill: float) -> None:
        """Create an array of all cells once, even if several processes ask for it."""
        folder = self.staging / logical
        if folder.exists():
            return
        draft = self.staging / ".build" / uuid.uuid4().hex
        flat.create(draft, (sum(i.n_cells for i in self.infos.values()),), dtype, fill=fill)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(draft, folder)
        except OSError:
            shutil.rmtree(draft)  # another process was first
            if not folder.exists():
                raise

    def _add_label(
        self, name: str, label: Label, info: SectionInfo, order: NDArray[np.int64]
    ) -> list[dict[str, str | None]]:
        """Write codes as they are in the section; they are joined when the atlas is finished."""
        logical = schema.label_array(name)
        self._ensure(logical, np.int16, MISSING)
        self._fill(logical, info, label.codes[order])
        return categories_to_json(label.categories)

    def _add_number(
        self,
        key: LayerKey,
        values: NDArray[np.float32],
        info: SectionInfo,
        order: NDArray[np.int64],
    ) -> list[float]:
        logical = schema.number_array(key)
        self._ensure(logical, np.float16, np.nan)
        self._fill(logical, info, values[order].astype(np.float16))
        return list(span_of(values))

    def _add_names(self, info: SectionInfo, names: list[str]) -> None:
        encoded = [name.encode() for name in names]
        folder = self.staging / ".build" / "names"
        (folder / f"{info.id}.bin").write_bytes(b"".join(encoded))
        np.save(folder / f"{info.id}.npy", np.array([len(e) for e in encoded], np.int64))

    def _add_expression(
        self, data: SectionData, info: SectionInfo, order: NDArray[np.int64]
    ) -> None:
        unknown = [gene for gene in data.genes if gene.casefold() not in self._genes]
        if unknown:
            raise BadRequest(
                f"Section '{data.id}' has {len(unknown)} genes that were not planned, "
                f"such as {unknown[0]}.",
                "Plan the genes of all sections together.",
            )
        places = np.array([self._genes[gene.casefold()] for gene in data.genes], np.int32)
        columns = np.argsort(places)
        folder = self.staging / schema.expression_group(info.id)
        shutil.rmtree(folder, ignore_errors=True)
        write_expression(folder, data.counts[order][:, columns], places[columns], data.unit)

    def _done(self, section: str) -> Path:
        return self.staging / ".build" / "done" / f"{section}.json"


def write_atlas(
    path: Path | str,
    name: str,
    sections: Sequence[SectionData],
    *,
    simulated: bool = False,
    plan: Sequence[PlannedSection] | None = None,
    ensembl: dict[str, str] | None = None,
    provenance: Provenance | None = None,
) -> Path:
    """Write sections that are in memory as an atlas of their own.

    Parameters
    ----------
    plan : sequence of PlannedSection, optional
        Where a section needs more on record than ``SectionData`` holds, such as its parent.
    ensembl : mapping of symbol to Ensembl id, optional
    """
    symbols = sorted({gene for data in sections for gene in data.genes})
    ids = [(ensembl or {}).get(symbol, "") for symbol in symbols]
    made_from = asdict(provenance) if provenance else {}
    planned = plan or [plan_of(data, simulated) for data in sections]
    writer = AtlasWriter(path, name, simulated, (symbols, ids), planned, made_from)
    for data in sections:
        writer.add(data)
    return writer.finish()


def plan_of(data: SectionData, simulated: bool = False, **more: Any) -> PlannedSection:
    """Return the plan of a section in memory; ``more`` are further fields of the plan."""
    left, top = (float(v) for v in data.xy.min(axis=0))
    right, bottom = (float(v) for v in data.xy.max(axis=0))
    fields = {
        "title": data.title,
        "dataset": data.dataset,
        "technology": data.technology,
        "species": data.species,
        "xy_unit": data.xy_unit,
        "simulated": simulated,
    }
    extent = Bounds(left, top, right, bottom)
    return PlannedSection(id=data.id, n_cells=data.n_cells, extent=extent, **{**fields, **more})


def _records(plan: Sequence[PlannedSection], slots: SlotPlan) -> dict[str, SectionInfo]:
    """Return the sections in storage order with their slots and first rows."""
    order = storage_order(slots.slots)
    firsts = [0, *accumulate(plan[i].n_cells for i in order)]
    infos = {}
    for first, i in zip(firsts, order, strict=False):
        fields = {name: getattr(plan[i], name) for name in PlannedSection.__dataclass_fields__}
        infos[plan[i].id] = SectionInfo(
            **fields,
            first=first,
            slot=slots.slots[i],
            origin=slots.origin(i, plan[i].extent),
            side=slots.side(i),
            radius=0.0,
            n_genes=0,
        )
    return infos
