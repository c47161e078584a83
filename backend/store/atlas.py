"""An atlas opened for reading: sections, layers, genes, counts and the overview pyramid."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionData, SectionInfo
from backend.core.errors import UnknownLayer, UnknownSection, did_you_mean
from backend.core.geometry import TileAddress
from backend.core.layers import HIDDEN, LayerKey
from backend.store import flat, schema
from backend.store.columns import Embedding, LabelArray, NumberArray
from backend.store.expression import Expression, kept_cells
from backend.store.flat import Rows
from backend.store.genes import GeneTable
from backend.store.load import load_section
from backend.store.place import Place, RemotePath, place_of
from backend.store.pyramid import Holders, PyramidLevel
from backend.store.root import edition_of, read_root
from backend.store.section import categories_from_json, provenance_from_json, section_from_json
from backend.store.tree import Tree

__all__ = ["Atlas", "Embedding", "LabelArray", "NumberArray"]

Made = TypeVar("Made")


class Atlas:
    """A store of one version, open for reading; made by ``Atlas.open``."""

    def __init__(self, path: Place, attributes: dict[str, Any], fast: bool) -> None:
        self.path = path
        self.attrs = attributes
        self.name: str = attributes["name"]
        self.version: int = attributes["version"]
        self.simulated: bool = attributes["simulated"]
        self.world_um: float = attributes["world_um"]
        self.grid_level: int = attributes["grid_level"]
        self._fast = fast
        self._arrays: dict[str, str] = attributes["arrays"]
        self._sections = tuple(section_from_json(r) for r in attributes["sections"])
        self._by_id = {section.id: section for section in self._sections}
        self._places = {section.id: place for place, section in enumerate(self._sections)}
        self._tree = Tree(self._sections, self._section_codes)
        self._cells = kept_cells()
        self._opened: dict[str, Any] = {}
        self.n_cells = sum(section.n_cells for section in self._sections)

    @classmethod
    def open(cls, path: Place | str, fast: bool = True) -> Atlas:
        """Open an atlas.

        Parameters
        ----------
        path : Path, str or RemotePath
            A folder, or a URL that fsspec can read, such as ``s3://bucket/brain.zarr``.
        fast : bool
            Memory-map arrays whose bytes allow it; otherwise all goes through zarr.

        Raises
        ------
        BadStore
            If the folder is no atlas, a half-built one, or one of a format that this program
            cannot read, or if a package for the kind of URL is missing.
        """
        folder = place_of(path)
        return cls(folder, read_root(folder), fast)

    @cached_property
    def edition(self) -> str:
        """Short text, safe in URLs, that changes with every version and with every rebuild."""
        return edition_of(self.attrs)

    def refresh(self) -> Atlas:
        """Return this atlas, opened anew if the edition on disk has changed."""
        attributes = read_root(self.path)
        changed = edition_of(attributes) != self.edition
        return Atlas(self.path, attributes, self._fast) if changed else self

    def sections(self) -> tuple[SectionInfo, ...]:
        """Return all sections in storage order."""
        return self._sections

    def section(self, section_id: str) -> SectionInfo:
        """Return one section.

        Raises
        ------
        UnknownSection
        """
        try:
            return self._by_id[section_id]
        except KeyError:
            raise UnknownSection(
                f"Section '{section_id[:80]}' is not in atlas '{self.name}'.",
                *filter(None, [did_you_mean(section_id[:80], self._by_id)]),
            ) from None

    def place(self, section_id: str) -> int:
        """Return the place of a section in storage order."""
        return self._places[section_id]

    @property
    def morton(self) -> Rows:
        """Codes of cells inside their slots, (N,) uint32, ascending within a section."""
        return self._rows(schema.MORTON)

    @property
    def xy(self) -> Rows:
        """Section coordinates of cells, (N, 2) float32."""
        return self._rows(schema.XY)

    def rows_in_tile(self, address: TileAddress) -> list[tuple[SectionInfo, slice]]:
        """Return the sections and rows of the atlas in a tile of the atlas plane.

        Slices are ascending, not empty, and adjoin one another. A tile smaller than one step of a
        slot's grid gives the cells of that step.

        Raises
        ------
        TileOutOfRange
        """
        return self._tree.rows_in_tile(address)

    def _section_codes(self, section: SectionInfo) -> Rows:
        """Return a section's codes, kept in memory where the store cannot be mapped."""
        morton = self.morton
        if isinstance(morton, np.ndarray):
            return morton[section.rows]
        key = f"codes of {section.id}"
        if key not in self._opened:
            self._opened[key] = self.morton[section.rows]
        codes: NDArray[np.uint32] = self._opened[key]
        return codes

    def labels(self) -> tuple[str, ...]:
        """Return the names of all labels."""
        return tuple(self.attrs["labels"])

    def label(self, name: str) -> LabelArray:
        """Return a label.

        Raises
        ------
        UnknownLayer
        """
        array = schema.label_array(name)
        if array not in self._arrays:
            raise self._unknown(f"label:{name}")
        return self._once(f"label {name}", lambda: self._label(array))

    def _label(self, array: str) -> LabelArray:
        header = self._header(array)
        return LabelArray(
            self._rows(array),
            categories_from_json(header["categories"]),
            header["title"],
            provenance_from_json(header.get("provenance")),
        )

    def numbers(self) -> tuple[LayerKey, ...]:
        """Return the keys of all layers that are numbers per cell."""
        return tuple(LayerKey.parse(text) for text in self.attrs["numbers"])

    def number(self, key: LayerKey) -> NumberArray:
        """Return a numeric layer.

        Raises
        ------
        UnknownLayer
        """
        array = schema.number_array(key)
        if array not in self._arrays:
            raise self._unknown(str(key))
        return self._once(f"number {key}", lambda: self._number(array))

    def _number(self, array: str) -> NumberArray:
        header = self._header(array)
        return NumberArray(
            self._rows(array),
            header["title"],
            header["unit"],
            {section: (span[0], span[1]) for section, span in header["spans"].items()},
            provenance_from_json(header.get("provenance")),
        )

    def embedding(self, name: str = "cell") -> Embedding | None:
        """Return the cell or niche embedding, or None where there is none."""
        array = schema.embedding_array(name)
        if array not in self._arrays:
            return None
        return self._once(f"embedding {name}", lambda: self._embedding(array))

    def _embedding(self, array: str) -> Embedding:
        header = self._header(array)
        return Embedding(
            self._rows(array),
            np.asarray(header["scale"], np.float32),
            frozenset(header["sections"]),
            header.get("checkpoint", ""),
            provenance_from_json(header.get("provenance")),
        )

    @cached_property
    def genes(self) -> GeneTable:
        """Genes of all sections together, and what a checkpoint knows of them."""
        header = flat.read_header(self.path / schema.GENES)["attributes"]
        return GeneTable(
            header["symbol"],
            header["ensembl"],
            self._whole(schema.GENE_EMBEDDING),
            self._whole(schema.GENE_OFFSET),
            self._whole(schema.GENE_TRUST),
            self.name,
        )

    def expression(self, section_id: str) -> Expression | None:
        """Return the measured values of a section, or None where it has labels only."""
        section = self.section(section_id)
        if section.n_genes == 0:
            return None
        folder = self.path / schema.expression_group(section.id)
        return self._once(
            f"expression {section.id}",
            lambda: Expression(folder, section.n_cells, self._fast, self._cells),
        )

    def pyramid_levels(self) -> tuple[int, ...]:
        """Return the atlas levels that have a pyramid, ascending."""
        return tuple(self.attrs["pyramid"])

    def pyramid(self, level: int) -> PyramidLevel | None:
        """Return the bins of an atlas level, or None where none are kept."""
        if level not in self.attrs["pyramid"]:
            return None
        return self._once(f"pyramid {level}", lambda: self._pyramid(level))

    def _pyramid(self, level: int) -> PyramidLevel:
        def rows(name: str) -> Rows:
            return self._rows(schema.pyramid_array(level, name))

        def holders(label: str) -> Holders | None:
            parts = [f"{label}/bins/{name}" for name in Holders._fields]
            known = all(schema.pyramid_array(level, part) in self._arrays for part in parts)
            return Holders(*map(rows, parts)) if known else None

        has_embedding = schema.pyramid_array(level, "embedding") in self._arrays
        short = {n: schema.label_array(n).removeprefix("cells/") for n in self.labels()}
        return PyramidLevel(
            level,
            rows("code"),
            rows("first"),
            rows("count"),
            rows("embedding") if has_embedding else None,
            {name: (rows(f"{part}/top"), rows(f"{part}/count")) for name, part in short.items()},
            {name: found for name, part in short.items() if (found := holders(part))},
        )

    def layout(self, name: str) -> tuple[Rows, Rows] | None:
        """Return the order and codes of another plane of the same cells, or None."""
        order = schema.layout_array(name, "order")
        if order not in self._arrays:
            return None
        return self._rows(order), self._rows(schema.layout_array(name, "morton"))

    def names(self, rows: slice | NDArray[np.integer[Any]]) -> list[str]:
        """Return the ids of cells as in their source."""
        offset, blob = self._rows(schema.NAME_OFFSET), self._rows(schema.NAME_BYTES)
        if isinstance(rows, slice):
            start, stop, step = rows.indices(self.n_cells)
            edges = np.asarray(offset[start : max(start, stop) + 1])
            text = np.asarray(blob[int(edges[0]) : int(edges[-1])]).tobytes()
            edges = edges - edges[0]
            pairs = zip(edges[:-1], edges[1:], strict=True)
            return [text[a:b].decode() for a, b in pairs][::step]
        return [self.names(slice(int(row), int(row) + 1))[0] for row in np.asarray(rows)]

    def layers(self, section_id: str) -> tuple[LayerKey, ...]:
        """Return the layers that a section has values of; genes and hidden ones are not listed."""
        section = self.section(section_id)
        labels = [
            LayerKey("label", name) for name, have in self.attrs["labels"].items() if
            section.id in have
        ]  # fmt: skip
        numbers = [
            LayerKey.parse(text) for text, have in self.attrs["numbers"].items() if
            section.id in have and HIDDEN not in text
        ]  # fmt: skip
        return (*labels, *numbers, LayerKey("density", "cells"))

    def load(self, section_id: str) -> SectionData:
        """Return a section in memory, with its counts, labels and numbers."""
        return load_section(self, section_id)

    @cached_property
    def n_bytes(self) -> int:
        """Bytes of the store, wherever it lies."""
        if isinstance(self.path, RemotePath):
            return self.path.n_bytes()
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    def array_path(self, logical: str) -> Place | None:
        """Return the folder of a logical array, or None where the atlas has none."""
        place = self._arrays.get(logical)
        return None if place is None else self.path / place

    def _rows(self, logical: str) -> Rows:
        return self._once(logical, lambda: flat.read(self.path / self._arrays[logical], self._fast))

    def _whole(self, logical: str) -> NDArray[np.float32] | None:
        return np.asarray(self._rows(logical)[:]) if logical in self._arrays else None

    def _header(self, logical: str) -> dict[str, Any]:
        header = flat.read_header(self.path / self._arrays[logical])
        attributes: dict[str, Any] = header["attributes"]
        return attributes

    def _once(self, key: str, make: Callable[[], Made]) -> Made:
        """Return what ``make`` returns, made once; two threads may both make it, harmlessly."""
        if key not in self._opened:
            self._opened[key] = make()
        made: Made = self._opened[key]
        return made

    def _unknown(self, layer: str) -> UnknownLayer:
        known = [f"label:{name}" for name in self.labels()] + list(self.attrs["numbers"])
        return UnknownLayer(
            f"Layer '{layer[:80]}' is not in atlas '{self.name}'.",
            *filter(None, [did_you_mean(layer[:80], known)]),
        )
