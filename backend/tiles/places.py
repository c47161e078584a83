"""Painting a layout: what a label and a numeric layer differ in when a tile of it is drawn."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from backend.core.geometry import TileAddress
from backend.core.layers import LayerKey, Style
from backend.core.trust import CERTAINTY
from backend.store.flat import Rows
from backend.store.pyramid import Holders
from backend.tiles import fade, raster, shade
from backend.tiles.canvas import canvas_of
from backend.tiles.discs import LEAST, SUBPIXELS, disc_radius, rows_near
from backend.tiles.frames import cell_frame, is_finer_than_codes, pixel_level
from backend.tiles.image import Colours
from backend.tiles.isolate import isolated
from backend.tiles.layouts import ROOT, Layout
from backend.tiles.nearest import COVERAGE, Discs
from backend.tiles.palette import NONE
from backend.tiles.runs import majority_of_runs, over_runs
from backend.tiles.values import Values

#: Opacity of the cells of other sections: 22 %.
CONTEXT = 56
#: Largest radius of a disc, of 256 pixels per tile; and of one among the others in grey, unless
#: those are larger.
MOST_RADIUS, DOT = 64.0, 2.0

Index = NDArray[np.uint16]


class PlacePainter(Protocol):
    """Draws cells of a layout."""

    colours: Colours

    def pixels(self, tile: TileAddress, out: Index) -> None:
        """Write the colour indices of cells smaller than pixels into a tile, (size, size)."""

    def cells(self, places: NDArray[np.int64]) -> Index:
        """Return the colour index of single cells, (m,)."""


def draw(
    values: Values,
    own: Layout,
    behind: Layout | None,
    key: LayerKey,
    style: Style,
    span: tuple[float, float],
    tile: TileAddress,
) -> bytes | None:
    """Return a tile of a layout as PNG, or None where there is nothing in it.

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
        painter = _number_places(values, own, key, style, span, discs)
    if behind is not None:
        return _draw_before(values, painter, (own, radius), (behind, around), tile, size)
    canvas = canvas_of(size)
    if discs:
        near = _near(own, tile, radius, size)
        canvas.begin_discs(radius, len(painter.colours.rgba))
        canvas.put_discs(_centres(own, near, tile, size), painter.cells(near), radius)
    else:
        painter.pixels(tile, canvas.index)
    return canvas.png(painter.colours, discs)


def _number_places(
    values: Values,
    own: Layout,
    key: LayerKey,
    style: Style,
    span: tuple[float, float],
    discs: bool,
) -> PlacePainter:
    """Return the painter of a numeric layer, faded where that is asked for and can be done."""
    if not values.can_fade(key, style):
        return NumberPlaces(values, own, key, style, span, discs)
    value = NumberPlaces(values, own, key, style, span, True)
    whole = fade.WHOLE.lo, fade.WHOLE.hi
    certainty = NumberPlaces(values, own, CERTAINTY, style, whole, True, fade.LEVELS)
    return fade.Faded(value, certainty, style.palette, shade.DISC_STEPS)


def _draw_before(
    values: Values,
    painter: PlacePainter,
    own: tuple[Layout, float],
    behind: tuple[Layout, float],
    tile: TileAddress,
    size: int,
) -> bytes | None:
    """Return a tile of cells before others in grey; both with the radius of their discs."""
    (layout, radius), (others, around) = own, behind
    colours = with_grey(painter.colours)
    context = np.uint16(len(colours.rgba) - 1)
    index = np.zeros((size, size), np.uint16)
    cover = np.full(index.shape, COVERAGE, np.uint8)
    if around > 0:
        near = _near(others, tile, around, size)
        grey = np.full(len(near), context)
        places = _centres(others, near, tile, size)
        _draw_discs(places, grey, around, index, cover)
    else:
        index[_occupied(values, others, tile, size)] = context
    top, edge = np.zeros_like(index), np.full_like(cover, COVERAGE)
    if radius > 0:
        near = _near(layout, tile, radius, size)
        places = _centres(layout, near, tile, size)
        _draw_discs(places, painter.cells(near), radius, top, edge)
    else:
        painter.pixels(tile, top)
    np.copyto(cover, edge, where=top > 0)
    np.copyto(index, top, where=top > 0)
    if not index.any():
        return None
    return colours.png(index, cover if radius > 0 or around > 0 else None)


def _draw_discs(
    places: NDArray[np.int64],
    colours: Index,
    radius: float,
    index: Index,
    cover: NDArray[np.uint8],
) -> None:
    drawn = Discs(*index.shape)
    drawn.put(places, colours, radius)
    drawn.draw(index, cover)


def with_grey(colours: Colours) -> Colours:
    """Return a colour table with the grey of other sections' cells at its end."""
    grey = np.array([[*NONE["both"][:3], CONTEXT]], np.uint8)
    return Colours(np.concatenate([colours.rgba, grey]))


class LabelPlaces:
    """Draws a label: the commonest category of a pixel, wanted ones first."""

    def __init__(self, values: Values, layout: Layout, key: LayerKey, style: Style) -> None:
        self._values, self._layout, self._key, self._style = values, layout, key, style
        self._look = values.look(key.name, style.only)
        self.colours = values.label_colours(key.name)

    def pixels(self, tile: TileAddress, out: Index) -> None:
        """Write the colour indices of cells smaller than pixels into a tile, (size, size)."""
        size, layout, look = self._style.size, self._layout, self._look
        frame = cell_frame(ROOT, tile, size)
        level, places = pixel_level(tile, size), layout.places(tile)
        if level in layout.levels and self._has_bins(level):
            first, bins = layout.bins_in(self._values, level, places)
            found = self._of_bins(level, bins)[:, np.newaxis]
            raster.put_firsts(layout.codes[first], frame, found, look.table, out)
        else:
            found = self._codes(layout.rows[places])
            codes = layout.codes[places]
            raster.put_majority(codes, frame, found, look.ranks, look.table, out)

    def cells(self, places: NDArray[np.int64]) -> Index:
        """Return the colour index of single cells, (m,)."""
        return shade.index_labels(self._codes(self._layout.rows[places]), self._look.table)

    def _has_bins(self, level: int) -> bool:
        """Return whether the categories of a level's bins are stored, or few enough to be kept."""
        return self._stored(level) is not None or self._layout.is_coarse(self._values, level)

    def _stored(self, level: int) -> tuple[Rows, Holders] | None:
        if self._style.least is not None:
            return None
        return self._layout.label_bins(self._values, self._key.name, level)

    def _of_bins(self, level: int, bins: slice) -> NDArray[np.int16]:
        """Return the category of bins, which are pixels: the commonest, wanted ones first."""
        stored = self._stored(level)
        if stored is None:
            return self._made(level)[bins]
        top = np.asarray(stored[0][bins])
        return top if self._look.whole else isolated(top, stored[1], self._look.wanted, bins)

    def _made(self, level: int) -> NDArray[np.int16]:
        layout = self._layout

        def make() -> NDArray[Any]:
            def of(places: slice, first: NDArray[np.uint32]) -> NDArray[Any]:
                return majority_of_runs(first, self._codes(layout.rows[places]), self._look.wanted)

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
        steps: int = 0,
    ) -> None:
        self._values, self._layout, self._key, self._size = values, layout, key, style.size
        self._scale = shade.value_range(key, span, style.palette)
        self._steps = steps or (shade.DISC_STEPS if with_discs else shade.STEPS)
        self.colours = shade.number_colours(style.palette, self._steps)

    def pixels(self, tile: TileAddress, out: Index) -> None:
        """Write the colour indices of cells smaller than pixels into a tile, (size, size)."""
        layout, ramp = self._layout, (self._scale, self._steps)
        frame = cell_frame(ROOT, tile, self._size)
        level, places = pixel_level(tile, self._size), layout.places(tile)
        direction = self._direction()
        means = None
        if level in layout.levels and direction is not None:
            means = layout.mean_embedding(self._values, level)
        coarse = level in layout.levels and layout.is_coarse(self._values, level)
        if means is not None or coarse:
            first, bins = layout.bins_in(self._values, level, places)
            codes = layout.codes[first]
            if means is not None and direction is not None:
                raster.put_imputed(codes, frame, means[bins], direction, *ramp, out)
            else:
                raster.put_means(codes, frame, self._of_bins(level)[bins], *ramp, out)
        elif direction is not None:
            cells = self._embedded(layout.rows[places])
            raster.put_imputed(layout.codes[places], frame, cells, direction, *ramp, out)
        else:
            found = self._at(layout.rows[places])
            raster.put_means(layout.codes[places], frame, found, *ramp, out)

    def cells(self, places: NDArray[np.int64]) -> Index:
        """Return the colour index of single cells, (m,)."""
        found = self._at(self._layout.rows[places])
        return raster.index_numbers(found, self._scale, self._steps, raster.NO_VALUE)

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


def _occupied(values: Values, layout: Layout, tile: TileAddress, size: int) -> NDArray[np.bool_]:
    """Return the pixels of a tile that hold a cell, (size, size)."""
    counts = np.zeros((size, size), np.int64)
    level, places = pixel_level(tile, size), layout.places(tile)
    if level in layout.levels:
        first, _ = layout.bins_in(values, level, places)
        codes = layout.codes[first]
    else:
        codes = layout.codes[places]
    raster.add_counts(codes, cell_frame(ROOT, tile, size), counts)
    return counts > 0


def _radius(layout: Layout, tile: TileAddress, size: int) -> float:
    """Return the radius of discs in pixels, 0 where cells are pixels."""
    info = layout.info()
    radius = disc_radius(info, 2.0 ** pixel_level(tile, size))
    if is_finer_than_codes(ROOT, tile, size):
        radius = max(radius, LEAST)
    return min(radius, MOST_RADIUS * size / 256)


def _near(layout: Layout, tile: TileAddress, radius: float, size: int) -> NDArray[np.int64]:
    return rows_near(layout.codes, ROOT, tile, (radius + 1) / size)


def _centres(
    layout: Layout, places: NDArray[np.int64], tile: TileAddress, size: int
) -> NDArray[np.int64]:
    """Return the positions of cells from the tile's corner, in subpixels."""
    side = 2.0 ** pixel_level(tile, size) * SUBPIXELS
    corner = np.array([tile.x, tile.y], np.int64) * size * SUBPIXELS
    return np.floor(layout.positions(places) * side).astype(np.int64) - corner
