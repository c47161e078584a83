"""Painters: what a label and a numeric layer differ in when a tile is drawn."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionInfo
from backend.core.geometry import TileAddress
from backend.core.layers import LayerKey, Style
from backend.core.trust import CERTAINTY
from backend.store.pyramid import PyramidLevel
from backend.tiles import fade, raster, shade
from backend.tiles.frames import Frame, bin_frame, cell_frame, pixel_level
from backend.tiles.image import Colours
from backend.tiles.isolate import isolated
from backend.tiles.values import Values

Part = tuple[SectionInfo, slice]
#: Parts whose rows adjoin one another: drawn at once from a pyramid.
Group = list[Part]
Index = NDArray[np.uint16]


class Painter(Protocol):
    """Draws cells of a layer; ``colours`` is the table that its indices point into."""

    colours: Colours

    def pixels(self, tile: TileAddress, groups: list[Group], out: Index) -> None:
        """Write the colour indices of cells smaller than pixels into a tile, (size, size)."""

    def cells(self, info: SectionInfo, rows: NDArray[np.int64]) -> Index:
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
    if not values.can_fade(key, style):
        return NumberPainter(values, key, style, scale, with_discs)
    value = NumberPainter(values, key, style, scale, True)
    certainty = NumberPainter(values, CERTAINTY, style, fade.WHOLE, True, fade.LEVELS)
    return fade.Faded(value, certainty, style.palette, shade.DISC_STEPS)


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
        return self._values.atlas.pyramid(pixel_level(tile, self._size))

    def _bins(self, level: PyramidLevel, tile: TileAddress, group: Group) -> _Bins:
        rows = slice(group[0][1].start, group[-1][1].stop)
        return _Bins(level, self._values.bins(level, rows), bin_frame(tile, self._size))

    def _codes(self, tile: TileAddress, part: Part) -> tuple[NDArray[np.uint32], Frame]:
        info, rows = part
        codes = self._values.codes(info)[rows.start - info.first : rows.stop - info.first]
        return codes, cell_frame(info.slot, tile, self._size)


class LabelPainter(_Painting):
    """Draws a label: the commonest category of a pixel, wanted ones first."""

    def __init__(self, values: Values, key: LayerKey, style: Style) -> None:
        super().__init__(values, key, style)
        self._look = values.look(key.name, style.only)
        self._least = style.least
        self.colours = values.label_colours(key.name)

    def pixels(self, tile: TileAddress, groups: list[Group], out: Index) -> None:
        """Write the colour indices of cells smaller than pixels into a tile, (size, size)."""
        look, level = self._look, self._overview(tile)
        for group in groups:
            if level is not None:
                part = self._bins(level, tile, group)
                found = self._of_bins(level, part.bins)
                raster.put_firsts(part.codes, part.frame, found, look.table, out)
                continue
            for info, rows in group:
                codes, frame = self._codes(tile, (info, rows))
                found = self._codes_of(info, rows)
                raster.put_majority(codes, frame, found, look.ranks, look.table, out)

    def _overview(self, tile: TileAddress) -> PyramidLevel | None:
        """Return the level that has all that is drawn; none knows confidences."""
        level = self._level(tile) if self._least is None else None
        if level is None or self._look.whole or self._key.name in level.holders:
            return level
        return None  # a store of an earlier format

    def _of_bins(self, level: PyramidLevel, bins: slice) -> NDArray[np.int16]:
        """Return categories of bins, first the one to draw: the commonest, wanted ones before."""
        top = np.asarray(level.top[self._key.name][0][bins])
        if self._look.whole:
            return top
        holders = level.holders[self._key.name]
        return isolated(top[:, 0], holders, self._look.wanted, bins)[:, np.newaxis]

    def cells(self, info: SectionInfo, rows: NDArray[np.int64]) -> Index:
        """Return the colour index of single cells of a section, (m,)."""
        return shade.index_labels(self._codes_of(info, rows), self._look.table)

    def _codes_of(self, info: SectionInfo, rows: slice | NDArray[np.int64]) -> NDArray[np.int16]:
        return self._values.confident_codes(info, self._key, rows, self._least)


class NumberPainter(_Painting):
    """Draws a numeric layer: the mean of a pixel's cells."""

    def __init__(
        self,
        values: Values,
        key: LayerKey,
        style: Style,
        scale: raster.Range,
        with_discs: bool,
        steps: int = 0,
    ) -> None:
        super().__init__(values, key, style)
        self._scale = scale
        self._steps = steps or (shade.DISC_STEPS if with_discs else shade.STEPS)
        self.colours = shade.number_colours(style.palette, self._steps)

    def pixels(self, tile: TileAddress, groups: list[Group], out: Index) -> None:
        """Write the colour indices of cells smaller than pixels into a tile, (size, size)."""
        level = self._level(tile)
        if level is not None and self._key.kind not in ("imputed", "density"):
            for group in groups:
                self._put_bin_means(tile, group, level, out)
            return
        if self._key.kind == "imputed":
            if not self._values.all_embedded:
                groups = self._embedded(tile, groups, level, out)
            self._put_imputed(tile, groups, level, out)
        elif self._key.kind == "density":
            self._put_density(tile, groups, level, out)
        else:
            for part in (part for group in groups for part in group):
                self._put_means(tile, part, out)

    def cells(self, info: SectionInfo, rows: NDArray[np.int64]) -> Index:
        """Return the colour index of single cells of a section, (m,)."""
        found = self._values.at(info, self._key, rows)
        return raster.index_numbers(found, self._scale, self._steps, raster.NO_VALUE)

    def _embedded(
        self, tile: TileAddress, groups: list[Group], level: PyramidLevel | None, out: Index
    ) -> list[Group]:
        """Mark the pixels of cells without an embedding; return the other parts."""
        parts = [part for group in groups for part in group]
        have = [self._values.has(info, self._key) for info, _ in parts]
        nothing = [part for part, known in zip(parts, have, strict=True) if not known]
        for group in grouped(nothing):
            if level is not None:
                bins = self._bins(level, tile, group)
                raster.put_colour(bins.codes, bins.frame, raster.NO_VALUE, out)
                continue
            for part in group:
                raster.put_colour(*self._codes(tile, part), raster.NO_VALUE, out)
        return grouped([part for part, known in zip(parts, have, strict=True) if known])

    def _put_imputed(
        self, tile: TileAddress, groups: list[Group], level: PyramidLevel | None, out: Index
    ) -> None:
        atlas, ramp = self._values.atlas, (self._scale, self._steps)
        embedding = atlas.embedding("cell")
        found = self._values.direction(atlas.genes.index(self._key.name))
        if embedding is None or found is None:
            return
        for group in groups:
            if level is not None and level.embedding is not None:
                bins = self._bins(level, tile, group)
                cells = level.embedding[bins.bins]
                raster.put_imputed(bins.codes, bins.frame, cells, found, *ramp, out)
                continue
            for part in group:
                cells = embedding.values[part[1]]
                raster.put_imputed(*self._codes(tile, part), cells, found, *ramp, out)

    def _put_means(self, tile: TileAddress, part: Part, out: Index) -> None:
        found = self._values.of(part[0], self._key, part[1])
        raster.put_means(*self._codes(tile, part), found, self._scale, self._steps, out)

    def _put_bin_means(
        self, tile: TileAddress, group: Group, level: PyramidLevel, out: Index
    ) -> None:
        bins = self._bins(level, tile, group)
        means = self._values.means_of_bins(group, self._key, level)
        raster.put_means(bins.codes, bins.frame, means, self._scale, self._steps, out)

    def _put_density(
        self, tile: TileAddress, groups: list[Group], level: PyramidLevel | None, out: Index
    ) -> None:
        """Write counts where pixels are no finer than density is, else values of cells."""
        finest = pixel_level(tile, self._size)
        area = self._values.area(finest)
        if finest > self._values.least_density_level:
            parts = [part for group in groups for part in group]
            levels = [self._values.density_level(info) for info, _ in parts]
            for part, coarse in zip(parts, levels, strict=True):
                if finest > coarse and level is None:
                    self._put_means(tile, part, out)
                elif finest > coarse and level is not None:
                    self._put_bin_means(tile, [part], level, out)
            counted = [p for p, coarse in zip(parts, levels, strict=True) if finest <= coarse]
            groups = grouped(counted)
        counts = np.zeros(out.shape if level is None else (0, 0), np.int64)
        for group in groups:
            if level is not None:
                bins = self._bins(level, tile, group)
                found = (level.count[bins.bins] / area).astype(np.float32)
                raster.put_means(bins.codes, bins.frame, found, self._scale, self._steps, out)
                continue
            for part in group:
                raster.add_counts(*self._codes(tile, part), counts)
        raster.put_counts(counts, area, self._scale, self._steps, out)


def grouped(parts: list[Part]) -> list[Group]:
    """Return parts in groups of adjoining rows."""
    groups: list[Group] = []
    for part in parts:
        if groups and groups[-1][-1][1].stop == part[1].start:
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups
