"""Other planes of the same cells, such as a UMAP: their own Z-curve over the unit square.

A plane's section name is ``layout:umap``, or ``layout:umap@<section>`` for the cells of one section
before all others in grey. Cells that the layout has no place for come last in its order and are
never counted.

An overview tile must not touch every cell: numbers of the bins of a level are made once and kept in
memory, four bytes per bin; mean embeddings, d bytes per bin and the same for all genes, and what
bins hold of each label are written beside the layout, so that all processes share one copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionInfo
from backend.core.errors import UnknownSection, did_you_mean
from backend.core.geometry import CODE_BITS, Bounds, Slot, TileAddress
from backend.store import flat, schema
from backend.store.atlas import Atlas
from backend.store.flat import Rows
from backend.store.morton import decode, local_range
from backend.store.pyramid import Holders
from backend.tiles.runs import run_starts
from backend.tiles.spans import MONTAGE
from backend.tiles.values import WHOLE_BINS, Values

PREFIX = "layout:"
#: The plane is one slot of the smallest level.
ROOT = Slot(0, 0, 0)
#: A level has an overview while its densest tile holds more cells than this.
DENSE_PLACES = 100_000
#: First level with an overview: that of the pixels of tile (0, 0, 0).
FIRST_LEVEL = 8
#: Radius of a disc as a part of the distance of neighbours.
_FILL = 0.4
#: Places whose surroundings are looked at to learn how far neighbours are apart, and cells in each.
_WINDOWS, _WINDOW = 4096, 64
CELLS = schema.embedding_array("cell")

Codes = NDArray[np.uint32]


class LayoutName(NamedTuple):
    """A layout, and the section whose cells are coloured; None for all."""

    layout: str
    section: str | None

    @property
    def base(self) -> str:
        """Section whose ranges, counts and descriptions hold on this plane."""
        return self.section or MONTAGE


def parse_layout(section: str) -> LayoutName | None:
    """Return what a plane's section name says, or None where it names no layout."""
    if not section.startswith(PREFIX):
        return None
    name, _, own = section.removeprefix(PREFIX).partition("@")
    return LayoutName(name, own or None)


def layout_names(atlas: Atlas) -> tuple[str, ...]:
    """Return the names of the layouts of an atlas."""
    found = (place.split("/") for place in atlas.attrs["arrays"] if place.startswith("layouts/"))
    return tuple(sorted({parts[1] for parts in found if parts[2] == "order"}))


def check_layout(atlas: Atlas, name: LayoutName) -> None:
    """Raise UnknownSection if an atlas has no such layout, or no such section."""
    known = layout_names(atlas)
    if name.layout not in known:
        raise UnknownSection(
            f"Layout '{name.layout[:80]}' is not in atlas '{atlas.name}'.",
            did_you_mean(name.layout[:80], known)
            or "A UMAP is made when the cells are embedded: python -m backend embed",
        )
    if name.section is not None:
        atlas.section(name.section)


@dataclass(frozen=True, slots=True)
class Layout:
    """Cells along the Z-curve of a plane.

    Parameters
    ----------
    name : LayoutName
    codes : (m,) uint32
        Codes over the unit square, ascending.
    rows : (m,) uint32
        Atlas row of the cell at each place.
    spacing : float
        Typical distance of neighbours; the plane's side is 1.
    levels : tuple of int
        Levels that are drawn from an overview.
    overview : str
        Folder in the store with the mean embeddings of the levels; empty where there is none.
    section : SectionInfo or None
        The section that all cells belong to.
    """

    name: LayoutName
    codes: Codes
    rows: NDArray[np.uint32]
    spacing: float
    levels: tuple[int, ...]
    overview: str = ""
    section: SectionInfo | None = None

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.codes)

    def places(self, tile: TileAddress) -> slice:
        """Return the places of the cells in a tile; smaller than a step, those of the step."""
        lo, hi = local_range(ROOT, *tile)
        start = int(np.searchsorted(self.codes, np.uint32(lo)))
        if hi > 0xFFFFFFFF:
            return slice(start, len(self))
        return slice(start, int(np.searchsorted(self.codes, np.uint32(hi))))

    def info(self) -> SectionInfo:
        """Return the plane as a section with the unit square as its slot."""
        side = self.spacing * max(len(self), 1) ** 0.5
        return SectionInfo(
            id=f"{PREFIX}{self.name.layout}",
            title=self.name.layout,
            dataset="",
            technology="",
            species="",
            first=0,
            n_cells=len(self),
            slot=ROOT,
            origin=(0.0, 0.0),
            side=1.0,
            extent=Bounds(0, 0, side, side),
            radius=_FILL * self.spacing,
            n_genes=0,
        )

    def positions(self, places: slice | NDArray[np.int64]) -> NDArray[np.float64]:
        """Return where cells are on the unit square, (m, 2)."""
        x, y = decode(self.codes[places])
        return (np.column_stack([x, y]) + 0.5) / (1 << CODE_BITS)

    def first(self, values: Values, level: int) -> NDArray[np.uint32]:
        """Return the first place of each occupied node of a level; kept where they are few."""
        kept, before = self._bins(values, level)
        return run_starts(self.codes, level) if len(before) else kept

    def is_coarse(self, values: Values, level: int) -> bool:
        """Return whether a level has few enough nodes to keep a number of each."""
        return not len(self._bins(values, level)[1])

    def bins_in(
        self, values: Values, level: int, places: slice
    ) -> tuple[NDArray[np.uint32], slice]:
        """Return the first places of the nodes of a level in a tile, and which nodes they are.

        Parameters
        ----------
        places : slice
            Those of a tile.
        """
        kept, before = self._bins(values, level)
        start = int(kept.searchsorted(np.uint32(places.start)))
        if not len(before):
            bins = slice(start, start + int(kept[start:].searchsorted(np.uint32(places.stop))))
            return kept[bins], bins
        own = run_starts(self.codes[places], level) + np.uint32(places.start)
        begin = int(before[start]) if len(own) else 0
        return own, slice(begin, begin + len(own))

    def _bins(self, values: Values, level: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Return the first place of each node; of many nodes those of tiles, and nodes before them.

        Tens of megabytes would otherwise be kept by every process, and drive out all else.
        """

        def make() -> tuple[NDArray[Any], NDArray[Any]]:
            first = run_starts(self.codes, level)
            if len(first) <= WHOLE_BINS or level <= FIRST_LEVEL:
                return first, np.empty(0, np.int64)
            tiles = run_starts(self.codes, level - FIRST_LEVEL)
            return tiles, first.searchsorted(tiles)

        kept: tuple[NDArray[np.uint32], NDArray[np.int64]] = values.cache.get(
            (*self.name, "bins", level), make
        )
        return kept

    def mean_embedding(self, values: Values, level: int) -> Rows | None:
        """Return the mean embedding of each occupied node of a level, or None where not stored."""
        if not self.overview:
            return None
        name = f"{self.overview}/{level}"
        if name not in values.opened:
            values.opened[name] = flat.read(folder_of(values.atlas, name))
        found: Rows = values.opened[name]
        return found

    def label_bins(self, values: Values, label: str, level: int) -> tuple[Rows, Holders] | None:
        """Return the commonest category of each node of a level, and the nodes of each category.

        None where not stored, or stored of a label that was written anew since.
        """
        if not self.overview or label not in _labels_of(values, self.overview):
            return None
        name = f"{self.overview}/{label_place(label)}/{level}"
        if name not in values.opened:
            parts = [
                flat.read(folder_of(values.atlas, f"{name}/{part}"))
                for part in ("top", *Holders._fields)
            ]
            values.opened[name] = parts[0], Holders(*parts[1:])
        found: tuple[Rows, Holders] = values.opened[name]
        return found


def open_layout(values: Values, name: LayoutName) -> Layout:
    """Return a layout of an atlas, or the part of it that is one section's.

    Raises
    ------
    UnknownSection
    """
    whole: Layout | None = values.opened.get(name._replace(section=None))
    if whole is None:
        whole = _open_whole(values, name._replace(section=None))
        # An overview is written just after its layout: look again until it is there.
        if whole.overview or not whole.levels:
            values.opened[whole.name] = whole
    if name.section is None:
        return whole
    info = values.atlas.section(name.section)
    own: tuple[Codes, NDArray[np.uint32], float, NDArray[np.int64]] = values.cache.get(
        (*name, "cells"), lambda: _part(whole.codes, whole.rows, info)
    )
    return Layout(name, *own[:3], tuple(own[3].tolist()), section=info)


def _open_whole(values: Values, name: LayoutName) -> Layout:
    check_layout(values.atlas, name)
    found = values.atlas.layout(name.layout)
    assert found is not None
    order, codes = (_mapped(values, (*name, i), part) for i, part in enumerate(found))
    placed = _placed(values.atlas, name.layout, codes)
    order, codes = order[:placed], codes[:placed]
    about: tuple[float, NDArray[np.int64]] = values.cache.get(
        (*name, "about"), lambda: (spacing(codes), dense_levels(codes))
    )
    overview = _overview(values.atlas, name.layout)
    return Layout(name, codes, order, about[0], tuple(about[1].tolist()), overview)


def _part(codes: Codes, order: NDArray[np.uint32], info: SectionInfo) -> tuple[Any, ...]:
    """Return codes, rows, spacing and overview levels of one section's cells."""
    mine = np.flatnonzero(order - np.uint32(info.first) < np.uint32(info.n_cells))
    own = codes[mine]
    return own, order[mine], spacing(own), dense_levels(own)


def _mapped(values: Values, key: tuple[Any, ...], rows: Rows) -> NDArray[np.uint32]:
    if isinstance(rows, np.ndarray):
        return rows
    kept: NDArray[np.uint32] = values.cache.get(("layout", *key), lambda: np.asarray(rows[:]))
    return kept


def _placed(atlas: Atlas, layout: str, codes: Codes) -> int:
    """Return how many cells of a layout have a place; the others come last, all in one spot."""
    about = flat.read_header(folder_of(atlas, _order(atlas, layout)))["attributes"]
    if "placed" in about:
        return int(about["placed"])
    embedding = atlas.embedding("cell")
    if embedding is None:
        return len(codes)
    placed = sum(s.n_cells for s in atlas.sections() if s.id in embedding.sections)
    last_alike = placed < len(codes) and codes[placed] == codes[-1]
    return placed if last_alike else len(codes)


def spacing(codes: Codes) -> float:
    """Return the typical distance of neighbours: of as many cells as a short run of codes holds."""
    n = min(_WINDOW, len(codes) - 1)
    if n < 1:
        return 0.1
    starts = np.linspace(0, len(codes) - 1 - n, min(_WINDOWS, len(codes) - n)).astype(np.int64)
    area = (codes[starts + n].astype(np.int64) - codes[starts]) / (n * 2.0 ** (2 * CODE_BITS))
    return float(np.sqrt(np.median(area))) or 2.0**-CODE_BITS


def dense_levels(codes: Codes) -> NDArray[np.int64]:
    """Return the levels whose tiles hold too many cells to be drawn from cells."""
    found, densest, level = [], len(codes), FIRST_LEVEL
    while densest > DENSE_PLACES and level < CODE_BITS:
        found.append(level)
        level += 1
        first = run_starts(codes, level - FIRST_LEVEL).astype(np.int64)
        densest = int(np.diff(first, append=len(codes)).max())
    return np.array(found, np.int64)


def _labels_of(values: Values, overview: str) -> frozenset[str]:
    """Return the labels that an overview has as the atlas has them."""
    if ("labels", overview) not in values.opened:
        about = flat.read_header(folder_of(values.atlas, overview))["attributes"]
        values.opened["labels", overview] = frozenset(
            name
            for name, place in about.get("labels", {}).items()
            if place == label_array(values.atlas, name)
        )
    found: frozenset[str] = values.opened["labels", overview]
    return found


def label_place(label: str) -> str:
    """Return where an overview keeps what its bins hold of a label."""
    return schema.label_array(label).removeprefix("cells/")


def label_array(atlas: Atlas, label: str) -> str:
    """Return the folder of a label's codes in the store, or "" where there are none."""
    return array_place(atlas, schema.label_array(label))


def _overview(atlas: Atlas, layout: str) -> str:
    """Return where the mean embeddings are, if they are those of the atlas as it is, or ""."""
    place = overview_place(atlas, layout)
    if not (folder_of(atlas, place) / "zarr.json").exists():
        return ""
    about = flat.read_header(folder_of(atlas, place))["attributes"]
    return place if about["embedding"] == array_place(atlas, CELLS) else ""


def overview_place(atlas: Atlas, layout: str) -> str:
    """Return the folder of the overview of a layout as it is now."""
    return "/overview@".join(_order(atlas, layout).rsplit("/order@", 1))


def _order(atlas: Atlas, layout: str) -> str:
    return array_place(atlas, schema.layout_array(layout, "order"))


def array_place(atlas: Atlas, logical: str) -> str:
    """Return the folder of an array in the store, or "" where there is none."""
    arrays: dict[str, str] = atlas.attrs["arrays"]
    return arrays.get(logical, "")


def folder_of(atlas: Atlas, place: str) -> Any:
    """Return a folder of the store, on this machine or behind a URL."""
    folder: Any = atlas.path
    for part in place.split("/"):
        folder = folder / part
    return folder
