"""Writing an atlas, section by section, into a staging folder that is renamed when whole."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backend.core.data import Label, Provenance, SectionData, SectionInfo
from backend.core.errors import BadRequest, StoreExists
from backend.core.layers import MISSING, LayerKey
from backend.store import flat, room, schema
from backend.store.expression import write_expression
from backend.store.finish import EMBEDDED, finish_atlas
from backend.store.genes import gene_tables
from backend.store.measure import cell_radius, span_of
from backend.store.morton import sort_cells, take_rows
from backend.store.place import local
from backend.store.plan import one_species, plan_of, records_of
from backend.store.result import write_result
from backend.store.section import categories_to_json, provenance_to_json, section_to_json
from backend.store.slots import PlannedSection, plan_slots
from backend.store.staging import Staging

__all__ = ["AtlasWriter", "PlannedSection", "plan_of", "write_atlas", "write_result"]


class AtlasWriter:
    """Writes sections in any order, also from several processes that share the folder.

    A section is recorded as done after all of it is written; a writer made again with the same
    arguments goes on where the last one stopped, at whatever moment that was killed. One section
    lies in memory at a time, and nothing of it is made dense.

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
    scale : mapping of "cell" and "niche" to (d,) float32, optional
        Of the embeddings that are given with the sections.
    gene_embedding : ((G, d) embedding, (G,) offset, (G, 3) trust), optional
    checkpoint : str
        Name of the checkpoint that made the embeddings.
    embedded_by : Provenance, optional
        Where the embeddings come from.
    expression_bytes : int
        Estimate for all sections, about 1.5 per value above zero, to refuse what will not fit.
    at_once : int
        Sections that will be written side by side.
    anew : bool
        Replace a half-built atlas of another plan, rather than refuse.

    Raises
    ------
    StoreExists
        If there is an atlas at ``path``, or half of one of another plan.
    BadRequest
        If sections are of several species, ids are not unique, or tables do not fit.
    TooLarge
        If there is not enough disk or memory.
    """

    def __init__(
        self,
        path: Path | str,
        name: str,
        simulated: bool,
        genes: tuple[Sequence[str], Sequence[str]],
        plan: Sequence[PlannedSection],
        provenance: dict[str, Any] | None = None,
        *,
        scale: Mapping[str, ArrayLike] | None = None,
        gene_embedding: tuple[ArrayLike, ArrayLike, ArrayLike] | None = None,
        checkpoint: str = "",
        embedded_by: Provenance | None = None,
        expression_bytes: int = 0,
        at_once: int = 1,
        anew: bool = False,
    ) -> None:
        self.path = local(path, "Writing an atlas")
        if self.path.exists():
            raise StoreExists(f"{self.path} exists.", "Choose another name, or remove it first.")
        one_species(plan)
        slots = plan_slots(plan)
        self.infos = records_of(plan, slots)
        self.attributes: dict[str, Any] = {
            "format": schema.FORMAT,
            "format_version": schema.FORMAT_VERSION,
            "name": name,
            "version": 1,
            "simulated": simulated,
            "world_um": slots.world_um,
            "grid_level": slots.grid_level,
            "provenance": provenance or {},
        }
        self.scale = {k: np.asarray(v, np.float32) for k, v in (scale or {}).items()}
        if self.scale:
            self.attributes[EMBEDDED] = {
                "scale": {k: [float(x) for x in v] for k, v in self.scale.items()},
                "checkpoint": checkpoint,
                "provenance": provenance_to_json(embedded_by),
            }
        self._genes = {symbol.casefold(): i for i, symbol in enumerate(genes[0])}
        tables = gene_tables(len(genes[0]), *gene_embedding) if gene_embedding else {}
        self._staging = Staging(self.path, self.infos)
        width = sum(len(v) for v in self.scale.values())
        need = room.estimate(plan, width, expression_bytes, at_once)
        self._prepare(genes, tables, need, anew)

    @property
    def staging(self) -> Path:
        """The folder that is filled, beside the atlas to be."""
        return self._staging.folder

    @property
    def pending(self) -> tuple[str, ...]:
        """Ids of the sections that are not yet written, in storage order."""
        return tuple(name for name in self.infos if not self._staging.is_done(name))

    def add(
        self,
        data: SectionData,
        embedding: tuple[NDArray[np.int8], NDArray[np.int8] | None] | None = None,
    ) -> None:
        """Write one section.

        Parameters
        ----------
        data : SectionData
        embedding : ((n, d) int8 cell, (n, d) int8 niche or None), optional
            Rows as in ``data``; scaled as told to the writer.

        Raises
        ------
        BadRequest
            If it was not planned, or differs from its plan, or its embedding is of another
            dimension than the others.
        """
        info = self._planned(data)
        given = self._embeddings(data, embedding)
        codes, order = sort_cells(data.xy, info.origin, info.side)
        self._staging.fill(schema.MORTON, info, codes)
        self._staging.fill(schema.XY, info, take_rows(data.xy, order))
        for name, values in given.items():
            self._staging.fill(schema.embedding_array(name), info, take_rows(values, order))
        labels = {n: self._add_label(n, label, info, order) for n, label in data.labels.items()}
        spans = {str(k): self._add_number(k, v, info, order) for k, v in data.numbers.items()}
        self._staging.keep_names(info, [str(name) for name in data.names[order]])
        if len(data.genes):
            self._add_expression(data, info, order)
        record = {
            "labels": labels,
            "spans": spans,
            "units": {str(k): unit for k, unit in data.number_units.items()},
            "n_genes": len(data.genes),
            "unit": data.unit if len(data.genes) else "none",
            "radius": cell_radius(data.xy),
            "embedded": list(given),
        }
        self._staging.keep_done(info, record)

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
        return self._staging.rename()

    def _prepare(
        self,
        genes: tuple[Sequence[str], Sequence[str]],
        tables: Mapping[str, NDArray[np.float32]],
        need: room.Need,
        anew: bool,
    ) -> None:
        """Make the arrays of the staging folder, or keep those of a writer of the same plan."""
        sections = [section_to_json(info) for info in self.infos.values()]
        plan = [{"attributes": self.attributes, "sections": sections}, *map(list, genes)]
        if not self._staging.begin(plan, tables, need, anew):
            return
        self._staging.create(schema.MORTON, np.uint32)
        self._staging.create(schema.XY, np.float32, 2)
        for name, scale in self.scale.items():
            self._staging.create(schema.embedding_array(name), np.int8, len(scale))
        attributes = {"symbol": list(genes[0]), "ensembl": list(genes[1])}
        flat.write_group(self.staging / schema.GENES, attributes)
        for logical, table in tables.items():
            flat.write(self.staging / logical, table)
        self._staging.begun()

    def _embeddings(
        self,
        data: SectionData,
        embedding: tuple[NDArray[np.int8], NDArray[np.int8] | None] | None,
    ) -> dict[str, NDArray[np.int8]]:
        """Return the embeddings of a section by name, checked."""
        cell, niche = embedding or (None, None)
        given = {k: v for k, v in (("cell", cell), ("niche", niche)) if v is not None}
        for name, values in given.items():
            expected = (data.n_cells, len(self.scale.get(name, ())))
            if values.shape != expected or values.dtype != np.int8:
                raise BadRequest(
                    f"The {name} embedding of section '{data.id}' is {values.dtype} "
                    f"{values.shape}; this atlas has int8 {expected}.",
                    "Embed all sections by one checkpoint, and tell the writer its scale.",
                )
        return given

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

    def _add_label(
        self, name: str, label: Label, info: SectionInfo, order: NDArray[np.uint32]
    ) -> list[dict[str, str | None]]:
        """Write codes as they are in the section; they are joined when the atlas is finished."""
        logical = schema.label_array(name)
        self._staging.ensure(logical, np.int16, MISSING)
        self._staging.fill(logical, info, label.codes[order])
        return categories_to_json(label.categories)

    def _add_number(
        self,
        key: LayerKey,
        values: NDArray[np.float32],
        info: SectionInfo,
        order: NDArray[np.uint32],
    ) -> list[float]:
        logical = schema.number_array(key)
        self._staging.ensure(logical, np.float16, np.nan)
        self._staging.fill(logical, info, values[order].astype(np.float16))
        return list(span_of(values))

    def _add_expression(
        self, data: SectionData, info: SectionInfo, order: NDArray[np.uint32]
    ) -> None:
        unknown = [gene for gene in data.genes if gene.casefold() not in self._genes]
        if unknown:
            raise BadRequest(
                f"Section '{data.id}' has {len(unknown)} genes that were not planned, "
                f"such as {unknown[0]}.",
                "Plan the genes of all sections together.",
            )
        places = np.array([self._genes[gene.casefold()] for gene in data.genes], np.int32)
        folder = self.staging / schema.expression_group(info.id)
        shutil.rmtree(folder, ignore_errors=True)
        write_expression(folder, data.counts.tocsr(), places, data.unit, order)


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
    stored = sum(int(data.counts.nnz) for data in sections)
    writer = AtlasWriter(
        path,
        name,
        simulated,
        (symbols, ids),
        planned,
        made_from,
        expression_bytes=stored * 3 // 2,
        anew=True,  # the sections are at hand: beginning anew costs nothing
    )
    for data in sections:
        writer.add(data)
    return writer.finish()
