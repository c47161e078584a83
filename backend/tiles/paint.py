"""Painters: what a label and a numeric layer differ in when a tile is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionInfo
from backend.core.geometry import TileAddress
from backend.core.layers import LayerKey, Style
from backend.store.pyramid import PyramidLevel
from backend.tiles import raster, shade
from backend.tiles.isolate import isolated
from backend.tiles.raster import Frame
from backend.tiles.values import Values

Part = tuple[SectionInfo, slice]
Colours = NDArray[np.uint16]


class Painter(Protocol):
    """Draws cells of a layer; ``colours`` is the table that its indices point into."""

    colours: NDArray[np.uint8]

    def pixels(self, tile: TileAddress, parts: list[Part]) -> Colours:
        """Return the colour indices of a tile of cells smaller than pixels, (size, size)."""

    def cells(self, info: SectionInfo, rows: NDArray[np.int64]) -> Colours:
        """Return the colour index of single cells of a section, (m,)."""


def painter_of(
    values: Values,
    key: LayerKey,
    style: Style,
    span: tuple[float, float],
    with_discs: bool,
) -> Painter:
    """Return the painter of a layer; ``span`` is its colour range, unused for a label."""
    if key.kind == "label":
        return LabelPainter(values, key, style)
    scale = shade.value_range(key, span, style.palette)
    return NumberPainter(values, key, style, scale, with_discs)


class _Bins(NamedTuple):
    """Part of a pyramid level, and the frame of its codes."""

    level: PyramidLevel
    bins: slice
    frame: Frame

    @property
    def codes(self) -> NDArray[np.uint64]:
        return self.level.code[self.bins]


class _Painting:
    """What both painters need."""

    def __init__(self, values: Values, key: LayerKey, style: Style) -> None:
        self._values = values
        self._key = key
        self._size = style.size

    def _level(self, tile: TileAddress) -> PyramidLevel | None:
        return self._values.atlas.pyramid(raster.pixel_level(tile, self._size))

    def _bins(self, level: PyramidLevel, tile: TileAddress, rows: slice) -> _Bins:
        return _Bins(level, self._values.bins(level, rows), raster.bin_frame(tile, self._size))

    def _codes(self, tile: TileAddress, part: Part) -> tuple[NDArray[np.uint32], Frame]:
        info, rows = part
        codes = self._values.codes(info)[rows.start - info.first : rows.stop - info.first]
        return codes, raster.cell_frame(info.slot, tile, self._size)


class LabelPainter(_Painting):
    """Draws a label: the commonest category of a pixel, wanted ones first."""

    def __init__(self, values: Values, key: LayerKey, style: Style) -> None:
        super().__init__(values, key, style)
        self._label = values.atlas.label(key.name)
        self._wanted = shade.wanted_codes(style.only, len(self._label.categories))
        self._least = style.least
        self.colours = values.label_colours(key.name)

    def pixels(self, tile: TileAddress, parts: list[Part]) -> Colours:
        """Return the colour indices of a tile of cells smaller than pixels, (size, size)."""
        out = np.full((self._size, self._size), raster.EMPTY, np.int16)
        level = self._overview(tile)
        if level is None:
            for info, rows in parts:
                codes, frame = self._codes(tile, (info, rows))
                found = self._codes_of(info, rows)
                raster.put_majority(codes, frame, found, out, self._wanted)
        else:
            for _, rows in joined(parts):
                part = self._bins(level, tile, rows)
                found = self._of_bins(level, part.bins)
                raster.put_majority(part.codes, part.frame, found, out, self._wanted)
        return shade.index_labels(out, self._wanted)

    def _overview(self, tile: TileAddress) -> PyramidLevel | None:
        """Return the level that has all that is drawn; none knows confidences."""
        level = self._level(tile) if self._least is None else None
        if level is None or self._wanted.all() or self._key.name in level.holders:
            return level
        return None  # a store of an earlier format

    def _of_bins(self, level: PyramidLevel, bins: slice) -> NDArray[np.int16]:
        """Return the category of bins, which are pixels: the commonest, wanted ones first."""
        top = np.asarray(level.top[self._key.name][0][bins])[:, 0]
        if self._wanted.all():
            return top
        return isolated(top, level.holders[self._key.name], self._wanted, bins)

    def cells(self, info: SectionInfo, rows: NDArray[np.int64]) -> Colours:
        """Return the colour index of single cells of a section, (m,)."""
        return shade.index_labels(self._codes_of(info, rows), self._wanted)

    def _codes_of(self, info: SectionInfo, rows: slice | NDArray[np.int64]) -> NDArray[np.int16]:
        return self._values.confident_codes(info, self._key, rows, self._least)


class NumberPainter(_Painting):
    """Draws a numeric layer: the mean of a pixel's cells."""

    def __init__(
        self, values: Values, key: LayerKey, style: Style, scale: shade.Range, with_discs: bool
    ) -> None:
        super().__init__(values, key, style)
        self._scale = scale
        self._steps = shade.DISC_STEPS if with_discs else shade.STEPS
        self.colours = shade.number_colours(style.palette, self._steps)

    def pixels(self, tile: TileAddress, parts: list[Part]) -> Colours:
        """Return the colour indices of a tile of cells smaller than pixels, (size, size)."""
        out = np.full((self._size, self._size), np.nan, np.float32)
        level = self._level(tile)
        if level is not None and self._key.kind not in ("imputed", "density"):
            self._put_bin_means(tile, parts, level, out)
            return shade.index_numbers(out, self._scale, self._steps)
        have = [(part, self._values.has(part[0], self._key)) for part in parts]
        self._put_nothing(tile, [part for part, known in have if not known], level, out)
        known = [part for part, known in have if known]
        if self._key.kind == "imputed":
            self._put_imputed(tile, known, level, out)
        else:
            counted = [part for part in known if self._is_counted(part[0], tile)]
            self._put_density(tile, counted, level, out)
            for part in known:
                if not self._is_counted(part[0], tile):
                    self._put_means(tile, part, level, out)
        return shade.index_numbers(out, self._scale, self._steps)

    def cells(self, info: SectionInfo, rows: NDArray[np.int64]) -> Colours:
        """Return the colour index of single cells of a section, (m,)."""
        found = self._values.at(info, self._key, rows)
        found = np.where(np.isnan(found), np.float32(np.inf), found)
        return shade.index_numbers(found, self._scale, self._steps)

    def _put_nothing(
        self, tile: TileAddress, parts: list[Part], level: PyramidLevel | None, out: Any
    ) -> None:
        """Mark the pixels of cells that have no value."""
        if level is None:
            for part in parts:
                codes, frame = self._codes(tile, part)
                raster.put_means(codes, frame, np.full(len(codes), np.nan, np.float32), out)
            return
        for _, rows in joined(parts):
            bins = self._bins(level, tile, rows)
            nothing = np.full(len(bins.codes), np.nan, np.float32)
            raster.put_means(bins.codes, bins.frame, nothing, out)

    def _put_imputed(
        self, tile: TileAddress, parts: list[Part], level: PyramidLevel | None, out: Any
    ) -> None:
        atlas = self._values.atlas
        embedding = atlas.embedding("cell")
        found = self._values.direction(atlas.genes.index(self._key.name))
        if embedding is None or found is None:
            return
        if level is None or level.embedding is None:
            for part in parts:
                codes, frame = self._codes(tile, part)
                raster.put_imputed(codes, frame, embedding.values[part[1]], *found, out)
            return
        for _, rows in joined(parts):
            bins = self._bins(level, tile, rows)
            cells = level.embedding[bins.bins]
            raster.put_imputed(bins.codes, bins.frame, cells, *found, out)

    def _put_means(
        self, tile: TileAddress, part: Part, level: PyramidLevel | None, out: Any
    ) -> None:
        info, rows = part
        if level is None:
            codes, frame = self._codes(tile, part)
            raster.put_means(codes, frame, self._values.of(info, self._key, rows), out)
            return
        bins = self._bins(level, tile, rows)
        means = self._values.bin_means(info, self._key, level)
        start = bins.bins.start - self._values.bins(level, info.rows).start
        raster.put_means(bins.codes, bins.frame, means[start : start + len(bins.codes)], out)

    def _put_bin_means(
        self, tile: TileAddress, parts: list[Part], level: PyramidLevel, out: Any
    ) -> None:
        """Draw adjoining sections at once: an overview may hold hundreds, most of them whole."""
        means = {info.id: self._means(info, rows, level) for info, rows in parts}
        for _, rows in joined(parts):
            bins = self._bins(level, tile, rows)
            own = [means[i.id] for i, r in parts if rows.start <= r.start and r.stop <= rows.stop]
            raster.put_means(bins.codes, bins.frame, np.concatenate(own), out)

    def _means(self, info: SectionInfo, rows: slice, level: PyramidLevel) -> NDArray[np.float32]:
        """Return the means of the bins of rows of a section, nan where there is no value."""
        means = self._values.bin_means(info, self._key, level)
        if rows == info.rows:
            return means
        bins, start = self._values.bins(level, rows), self._values.bins(level, info.rows).start
        return means[bins.start - start : bins.stop - start]

    def _is_counted(self, info: SectionInfo, tile: TileAddress) -> bool:
        """Return whether a pixel's value is its count: pixels are no finer than density is."""
        if self._key.kind != "density":
            return False
        return raster.pixel_level(tile, self._size) <= self._values.density_level(info)

    def _put_density(
        self, tile: TileAddress, parts: list[Part], level: PyramidLevel | None, out: Any
    ) -> None:
        if not parts:
            return
        counts = np.zeros(out.shape, np.int64)
        if level is None:
            for part in parts:
                raster.add_counts(*self._codes(tile, part), counts)
        else:
            for _, rows in joined(parts):
                bins = self._bins(level, tile, rows)
                raster.add_counts(bins.codes, bins.frame, counts, level.count[bins.bins])
        area = self._values.area(raster.pixel_level(tile, self._size))
        np.copyto(out, (counts / area).astype(np.float32), where=counts > 0)


def joined(parts: list[Part]) -> Iterator[Part]:
    """Yield parts with adjoining rows as one, each with the first of its sections."""
    held: Part | None = None
    for info, rows in parts:
        if held is not None and held[1].stop == rows.start:
            held = (held[0], slice(held[1].start, rows.stop))
            continue
        if held is not None:
            yield held
        held = (info, rows)
    if held is not None:
        yield held
