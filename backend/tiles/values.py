"""Values of cells: any layer of a section as numbers, nan where a cell has none."""

from __future__ import annotations

import math
from collections.abc import Hashable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionInfo
from backend.core.errors import BadRequest, UnknownLayer
from backend.core.geometry import CODE_BITS
from backend.core.layers import MISSING, LayerKey, Style
from backend.core.trust import CERTAINTY
from backend.store.atlas import Atlas
from backend.store.morton import gather
from backend.store.pyramid import PyramidLevel
from backend.tiles.cache import ArrayCache
from backend.tiles.image import Colours
from backend.tiles.raster import category_ranks, imputed, mean_of_bins
from backend.tiles.shade import label_colours, label_table, wanted_codes

#: Bytes of columns and of bin means that one renderer keeps; every process of a server has one.
KEPT_BYTES = 64 << 20
#: What densities of all cells are divided by, so that half precision holds them.
DENSITY_UNIT = np.float32(16)
#: Bins of a level up to which their means are kept for all sections together.
WHOLE_BINS = 1 << 20
#: Density is counted in squares of at least this many cell radii: a few dozen cells.
DENSITY_RADII = 10
#: Finest grid that density is counted on: 2**10 squares per side of a slot.
MOST_DENSITY_BITS = 10

Number = NDArray[np.float32]


class Look(NamedTuple):
    """How the categories of a label are drawn.

    Parameters
    ----------
    wanted : (k,) bool
        Categories that are drawn in full.
    ranks : (k + 1,) int64
        See ``raster.category_ranks``.
    table : (k + 2,) uint16
        Colour index of nothing, of no label, of each category.
    whole : bool
        Whether all are wanted.
    """

    wanted: NDArray[np.bool_]
    ranks: NDArray[np.int64]
    table: NDArray[np.uint16]
    whole: bool


class Values:
    """Per-cell values of the layers of an atlas.

    Parameters
    ----------
    atlas : Atlas
    """

    def __init__(self, atlas: Atlas) -> None:
        self.atlas = atlas
        self.cache = ArrayCache(KEPT_BYTES)
        #: What was opened and takes no memory to speak of.
        self.opened: dict[Hashable, Any] = {}

    def check(self, key: LayerKey) -> LayerKey:
        """Return the key with its gene spelt as in the atlas.

        Raises
        ------
        UnknownGene, UnknownLayer
            If the atlas has no such layer.
        """
        if key.kind in ("measured", "imputed"):
            gene = self.atlas.genes.index(key.name)
            if key.kind == "imputed" and self.direction(gene) is None:
                raise UnknownLayer(
                    f"{key.name} cannot be imputed in this atlas.", f"Show measured:{key.name}."
                )
            return LayerKey(key.kind, self.atlas.genes.symbol[gene])
        if key.kind == "label":
            self.atlas.label(key.name)
        elif key.kind == "density":
            if key.name != "cells":
                raise UnknownLayer(f"Layer '{key}' is not known.", "Use density:cells.")
        else:
            self.atlas.number(key)
        return key

    def has(self, info: SectionInfo, key: LayerKey) -> bool:
        """Return whether cells of a section may have a value of a layer."""
        if key.kind == "measured":
            expression = self.atlas.expression(info.id)
            return expression is not None and expression.has(self.atlas.genes.index(key.name))
        if key.kind == "imputed":
            embedding = self.atlas.embedding("cell")
            return embedding is not None and info.id in embedding.sections
        return key.kind == "density" or key in self.atlas.layers(info.id)

    def can_fade(self, key: LayerKey, style: Style) -> bool:
        """Return whether a style asks to fade uncertain values, and their certainty is known."""
        return style.fade and key.kind == "imputed" and CERTAINTY in self.atlas.numbers()

    @cached_property
    def all_embedded(self) -> bool:
        """Whether every section has embeddings of its cells."""
        embedding = self.atlas.embedding("cell")
        return embedding is not None and len(embedding.sections) == len(self.atlas.sections())

    @cached_property
    def least_density_level(self) -> int:
        """The coarsest level that density is counted on in any section."""
        return min((self.density_level(info) for info in self.atlas.sections()), default=0)

    def codes(self, info: SectionInfo) -> NDArray[np.uint32]:
        """Return the codes of a section, kept in memory where they cannot be mapped."""
        morton = self.atlas.morton
        if isinstance(morton, np.ndarray):
            return morton[info.rows]
        kept: NDArray[np.uint32] = self.cache.get(
            ("codes", info.id), lambda: np.asarray(morton[info.rows])
        )
        return kept

    def of(self, info: SectionInfo, key: LayerKey, rows: slice) -> NDArray[Any]:
        """Return the values of atlas rows of one section.

        Returns
        -------
        (m,) float32, nan where missing; (m,) int16 codes for a label
        """
        start, stop = rows.start - info.first, rows.stop - info.first
        if key.kind == "label":
            return np.asarray(self.atlas.label(key.name).codes[rows])
        if not self.has(info, key):
            return np.full(stop - start, np.nan, np.float32)
        if key.kind == "imputed":
            return self._imputed(info, key, np.arange(start, stop))
        if key.kind in ("measured", "density"):
            return self.column(info, key)[start:stop]
        return np.asarray(self.atlas.number(key).values[rows], dtype=np.float32)

    def at(self, info: SectionInfo, key: LayerKey, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return the values of rows counted from a section's first; otherwise as ``of``."""
        if key.kind == "label":
            return pick_rows(self.atlas.label(key.name).codes, info.first, rows)
        if not self.has(info, key):
            return np.full(len(rows), np.nan, np.float32)
        if key.kind == "imputed":
            return self._imputed(info, key, rows)
        if key.kind in ("measured", "density"):
            return self.column(info, key)[rows]
        return pick_rows(self.atlas.number(key).values, info.first, rows).astype(np.float32)

    def positions(
        self, info: SectionInfo, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return section coordinates (n, 2), and the places in it of rows of a section."""
        xy = self.atlas.xy
        if isinstance(xy, np.ndarray):
            return xy[info.rows], rows
        return pick_rows(xy, info.first, rows), np.arange(len(rows))

    def confident_codes(
        self,
        info: SectionInfo,
        key: LayerKey,
        rows: slice | NDArray[np.int64],
        least: float | None,
    ) -> NDArray[np.int16]:
        """Return codes of a label, -1 where the confidence is known and below ``least``.

        Parameters
        ----------
        rows : slice or (m,) int64
            Rows of the atlas as a slice, or rows counted from the section's first.
        """
        codes = self._read(info, key, rows)
        confidence = LayerKey("confidence", key.name)
        if least is None or confidence not in self.atlas.numbers():
            return codes
        # Confidences are stored with 11 bits; the threshold is rounded as they are.
        low = self._read(info, confidence, rows) < np.float16(least)
        return np.where(low, np.int16(MISSING), codes)

    def anywhere(self, key: LayerKey, rows: NDArray[np.uint32]) -> Number:
        """Return the values of a numeric layer at atlas rows of any sections, in any order.

        Returns
        -------
        (m,) float32, nan where missing
        """
        atlas = self.atlas
        if key.kind == "imputed":
            embedding = atlas.embedding("cell")
            found = self.direction(atlas.genes.index(key.name))
            if embedding is None or found is None:
                return np.full(len(rows), np.nan, np.float32)
            if isinstance(embedding.values, np.ndarray):
                return imputed(embedding.values, rows.astype(np.int64), *found)
            return imputed(np.asarray(embedding.values[rows]), np.arange(len(rows)), *found)
        if key.kind in ("measured", "density"):
            whole: NDArray[Any] = self.cache.get(("whole", key), lambda: self._whole(key))
            shown = whole[rows].astype(np.float32)
            return shown * DENSITY_UNIT if key.kind == "density" else shown
        return self._gathered(str(key), atlas.number(key).values, rows).astype(np.float32)

    def anywhere_codes(
        self, key: LayerKey, rows: NDArray[np.uint32], least: float | None
    ) -> NDArray[np.int16]:
        """Return codes of a label at atlas rows of any sections, as ``confident_codes``."""
        codes = self._gathered(str(key), self.atlas.label(key.name).codes, rows)
        confidence = LayerKey("confidence", key.name)
        if least is None or confidence not in self.atlas.numbers():
            return codes
        known = self._gathered(str(confidence), self.atlas.number(confidence).values, rows)
        return np.where(known < np.float16(least), np.int16(MISSING), codes)

    def _gathered(self, name: str, column: Any, rows: NDArray[np.uint32]) -> NDArray[Any]:
        """Return values at scattered rows; a column that cannot be mapped is kept in memory."""
        if not isinstance(column, np.ndarray):
            column = self.cache.get(("whole", name), lambda: np.asarray(column[:]))
        return np.asarray(column[rows])

    def _whole(self, key: LayerKey) -> NDArray[Any]:
        """Return measured values or densities of all cells, in half precision, as drawn."""
        atlas, counted = self.atlas, key.kind == "density"
        out = np.full(atlas.n_cells, np.nan, np.float16)
        for info in atlas.sections():
            if counted:
                out[info.rows] = self._density(info, key) / DENSITY_UNIT
            elif self.has(info, key):
                out[info.rows] = self._measured(info, key)
        return out

    def direction(self, gene: int) -> tuple[Number, float] | None:
        """Return (d,) direction and offset of a gene in the space of int8 embeddings, or None."""
        kept: tuple[Number, float] | None = self.cache.get(
            ("direction", gene), lambda: self._direction(gene)
        )
        return kept

    def _direction(self, gene: int) -> tuple[Number, float] | None:
        table, embedding = self.atlas.genes, self.atlas.embedding("cell")
        if embedding is None or table.embedding is None or table.offset is None:
            return None
        if not np.any(table.embedding[gene]):
            return None
        direction = (table.embedding[gene] * embedding.scale).astype(np.float32)
        return direction, float(table.offset[gene])

    def column(self, info: SectionInfo, key: LayerKey) -> Number:
        """Return measured values (log1p) or densities of all cells of a section, (n,)."""
        make = self._density if key.kind == "density" else self._measured
        kept: Number = self.cache.get(("column", info.id, key), lambda: make(info, key))
        return kept

    def means_of_bins(
        self, parts: list[tuple[SectionInfo, slice]], key: LayerKey, level: PyramidLevel
    ) -> Number:
        """Return the mean value of each pyramid bin of adjoining rows, nan where none has one."""
        rows = slice(parts[0][1].start, parts[-1][1].stop)
        bins = self.bins(level, rows)
        if len(level.code) > WHOLE_BINS:
            own = [self._some_means(info, part, key, level) for info, part in parts]
            return own[0] if len(own) == 1 else np.concatenate(own)
        kept: tuple[Number, NDArray[np.bool_]] = self.cache.get(
            ("means", key, level.level), lambda: self._no_means(level)
        )
        means, known = kept
        first, last = (self.atlas.place(info.id) for info in (parts[0][0], parts[-1][0]))
        if not known[first : last + 1].all():
            for info, _ in parts:
                place = self.atlas.place(info.id)
                if not known[place]:
                    means[self.bins(level, info.rows)] = self._bin_means(info, key, level)
                    known[place] = True
        return means[bins]

    def _no_means(self, level: PyramidLevel) -> tuple[Number, NDArray[np.bool_]]:
        """Return room for the means of a level's bins, and which sections are known: none yet."""
        known = np.array([not info.n_cells for info in self.atlas.sections()])
        return np.full(len(level.code), np.nan, np.float32), known

    def _some_means(
        self, info: SectionInfo, rows: slice, key: LayerKey, level: PyramidLevel
    ) -> Number:
        """Return the means of the bins of some rows of one section, which keeps those of all."""
        kept: Number = self.cache.get(
            ("bins", info.id, key, level.level), lambda: self._bin_means(info, key, level)
        )
        bins, start = self.bins(level, rows), self.bins(level, info.rows).start
        return kept[bins.start - start : bins.stop - start]

    def _bin_means(self, info: SectionInfo, key: LayerKey, level: PyramidLevel) -> Number:
        bins = self.bins(level, info.rows)
        # The column itself is not kept: an overview asks for those of all sections.
        values = (
            self._measured(info, key)
            if key.kind == "measured" and self.has(info, key)
            else self.of(info, key, info.rows)
        )
        return mean_of_bins(level.first[bins], values, info.first)

    def bins(self, level: PyramidLevel, rows: slice) -> slice:
        """Return the bins of a level that begin in a range of atlas rows."""
        first = level.first
        if not isinstance(first, np.ndarray):
            first = self.cache.get(("first", level.level), lambda: np.asarray(level.first))
        start = int(first.searchsorted(rows.start))
        return slice(start, start + int(first[start:].searchsorted(rows.stop)))

    def label_colours(self, name: str) -> Colours:
        """Return the colour table of a label (``shade.label_colours``), made once."""
        made: Colours | None = self.opened.get(("colours", name))
        if made is None:
            made = label_colours(self.atlas.label(name).categories)
            self.opened[("colours", name)] = made
        return made

    def look(self, name: str, only: tuple[int, ...]) -> Look:
        """Return how the categories of a label are drawn where ``only`` some are wanted."""

        def make() -> tuple[Any, ...]:
            wanted = wanted_codes(only, len(self.atlas.label(name).categories))
            return wanted, category_ranks(wanted), label_table(wanted), bool(wanted.all())

        return Look(*self.cache.get(("look", name, only), make))

    def density_level(self, info: SectionInfo) -> int:
        """Return the atlas level whose nodes are the squares that density is counted in."""
        squares = info.side / max(info.radius * DENSITY_RADII, 1e-9)
        depth = math.floor(math.log2(max(squares, 1.0)))
        return info.slot.level + min(depth, MOST_DENSITY_BITS)

    def area(self, level: int) -> float:
        """Return the area of a node of an atlas level in mm2 (10^6 squared source units)."""
        return (self.atlas.world_um / (1 << level)) ** 2 / 1e6

    def _read(
        self, info: SectionInfo, key: LayerKey, rows: slice | NDArray[np.int64]
    ) -> NDArray[Any]:
        return self.of(info, key, rows) if isinstance(rows, slice) else self.at(info, key, rows)

    def _measured(self, info: SectionInfo, key: LayerKey) -> Number:
        out = np.zeros(info.n_cells, np.float32)
        expression = self.atlas.expression(info.id)
        if expression is not None:
            rows, values = expression.column(self.atlas.genes.index(key.name))
            out[rows] = np.log1p(values)
        return out

    def _imputed(self, info: SectionInfo, key: LayerKey, rows: NDArray[np.int64]) -> Number:
        embedding = self.atlas.embedding("cell")
        found = self.direction(self.atlas.genes.index(key.name))
        if embedding is None or found is None:
            return np.full(len(rows), np.nan, np.float32)
        if isinstance(embedding.values, np.ndarray):
            return imputed(embedding.values[info.rows], rows, *found)
        cells = pick_rows(embedding.values, info.first, rows)
        return imputed(cells, np.arange(len(rows)), *found)

    def _density(self, info: SectionInfo, _: LayerKey) -> Number:
        """Return cells per mm2 around each cell, interpolated between the squares' centres."""
        level = self.density_level(info)
        depth = level - info.slot.level
        codes = np.asarray(self.codes(info))
        n = 1 << depth
        x, y = gather(codes).astype(np.float32), gather(codes >> np.uint32(1)).astype(np.float32)
        unit = np.float32(n / (1 << CODE_BITS))
        x, y = x * unit, y * unit
        grid = np.zeros((n + 2, n + 2), np.float32)
        np.add.at(grid, (y.astype(np.int32) + 1, x.astype(np.int32) + 1), np.float32(1))
        x, y = x + np.float32(0.5), y + np.float32(0.5)
        left, top = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
        fx, fy = x - left, y - top
        upper = grid[top, left] * (1 - fx) + grid[top, left + 1] * fx
        lower = grid[top + 1, left] * (1 - fx) + grid[top + 1, left + 1] * fx
        density = (upper * (1 - fy) + lower * fy) / self.area(level)
        return np.asarray(density, dtype=np.float32)


def pick_rows(values: Any, first: int, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return ``values[first + rows]``; what cannot be mapped is read as one slice."""
    if isinstance(values, np.ndarray):
        return np.asarray(values[rows + first])
    if not len(rows):
        return np.asarray(values[0:0])
    start = int(rows.min())
    return np.asarray(values[first + start : first + int(rows.max()) + 1][rows - start])


def reject_label(key: LayerKey, what: str) -> None:
    """Raise BadRequest if ``key`` is a label, which has no ``what``."""
    if key.kind == "label":
        raise BadRequest(f"'{key}' is a label and has no {what}.", "Ask for a numeric layer.")
