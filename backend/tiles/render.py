"""TileRenderer: from a tile's key to its picture.

Address -> rows of the store -> values -> raster -> colour indices -> PNG. Sections whose cells are
smaller than half a pixel are drawn as pixels, from the pyramid where it has the tile's level;
larger cells are drawn as discs.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionInfo
from backend.core.errors import BadRequest, TileOutOfRange
from backend.core.geometry import CODE_BITS, MAX_ZOOM, TileAddress
from backend.core.layers import LayerKey, Style, TileKey
from backend.store.atlas import Atlas
from backend.tiles import shade
from backend.tiles.cache import ArrayCache, tile_cache_key
from backend.tiles.canvas import Canvas, canvas_of
from backend.tiles.discs import (
    DISC_FROM,
    LEAST,
    disc_radius,
    mean_distance,
    rows_near,
    subpixels,
)
from backend.tiles.frames import is_finer_than_codes, pixel_level
from backend.tiles.layouts import Layout, LayoutName, open_layout, parse_layout
from backend.tiles.paint import Painter, grouped, painter_of
from backend.tiles.places import draw
from backend.tiles.png import indexed_png
from backend.tiles.spans import MONTAGE, Histogram, layer_histogram, layer_span
from backend.tiles.values import Values
from backend.tiles.warm import warm_kernels

__all__ = ["Histogram", "Tile", "TileRenderer"]

#: Largest radius of a disc, of 256 pixels per tile.
MOST_RADIUS = 64.0
SIZES = (256, 512)
#: Bytes of ranges and histograms that a renderer keeps: some ten thousand.
RANGE_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Tile:
    """A picture, its strong etag, and whether there is nothing in it."""

    png: bytes
    etag: str
    empty: bool


class TileRenderer:
    """Draws tiles of one edition of an atlas; safe to use from several threads.

    Parameters
    ----------
    atlas : Atlas
    """

    def __init__(self, atlas: Atlas) -> None:
        self.atlas = atlas
        self._values = Values(atlas)
        self._edition = f"{atlas.path}|{atlas.attrs.get('created')}|{atlas.version}"
        self._ranges = ArrayCache(RANGE_BYTES)

    def render(self, key: TileKey) -> Tile:
        """Return a tile.

        Raises
        ------
        TileOutOfRange
            If the address is outside the quadtree, or deeper than tiles go.
        UnknownSection, UnknownLayer, UnknownGene
            If the atlas has no such section or layer.
        BadRequest
            If the palette, the size or the range cannot be used.
        """
        style = key.style
        _check_style(style)
        layer = self._values.check(key.layer)
        plane = parse_layout(key.section)
        if plane is not None:
            return self._render_layout(plane, key, layer)
        address = self._on_plane(key.section, key.address)
        etag = tile_cache_key(key, self._edition)
        parts = self.atlas.rows_in_tile(address)
        discs = self._discs(address, parts, style.size)
        as_discs = {info.id for info, _ in discs}
        groups = (
            grouped([part for part in parts if part[0].id not in as_discs])
            if discs
            else ([parts] if parts else [])
        )
        if not groups and not discs:
            return Tile(_nothing(style.size), etag, True)
        span = self._style_span(key.section, layer, style)
        painter = painter_of(self._values, layer, style, span, bool(discs))
        canvas = canvas_of(style.size)
        if groups:
            painter.pixels(address, groups, canvas.index)
        if discs:
            self._draw_discs(painter, address, discs, canvas)
        png = canvas.png(painter.colours, bool(discs))
        return Tile(_nothing(style.size), etag, True) if png is None else Tile(png, etag, False)

    def layout(self, name: LayoutName) -> Layout:
        """Return another plane of the cells, or the part of it that is one section's.

        Raises
        ------
        UnknownSection
        """
        return open_layout(self._values, name)

    def _render_layout(self, plane: LayoutName, key: TileKey, layer: LayerKey) -> Tile:
        """Return a tile of another plane; before all cells in grey where it is one section's."""
        address, style = key.address.checked(), key.style
        own = self.layout(plane)
        behind = self.layout(plane._replace(section=None)) if plane.section else None
        span = self._style_span(plane.base, layer, style)
        found = draw(self._values, own, behind, layer, style, span, address)
        etag = tile_cache_key(key, self._edition)
        return Tile(_nothing(style.size), etag, True) if found is None else Tile(found, etag, False)

    def _style_span(self, section: str, layer: LayerKey, style: Style) -> tuple[float, float]:
        """Return the colour range that a style asks for, or that of the layer; 0, 0 for a label."""
        lo, hi = style.lo, style.hi
        if layer.kind == "label":
            return 0.0, 0.0
        if lo is None or hi is None:
            default = self.span(section, layer)
            lo, hi = default[0] if lo is None else lo, default[1] if hi is None else hi
        return lo, hi

    def span(self, section: str, key: LayerKey) -> tuple[float, float]:
        """Return the colour range of a numeric layer in a section, or in the atlas.

        A layout has the ranges of the section or atlas whose cells it shows.

        Raises
        ------
        UnknownSection, UnknownLayer, UnknownGene, BadRequest
        """
        key, section = self._values.check(key), _base(section)
        found: tuple[float, float] = self._ranges.get(
            (section, key), lambda: layer_span(self._values, section, key)
        )
        return found

    def histogram(self, section: str, key: LayerKey, bins: int = 40) -> Histogram:
        """Return the distribution of a numeric layer in a section, or in the atlas."""
        key, section = self._values.check(key), _base(section)
        found: Histogram = self._ranges.get(
            (section, key, bins), lambda: layer_histogram(self._values, section, key, bins)
        )
        return found

    def values(self, section: str, key: LayerKey, rows: slice) -> NDArray[Any]:
        """Return the values of atlas rows.

        Returns
        -------
        (m,) float32, nan where missing; (m,) int16 codes for a label
        """
        key, section = self._values.check(key), _base(section)
        if section != MONTAGE:
            return self._values.of(self.atlas.section(section), key, rows)
        parts = [
            self._values.of(info, key, slice(start, stop))
            for info in self.atlas.sections()
            if (start := max(rows.start, info.first))
            < (stop := min(rows.stop, info.first + info.n_cells))
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    def warm(self) -> None:
        """Compile every kernel on a few cells, so that no reader waits for it."""
        warm_kernels()

    def _on_plane(self, section: str, address: TileAddress) -> TileAddress:
        """Return the address on the atlas plane of a tile of a section."""
        z, x, y = address.checked()
        if section == MONTAGE:
            return address
        level, left, top = self.atlas.section(section).slot
        if z + level > MAX_ZOOM:
            raise TileOutOfRange(
                f"Tile zoom {z} is out of range for this section.", f"Use 0 to {MAX_ZOOM - level}."
            )
        return TileAddress(z + level, (left << z) + x, (top << z) + y)

    def _discs(
        self, address: TileAddress, parts: list[tuple[SectionInfo, slice]], size: int
    ) -> list[tuple[SectionInfo, float]]:
        """Return the sections whose cells are discs that may reach into a tile, with radii."""
        level = pixel_level(address, size)
        scale = 2.0**level / self.atlas.world_um
        if level <= self._codes_end and self._farthest * scale < DISC_FROM:
            return []
        near = [info for info, _ in parts]
        if not near:
            around = _slot_around(self.atlas, address)
            near = [] if around is None else [around]
        found = [(info, self._radius(info, address, size)) for info in near]
        return [(info, radius) for info, radius in found if radius > 0]

    @cached_property
    def _farthest(self) -> float:
        """Largest distance of neighbours in any section."""
        return max((mean_distance(info) for info in self.atlas.sections()), default=0.0)

    @cached_property
    def _codes_end(self) -> int:
        """Finest level whose pixels are not smaller than the steps of any slot's grid."""
        return min((info.slot.level for info in self.atlas.sections()), default=0) + CODE_BITS

    def _radius(self, info: SectionInfo, address: TileAddress, size: int) -> float:
        """Return the radius of a section's discs in pixels, 0 where its cells are pixels."""
        radius = disc_radius(info, 2.0 ** pixel_level(address, size) / self.atlas.world_um)
        if is_finer_than_codes(info.slot, address, size):
            radius = max(radius, LEAST)
        return min(radius, MOST_RADIUS * size / 256)

    def _draw_discs(
        self,
        painter: Painter,
        address: TileAddress,
        discs: list[tuple[SectionInfo, float]],
        canvas: Canvas,
    ) -> None:
        size = len(canvas.index)
        level = pixel_level(address, size)
        corner = (address.x * size, address.y * size)
        largest = max(radius for _, radius in discs)
        canvas.begin_discs(largest, len(painter.colours.rgba))
        for info, radius in discs:
            reach = (radius + 1) / size
            rows = rows_near(self._values.codes(info), info.slot, address, reach)
            if not len(rows):
                continue
            xy, at = self._values.positions(info, rows)
            places = subpixels(xy, at, info, level, corner)
            canvas.put_discs(places, painter.cells(info, rows), radius)


def _base(section: str) -> str:
    plane = parse_layout(section)
    return section if plane is None else plane.base


def _slot_around(atlas: Atlas, address: TileAddress) -> SectionInfo | None:
    """Return the section whose slot holds a tile, or None."""
    for info in atlas.sections():
        depth = address.z - info.slot.level
        if depth >= 0 and (address.x >> depth, address.y >> depth) == info.slot[1:]:
            return info
    return None


def _check_style(style: Style) -> None:
    if style.size not in SIZES:
        raise BadRequest(f"Tiles have no {style.size} pixels.", "Use size 256 or 512.")
    shade.check_palette(style.palette)
    bounds = [v for v in (style.lo, style.hi, style.least) if v is not None]
    if not all(map(math.isfinite, bounds)):
        raise BadRequest("A range has an end that is not finite.", "Give lo and hi as numbers.")


@lru_cache(maxsize=len(SIZES))
def _nothing(size: int) -> bytes:
    """Return a transparent tile, a few dozen bytes."""
    return indexed_png(
        np.zeros((size, size), np.uint8), np.zeros((1, 4), np.uint8), compress=zlib.compress
    )
