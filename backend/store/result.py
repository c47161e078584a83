"""Writing what a model computed into an atlas: whole or not at all.

New arrays go into new folders. They become visible when the root attributes, which name the folder
of every array, are replaced in one rename; the folders they replace are removed one write later,
so that a reader of the version before is not disturbed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backend.core.data import Column, Provenance, TaskResult
from backend.core.errors import BadRequest
from backend.core.layers import MISSING, LayerKey
from backend.store import flat, overview, room, schema
from backend.store.atlas import Atlas
from backend.store.finish import join_categories, recode, title_of
from backend.store.genes import gene_tables
from backend.store.measure import span_of
from backend.store.morton import sort_cells
from backend.store.place import local
from backend.store.section import categories_to_json, provenance_to_json
from backend.store.space import SpaceResult, write_space

#: Rows copied at a time.
_BLOCK = 1 << 20


def write_result(
    path: Path | str,
    result: TaskResult,
    *,
    embeddings: Mapping[str, tuple[Any, NDArray[np.float32]]] | None = None,
    genes: tuple[ArrayLike, ArrayLike, ArrayLike] | None = None,
    layouts: Mapping[str, NDArray[np.float32]] | None = None,
    space: SpaceResult | None = None,
    checkpoint: str = "",
    embedded: Collection[str] | None = None,
) -> Atlas:
    """Write a result into an atlas and return the atlas of the new version.

    Parameters
    ----------
    path : Path or str
    result : TaskResult
        Columns are written; values are in row order of their section. A layer keeps its values in
        sections that the result does not speak of. Matrices and figures are not stored.
    embeddings : mapping of "cell" or "niche" to ((N, d) int8, (d,) float32 scale)
        For all cells, in storage order.
    genes : ((G, d) embedding, (G,) offset, (G, 3) trust), optional
    layouts : mapping of name to (N, 2) float32, optional
        Another plane of the same cells, such as a UMAP; any unit.
    space : SpaceResult, optional
        Common coordinates of cells.
    checkpoint : str
        Name of the checkpoint that made the embeddings.
    embedded : collection of str, optional
        Sections that were embedded, where not all were; rows of the others are written as zero.

    Raises
    ------
    BadRequest
        If shapes do not fit the atlas, or the result holds new sections.
    BadStore
    TooLarge
        If there is not enough free space; nothing is written then.
    """
    if result.sections:
        raise BadRequest(
            "A result with new sections cannot be written into an atlas.",
            "Write the sections as an atlas of their own (backend.store.write.write_atlas).",
        )
    folder = local(path, "Writing a result")
    with _locked(folder):
        update = _Update(folder, result.provenance)
        need = _bytes_of(update.atlas, result, embeddings or {}, layouts or {})
        room.check_disk(folder, need + (0 if space is None else 12 * update.atlas.n_cells))
        sections = {info.id for info in update.atlas.sections()}
        have = sections if embedded is None else sections & set(embedded)
        try:
            update.columns(result.columns)
            for name, (values, scale) in (embeddings or {}).items():
                update.embedding(name, values, scale, have, checkpoint)
            if genes is not None:
                update.genes(*genes)
            for name, places in (layouts or {}).items():
                update.layout(name, places)
            if space is not None:
                write_space(update.create, update.atlas, space, update.provenance)
            update.publish()
        except BaseException:
            update.discard()
            raise
        update.remove_retired()
    return Atlas.open(folder)


def _bytes_of(
    atlas: Atlas,
    result: TaskResult,
    embeddings: Mapping[str, tuple[Any, Any]],
    layouts: Mapping[str, Any],
) -> int:
    """Return about how many bytes a result takes, overviews included."""
    layers = {column.layer for column in result.columns}
    width = sum(int(np.shape(values)[-1]) for values, _ in embeddings.values())
    per_cell = 8 * len(layers) + 1.4 * width + 8 * len(layouts)
    return int(atlas.n_cells * per_cell)


class _Update:
    """New arrays of one write, invisible until published."""

    def __init__(self, folder: Path, provenance: Provenance | None) -> None:
        self.folder = folder
        self.atlas = atlas = Atlas.open(folder)
        self.provenance = provenance_to_json(provenance)
        self.attributes = {
            **atlas.attrs,
            "version": atlas.version + 1,
            "arrays": dict(atlas.attrs["arrays"]),
            "labels": dict(atlas.attrs["labels"]),
            "numbers": dict(atlas.attrs["numbers"]),
            "retired": [],
        }
        self.written: list[Path] = []
        self.published = False

    def columns(self, columns: tuple[Column, ...]) -> None:
        """Write columns, layer by layer."""
        layers: dict[LayerKey, list[Column]] = {}
        for column in columns:
            self._check(column)
            layers.setdefault(column.layer, []).append(column)
        for key, parts in layers.items():
            if key.kind == "label":
                self._label(key.name, parts)
            else:
                self._number(key, parts)

    def _check(self, column: Column) -> None:
        n = self.atlas.section(column.section).n_cells
        if np.shape(column.values) != (n,):
            raise BadRequest(
                f"Column {column.layer} of section '{column.section}' has shape "
                f"{np.shape(column.values)}, the section has {n} cells.",
                "Return one value per cell.",
            )
        if column.layer.kind != "label" and column.layer.kind not in schema.NUMBER_KINDS:
            raise BadRequest(
                f"Layer {column.layer} cannot be stored as a column.",
                f"Use label or one of {', '.join(schema.NUMBER_KINDS)}.",
            )

    def _label(self, name: str, parts: list[Column]) -> None:
        atlas = self.atlas
        before = atlas.label(name) if name in atlas.labels() else None
        replaced = {part.section for part in parts}
        have = [s for s in atlas.attrs["labels"].get(name, []) if s not in replaced]
        kept = before.categories if before is not None and have else ()
        categories = join_categories([*(part.categories for part in parts), kept])
        attributes = {
            "title": before.title if before else title_of(name),
            "categories": categories_to_json(categories),
            "provenance": self.provenance,
        }
        logical = schema.label_array(name)
        codes = self.create(logical, (atlas.n_cells,), np.int16, attributes, MISSING)
        for section in have:
            rows = atlas.section(section).rows
            assert before is not None
            codes[rows] = recode(before.codes[rows], kept, categories)
        for part in parts:
            rows = atlas.section(part.section).rows
            codes[rows] = recode(np.asarray(part.values, np.int16), part.categories, categories)
        self.attributes["labels"][name] = self._in_order({*have, *replaced})
        overview.write_tops(self.create, name, codes, len(categories), self._firsts())

    def _number(self, key: LayerKey, parts: list[Column]) -> None:
        atlas = self.atlas
        before = atlas.number(key) if key in atlas.numbers() else None
        spans: dict[str, tuple[float, float]] = dict(before.spans) if before else {}
        spans |= {part.section: span_of(np.asarray(part.values)) for part in parts}
        attributes = {
            "title": before.title if before else title_of(key.name),
            "unit": parts[0].unit,
            "spans": {section: list(span) for section, span in spans.items()},
            "provenance": self.provenance,
        }
        logical = schema.number_array(key)
        values = self.create(logical, (atlas.n_cells,), np.float16, attributes, np.nan)
        if before is not None:
            _copy(before.values, values, slice(0, atlas.n_cells))
        for part in parts:
            values[atlas.section(part.section).rows] = np.asarray(part.values).astype(np.float16)
        self.attributes["numbers"][str(key)] = self._in_order(set(spans))

    def embedding(
        self,
        name: str,
        values: Any,
        scale: NDArray[np.float32],
        sections: set[str],
        checkpoint: str,
    ) -> None:
        """Write an embedding of all cells, and its means for the cell embedding."""
        shape = tuple(values.shape)
        if name not in schema.EMBEDDINGS or shape != (self.atlas.n_cells, len(scale)):
            raise BadRequest(
                f"Embedding '{name}' has shape {shape}; expected "
                f"({self.atlas.n_cells}, {len(scale)}) and one of {schema.EMBEDDINGS}.",
                "Give one row per cell of the atlas.",
            )
        attributes = {
            "scale": [float(s) for s in scale],
            "sections": self._in_order(sections),
            "checkpoint": checkpoint,
            "provenance": self.provenance,
        }
        rows = self.create(schema.embedding_array(name), shape, np.int8, attributes)
        for info in self.atlas.sections():
            if info.id in sections:
                _copy(values, rows, info.rows)
        if name == "cell":
            overview.write_means(self.create, rows, self._firsts())

    def genes(self, embedding: ArrayLike, offset: ArrayLike, trust: ArrayLike) -> None:
        """Write what a checkpoint knows of the genes."""
        for logical, table in gene_tables(len(self.atlas.genes), embedding, offset, trust).items():
            self._write(logical, table)

    def layout(self, name: str, places: NDArray[np.float32]) -> None:
        """Write another plane of the same cells as an order and codes."""
        if places.shape != (self.atlas.n_cells, 2):
            raise BadRequest(
                f"Layout '{name}' has shape {places.shape}.", "Give one place per cell."
            )
        low, high = places.min(axis=0), places.max(axis=0)
        side = float((high - low).max()) * 1.04 or 1.0
        middle = (low + high) / 2
        corner = (float(middle[0]) - side / 2, float(middle[1]) - side / 2)
        codes, order = sort_cells(places, corner, side)
        self._write(schema.layout_array(name, "order"), order)
        self._write(schema.layout_array(name, "morton"), codes)

    def publish(self) -> None:
        """Make the new arrays visible, in one rename."""
        for folder in self.written:
            for parent in folder.relative_to(self.folder).parents:
                group = self.folder / parent
                if parent != Path() and not (group / "zarr.json").exists():
                    flat.write_group(group, {})
        flat.write_group(self.folder, self.attributes)
        self.published = True

    def discard(self) -> None:
        """Remove the new arrays again, unless they are visible already."""
        if not self.published:
            for folder in self.written:
                shutil.rmtree(folder, ignore_errors=True)

    def remove_retired(self) -> None:
        """Remove the folders that the version before had already replaced."""
        for place in self.atlas.attrs.get("retired", []):
            shutil.rmtree(self.folder / place, ignore_errors=True)

    def _firsts(self) -> overview.Firsts:
        firsts = {}
        for level in self.atlas.pyramid_levels():
            bins = self.atlas.pyramid(level)
            assert bins is not None
            firsts[level] = np.asarray(bins.first[:])
        return firsts

    def _in_order(self, sections: set[str]) -> list[str]:
        return [info.id for info in self.atlas.sections() if info.id in sections]

    def create(
        self,
        logical: str,
        shape: tuple[int, ...],
        dtype: Any,
        attributes: dict[str, Any] | None = None,
        fill: float = 0,
    ) -> NDArray[Any]:
        """Create an array in a folder of its own and note it in the new attributes."""
        place = f"{logical}@{self.attributes['version']}"
        folder = self.folder / place
        shutil.rmtree(folder, ignore_errors=True)  # left by a write that was killed
        self.written.append(folder)
        old = self.attributes["arrays"].get(logical)
        if old is not None:
            self.attributes["retired"].append(old)
        self.attributes["arrays"][logical] = place
        return flat.create(folder, shape, dtype, attributes, fill)

    def _write(self, logical: str, values: NDArray[Any]) -> None:
        self.create(logical, values.shape, values.dtype)[...] = values


def _copy(source: Any, target: NDArray[Any], rows: slice) -> None:
    """Copy rows block by block, so that mapped arrays never lie in memory whole."""
    for start in range(rows.start, rows.stop, _BLOCK):
        part = slice(start, min(start + _BLOCK, rows.stop))
        target[part] = source[part]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one writer at a time change an atlas."""
    if not path.is_dir():
        Atlas.open(path)  # raises with the right words
    folder = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
