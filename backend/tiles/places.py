"""Painting a layout: what a label and a numeric layer differ in when a tile of it is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from backend.core.geometry import TileAddress
from backend.core.layers import LayerKey, Style
from backend.tiles import raster, shade
from backend.tiles.discs import COVERAGE, LEAST, SUBPIXELS, disc_radius, far, put_discs, rows_near
from backend.tiles.isolate import isolated
from backend.tiles.layouts import ROOT, Layout
from backend.tiles.palette import NONE
from backend.tiles.runs import majority_of_runs, over_runs
from backend.tiles.values import Values

#: Opacity of the cells of other sections: 22 %.
CONTEXT = 56
#: Largest radius of a disc, of 256 pixels per tile; and of one among the others in grey, unless
#: those are larger.
MOST_RADIUS, DOT = 64.0, 2.0

Colours = NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Picture:
    """Colour indices (size, size), their coverage or None where all pixels are full, colours."""

    index: Colours
    cover: NDArray[np.uint8] | None
    colours: NDArray[np.uint8]


class PlacePainter(Protocol):
    """Draws cells of a layout."""

    colours: NDArray[np.uint8]

    def pixels(self, tile: TileAddress) -> Colours:
        """Return the colour indices of a tile of cells smaller than pixels, (size, size)."""

    def cells(self, places: NDArray[np.int64]) -> Colours:
        """Return the colour index of single cells, (m,)."""


def draw(
    values: Values,
    own: Layout,
    behind: Layout | None,
    key: LayerKey,
    style: Style,
    span: tuple[float, float],
    tile: TileAddress,
) -> Picture:
    """Return a tile of a layout.

    Parameters
    ----------
    own : Layout
        Cells that are coloured.
    behind : Layout or None
        Cells that are drawn in grey below them.
    span : (lo, hi)
        Colour range; unused for a label.
    tile : TileAddress
    """
    size = style.size
    around = 0.0 if behind is None else _radius(behind, tile, size)
    radius = _radius(own, tile, size)
    if behind is not None:
        radius = min(radius, max(around, DOT * size / 256))
    discs = radius > 0 or around > 0
    painter: PlacePainter
    if key.kind == "label":
        painter = LabelPlaces(values, own, key, style)
    else:
        painter = NumberPlaces(values, own, key, style, span, discs)
    grey = np.array([[*NONE["both"][:3], CONTEXT]], np.uint8)
    colours = np.concatenate([painter.colours, grey])
    index = np.zeros((size, size), np.uint16)
    cover = np.full(index.shape, COVERAGE, np.uint8)
    if behind is not None:
        context = np.uint16(len(colours) - 1)
        if around > 0:
            near = _near(behind, tile, around, size)
            _put(behind, near, np.full(len(near), context), around, tile, index, cover)
        else:
            index[_occupied(values, behind, tile, size)] = context
    if radius > 0:
        near = _near(own, tile, radius, size)
        top, edge = np.zeros_like(index), np.full_like(cover, COVERAGE)
        _put(own, near, painter.cells(near), radius, tile, top, edge)
        np.copyto(cover, edge, where=top > 0)
    else:
        top = painter.pixels(tile)
        cover[top > 0] = COVERAGE
    np.copyto(index, top, where=top > 0)
    return Picture(index, cover if discs else None, colours)


class LabelPlaces:
    """Draws a label: the commonest category of a pixel, wanted ones first."""

    def __init__(self, values: Values, layout: Layout, key: LayerKey, style: Style) -> None:
        label = values.atlas.label(key.name)
        self._values, self._layout, self._key, self._style = values, layout, key, style
        self._wanted = shade.wanted_codes(style.only, len(label.categories))
        self.colours = shade.label_colours(label.categories)

    def pixels(self, tile: TileAddress) -> Colours:
        """Return the colour indices of a tile of cells smaller than pixels, (size, size)."""
        size, layout = self._style.size, self._layout
        out = np.full((size, size), raster.EMPTY, np.int16)
        frame = raster.cell_frame(ROOT, tile, size)
        level, places = raster.pixel_level(tile, size), layout.places(tile)
        if level in layout.levels:
            first, bins = _bins(self._values, layout, level, places)
            found = self._of_bins(level, bins)
            raster.put_majority(layout.codes[first], frame, found, out, self._wanted)
        else:
            found = self._codes(layout.rows[places])
            raster.put_majority(layout.codes[places], frame, found, out, self._wanted)
        return shade.index_labels(out, self._wanted)

    def cells(self, places: NDArray[np.int64]) -> Colours:
        """Return the colour index of single cells, (m,)."""
        return shade.index_labels(self._codes(self._layout.rows[places]), self._wanted)

    def _of_bins(self, level: int, bins: slice) -> NDArray[np.int16]:
        """Return the category of bins, which are pixels: the commonest, wanted ones first."""
        stored = None
        if self._style.least is None:
            stored = self._layout.label_bins(self._values, self._key.name, level)
        if stored is None:
            return self._made(level)[bins]
        top = np.asarray(stored[0][bins])
        return top if self._wanted.all() else isolated(top, stored[1], self._wanted, bins)

    def _made(self, level: int) -> NDArray[np.int16]:
        layout = self._layout

        def make() -> NDArray[Any]:
            def of(places: slice, first: NDArray[np.uint32]) -> NDArray[Any]:
                return majority_of_runs(first, self._codes(layout.rows[places]), self._wanted)

            return over_runs(layout.first(self._values, level), len(layout), of)

        name = (*layout.name, self._key, self._style.only, self._style.least, level)
        kept: NDArray[np.int16] = self._values.cache.get(name, make)
        return kept

    def _codes(self, rows: NDArray[np.uint32]) -> NDArray[np.int16]:
        return self._values.anywhere_codes(self._key, rows, self._style.least)


class NumberPlaces:
    """Draws a numeric layer: the mean of a pixel's cells."""

    def __init__(
        self,
        values: Values,
        layout: Layout,
        key: LayerKey,
        style: Style,
        span: tuple[float, float],
        with_discs: bool,
    ) -> None:
        self._values, self._layout, self._key, self._size = values, layout, key, style.size
        self._scale = shade.value_range(key, span, style.palette)
        self._steps = shade.DISC_STEPS if with_discs else shade.STEPS
        self.colours = shade.number_colours(style.palette, self._steps)

    def pixels(self, tile: TileAddress) -> Colours:
        """Return the colour indices of a tile of cells smaller than pixels, (size, size)."""
        layout = self._layout
        out = np.full((self._size, self._size), np.nan, np.float32)
        frame = raster.cell_frame(ROOT, tile, self._size)
        level, places = raster.pixel_level(tile, self._size), layout.places(tile)
        direction = self._direction()
        if level in layout.levels:
            first, bins = _bins(self._values, layout, level, places)
            codes = layout.codes[first]
            means = layout.mean_embedding(self._values, level) if direction else None
            if means is not None and direction is not None:
                raster.put_imputed(codes, frame, means[bins], *direction, out)
            else:
                raster.put_means(codes, frame, self._of_bins(level)[bins], out)
        elif direction is not None:
            cells = self._embedded(layout.rows[places])
            raster.put_imputed(layout.codes[places], frame, cells, *direction, out)
        else:
            raster.put_means(layout.codes[places], frame, self._at(layout.rows[places]), out)
        return shade.index_numbers(out, self._scale, self._steps)

    def cells(self, places: NDArray[np.int64]) -> Colours:
        """Return the colour index of single cells, (m,)."""
        found = self._at(self._layout.rows[places])
        found = np.where(np.isnan(found), np.float32(np.inf), found)
        return shade.index_numbers(found, self._scale, self._steps)

    def _of_bins(self, level: int) -> NDArray[np.float32]:
        layout = self._layout

        def make() -> NDArray[Any]:
            def of(places: slice, first: NDArray[np.uint32]) -> NDArray[Any]:
                found = self._at(layout.rows[places])
                return raster.mean_of_bins(first.astype(np.int64), found, 0)

            return over_runs(layout.first(self._values, level), len(layout), of)

        kept: NDArray[np.float32] = self._values.cache.get((*layout.name, self._key, level), make)
        return kept

    def _at(self, rows: NDArray[np.uint32]) -> NDArray[np.float32]:
        info = self._layout.section
        if info is not None:
            return self._values.at(info, self._key, rows.astype(np.int64) - info.first)
        return self._values.anywhere(self._key, rows)

    def _direction(self) -> tuple[NDArray[np.float32], float] | None:
        """Return direction and offset of an imputed gene, or None for all other layers."""
        if self._key.kind != "imputed":
            return None
        info = self._layout.section
        if info is not None and not self._values.has(info, self._key):
            return None
        return self._values.direction(self._values.atlas.genes.index(self._key.name))

    def _embedded(self, rows: NDArray[np.uint32]) -> NDArray[np.int8]:
        embedding = self._values.atlas.embedding("cell")
        assert embedding is not None
        return np.asarray(embedding.values[rows])


def _bins(
    values: Values, layout: Layout, level: int, places: slice
) -> tuple[NDArray[np.uint32], slice]:
    """Return the first places of the bins that begin in some places, and which bins they are."""
    first = layout.first(values, level)
    edges = np.searchsorted(first, [places.start, places.stop])
    bins = slice(int(edges[0]), int(edges[1]))
    return first[bins], bins


def _occupied(values: Values, layout: Layout, tile: TileAddress, size: int) -> NDArray[np.bool_]:
    """Return the pixels of a tile that hold a cell, (size, size)."""
    counts = np.zeros((size, size), np.int64)
    level, places = raster.pixel_level(tile, size), layout.places(tile)
    if level in layout.levels:
        first, _ = _bins(values, layout, level, places)
        codes = layout.codes[first]
    else:
        codes = layout.codes[places]
    raster.add_counts(codes, raster.cell_frame(ROOT, tile, size), counts)
    return counts > 0


def _radius(layout: Layout, tile: TileAddress, size: int) -> float:
    """Return the radius of discs in pixels, 0 where cells are pixels."""
    info = layout.info()
    radius = disc_radius(info, 2.0 ** raster.pixel_level(tile, size))
    if raster.is_finer_than_codes(ROOT, tile, size):
        radius = max(radius, LEAST)
    return min(radius, MOST_RADIUS * size / 256)


def _near(layout: Layout, tile: TileAddress, radius: float, size: int) -> NDArray[np.int64]:
    return rows_near(layout.codes, ROOT, tile, (radius + 1) / size)


def _put(
    layout: Layout,
    places: NDArray[np.int64],
    colours: Colours,
    radius: float,
    tile: TileAddress,
    index: Colours,
    cover: NDArray[np.uint8],
) -> None:
    """Draw cells as discs into one picture."""
    side = 2.0 ** raster.pixel_level(tile, len(index)) * SUBPIXELS
    corner = np.array([tile.x, tile.y], np.int64) * len(index) * SUBPIXELS
    centres = np.floor(layout.positions(places) * side).astype(np.int64) - corner
    put_discs(centres, colours, radius, index, cover, far(index.shape))
