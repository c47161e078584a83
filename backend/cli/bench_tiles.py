"""What tiles are measured, and the floors that they are held against.

The floors are those of the measurements that the targets come from. A label from an overview: a
copy of its bins' embeddings. Tiles from cells: their two binary searches, and every value of the
columns read once, codes and labels, or embeddings. Beside them stands a stricter one: a bare copy
of the rows, found beforehand.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backend.core.data import SectionInfo
from backend.core.errors import BadRequest
from backend.core.geometry import TileAddress
from backend.core.layers import LayerKey, Style, TileKey
from backend.store.atlas import Atlas
from backend.store.morton import local_range
from backend.store.schema import TILE_BITS
from backend.tiles.layouts import ROOT, Layout, LayoutName, layout_names
from backend.tiles.png import indexed_png
from backend.tiles.render import TileRenderer
from backend.tiles.spans import MONTAGE
from backend.tiles.values import Values

#: Zooms below a section's own tile, and below the root of a layout, that are measured.
ZOOMS = 8


#: Cells from which a tile without an overview counts as dense.
DENSE = 20_000


class Place(NamedTuple):
    """A tile, whether an overview holds its pixels, and how many cells it shows."""

    section: str
    address: TileAddress
    is_overview: bool = False
    n_cells: int = 0

    @property
    def part(self) -> str:
        """What sort of tile this is."""
        if self.is_overview:
            return "overview"
        return "dense deep" if self.n_cells >= DENSE else "sparse deep"


def layers(atlas: Atlas) -> list[LayerKey]:
    """Return one layer of each kind: the label of most categories, genes, a number, density."""
    names = sorted(atlas.labels(), key=lambda name: -len(atlas.label(name).categories))
    keys = [LayerKey("label", name) for name in names[:1]]
    largest = sorted(atlas.sections(), key=lambda s: -s.n_cells)
    measured = next((e for s in largest if (e := atlas.expression(s.id)) is not None), None)
    if measured is not None and len(measured.genes):
        keys.append(LayerKey("measured", atlas.genes.symbol[int(measured.genes[0])]))
    genes = imputable(atlas)
    if len(genes):
        keys.append(LayerKey("imputed", atlas.genes.symbol[int(genes[0])]))
    return [*keys, *atlas.numbers()[:1], LayerKey("density", "cells")]


def imputable(atlas: Atlas) -> NDArray[np.int64]:
    """Return the genes that can be imputed."""
    table = atlas.genes.embedding
    if table is None or atlas.embedding("cell") is None:
        return np.empty(0, np.int64)
    return np.flatnonzero(np.any(table, axis=1))


def planes(
    atlas: Atlas, renderer: TileRenderer, rng: np.random.Generator, count: int
) -> dict[str, list[Place]]:
    """Return tiles under random cells of each plane, over all zooms, by the name of the plane."""
    largest = max(atlas.sections(), key=lambda s: s.n_cells)
    rows = rng.integers(atlas.n_cells, size=count)
    own = largest.first + rng.integers(largest.n_cells, size=count)
    found = {
        "montage": [_on_montage(atlas, int(row), i) for i, row in enumerate(rows)],
        "section": [_on_section(atlas, largest, int(row), i) for i, row in enumerate(own)],
    }
    for name in layout_names(atlas):
        layout = renderer.layout(LayoutName(name, None))
        found[f"layout {name}"] = [_on_layout(layout, int(r), i) for i, r in enumerate(rows)]
    return found


class Floors(NamedTuple):
    """What a tile is held against: reading as the target says, and a bare copy of its rows."""

    floor: Callable[[], Any]
    strict: Callable[[], Any]


def floors(values: Values, renderer: TileRenderer, key: LayerKey, place: Place) -> Floors:
    """Return the floors of a tile."""
    if place.section.startswith("layout:"):
        parts = _layout_parts(values, renderer, key, place)
        search, codes = _layout_search(renderer, place)
    else:
        parts = _plane_parts(values.atlas, key, place)
        search, codes = _plane_search(values.atlas, place)
    strict = partial(_copied, parts)
    if place.is_overview:
        means = _bin_embeddings(values, renderer, place)
        return Floors(strict if means is None else partial(_copied, [means]), strict)
    read = parts[1:] if key.kind == "imputed" else parts
    return Floors(partial(_read, read, codes, search), strict)


def _copied(parts: list[tuple[Any, Any]]) -> list[NDArray[Any]]:
    return [np.array(column[rows]) for column, rows in parts]


def _read(parts: list[tuple[Any, Any]], codes: Any, search: tuple[Any, Any]) -> list[Any]:
    """Look up both ends of the rows, and add every value of each column up."""
    found = [codes.searchsorted(end) for end in search]
    for column, rows in parts:
        read = np.asarray(column[rows])
        whole = read.ndim == 2 and read.shape[1] % 8 == 0 and read.flags.c_contiguous
        found.append((read.view(np.uint64) if whole else read).sum())
    return found


def brute_force(atlas: Atlas, gene: int) -> Callable[[], Any]:
    """Return what multiplies all embeddings with a gene: N x d int8, one core."""
    embedding, table = atlas.embedding("cell"), atlas.genes.embedding
    if embedding is None or table is None:
        raise BadRequest("This atlas has no embedding.", "Embed it first.")
    cells = np.asarray(embedding.values[:])
    direction = (table[gene] * embedding.scale).astype(np.float32)
    out = np.empty(len(cells), np.float32)

    def product() -> NDArray[np.float32]:
        _product(cells, direction, out)
        return out

    return product


def encoders(png: bytes) -> tuple[Callable[[], bytes], Callable[[], bytes]]:
    """Return two that write a picture: as tiles are, and by PIL as RGBA at level 1."""
    picture = Image.open(io.BytesIO(png))
    rgba = picture.convert("RGBA")
    few = rgba.quantize(256)
    index, colours = np.array(few), np.zeros((256, 4), np.uint8)
    known = np.array(few.getpalette("RGBA"), np.uint8).reshape(-1, 4)
    colours[: len(known)] = known

    def slow() -> bytes:
        out = io.BytesIO()
        rgba.save(out, "PNG", compress_level=1)
        return out.getvalue()

    return lambda: indexed_png(index, colours), slow


def draw(renderer: TileRenderer, key: LayerKey, place: Place) -> bytes:
    """Return a tile, drawn anew: the renderer keeps none."""
    return renderer.render(TileKey(place.section, key, Style(), place.address)).png


@numba.njit(cache=True, fastmath=True)
def _product(cells: Any, direction: Any, out: Any) -> None:
    for i in range(cells.shape[0]):
        total = np.float32(0)
        for j in range(cells.shape[1]):
            total += np.float32(cells[i, j]) * direction[j]
        out[i] = total


def _section_of(atlas: Atlas, row: int) -> SectionInfo:
    return next(s for s in atlas.sections() if s.first <= row < s.first + s.n_cells)


def _inside(atlas: Atlas, info: SectionInfo, row: int) -> NDArray[np.float64]:
    """Return the place of a cell in its section's slot, 0..1 both ways."""
    xy = np.asarray(atlas.xy[row : row + 1], np.float64)[0]
    return np.asarray((xy - np.array(info.origin)) / info.side)


def _address(place: NDArray[np.float64], zoom: int) -> TileAddress:
    x, y = np.minimum((place * (1 << zoom)).astype(int), (1 << zoom) - 1).tolist()
    return TileAddress(zoom, x, y)


def _on_montage(atlas: Atlas, row: int, turn: int) -> Place:
    info = _section_of(atlas, row)
    place = (_inside(atlas, info, row) + np.array(info.slot[1:])) / (1 << info.slot.level)
    zoom = turn % (info.slot.level + ZOOMS)
    return _counted(atlas, Place(MONTAGE, _address(place, zoom)))


def _on_section(atlas: Atlas, info: SectionInfo, row: int, turn: int) -> Place:
    zoom = turn % ZOOMS
    return _counted(atlas, Place(info.id, _address(_inside(atlas, info, row), zoom)))


def _counted(atlas: Atlas, place: Place) -> Place:
    address = _on_plane(atlas, place)
    cells = sum(rows.stop - rows.start for _, rows in atlas.rows_in_tile(address))
    is_overview = address.z + TILE_BITS in atlas.pyramid_levels()
    return place._replace(is_overview=is_overview, n_cells=cells)


def _on_plane(atlas: Atlas, place: Place) -> TileAddress:
    """Return the address of a tile on the plane of the atlas."""
    z, x, y = place.address
    if place.section == MONTAGE:
        return place.address
    level, left, top = atlas.section(place.section).slot
    return TileAddress(z + level, (left << z) + x, (top << z) + y)


def _on_layout(layout: Layout, row: int, turn: int) -> Place:
    place = np.asarray(layout.positions(np.array([row % len(layout)]))[0], np.float64)
    zoom = turn % (ZOOMS + 1)
    section = f"layout:{layout.name.layout}"
    address = _address(place, zoom)
    places = layout.places(address)
    is_overview = zoom + TILE_BITS in layout.levels
    return Place(section, address, is_overview, places.stop - places.start)


def _plane_parts(atlas: Atlas, key: LayerKey, place: Place) -> list[tuple[Any, slice]]:
    address = _on_plane(atlas, place)
    parts = atlas.rows_in_tile(address)
    if not parts:
        return []
    rows = slice(parts[0][1].start, parts[-1][1].stop)
    level_of = atlas.pyramid(address.z + TILE_BITS)
    if level_of is None:
        return [(atlas.morton, rows), (_column(atlas, key), rows)]
    first = np.searchsorted(np.asarray(level_of.first), [rows.start, rows.stop]).tolist()
    column: Any = level_of.count
    if key.kind == "label":
        column = level_of.top[key.name][0]
    elif key.kind == "imputed" and level_of.embedding is not None:
        column = level_of.embedding
    bins = slice(*first)
    return [(level_of.code, bins), (column, bins)]


def _layout_parts(
    values: Values, renderer: TileRenderer, key: LayerKey, place: Place
) -> list[tuple[Any, Any]]:
    """Return bins of an overview, with their means where a gene is imputed, or places of cells."""
    layout = renderer.layout(LayoutName(place.section.removeprefix("layout:"), None))
    places = layout.places(place.address)
    if not place.is_overview:
        return [(layout.codes, places), (_column(values.atlas, key), layout.rows[places])]
    level = place.address.z + TILE_BITS
    first, bins = layout.bins_in(values, level, places)
    means = layout.mean_embedding(values, level) if key.kind == "imputed" else None
    every = slice(None)
    return [(first, every), (first, every) if means is None else (means, bins)]


def _plane_search(atlas: Atlas, place: Place) -> tuple[tuple[Any, Any], Any]:
    """Return the ends of a tile's rows as codes of one section, and the section's codes."""
    address = _on_plane(atlas, place)
    parts = atlas.rows_in_tile(address)
    info = parts[0][0] if parts else atlas.sections()[0]
    codes = np.asarray(atlas.morton[info.rows])
    lo, hi = (0, 1) if address.z < info.slot.level else local_range(info.slot, *address)
    return (np.uint32(lo), np.uint32(min(hi, 0xFFFFFFFF))), codes


def _layout_search(renderer: TileRenderer, place: Place) -> tuple[tuple[Any, Any], Any]:
    layout = renderer.layout(LayoutName(place.section.removeprefix("layout:"), None))
    lo, hi = local_range(ROOT, *place.address)
    return (np.uint32(lo), np.uint32(min(hi, 0xFFFFFFFF))), layout.codes


def _bin_embeddings(
    values: Values, renderer: TileRenderer, place: Place
) -> tuple[Any, slice] | None:
    """Return the mean embeddings of the bins of an overview tile, None where none are kept."""
    if place.section.startswith("layout:"):
        layout = renderer.layout(LayoutName(place.section.removeprefix("layout:"), None))
        level = place.address.z + TILE_BITS
        _, bins = layout.bins_in(values, level, layout.places(place.address))
        found: Any = layout.mean_embedding(values, level)
        return None if found is None else (found, bins)
    atlas = values.atlas
    parts = atlas.rows_in_tile(_on_plane(atlas, place))
    level_of = atlas.pyramid(_on_plane(atlas, place).z + TILE_BITS)
    if level_of is None or level_of.embedding is None:
        return None
    ends = [parts[0][1].start, parts[-1][1].stop]
    return level_of.embedding, slice(*np.asarray(level_of.first).searchsorted(ends).tolist())


def _column(atlas: Atlas, key: LayerKey) -> Any:
    """Return the column of all cells that a layer reads; four bytes a cell where it is made."""
    if key.kind == "label":
        return atlas.label(key.name).codes
    embedding = atlas.embedding("cell")
    if key.kind == "imputed" and embedding is not None:
        return embedding.values
    if key.kind in ("confidence", "score", "weight", "factor"):
        return atlas.number(key).values
    return atlas.morton
